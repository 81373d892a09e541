"""Training on more than memory holds, beside the same on a cut that it does: python -m benchmarks.streaming FOLDER.

Makes FOLDER/large.parquet, FOLDER/large.npy and FOLDER/cut.npy where they are not there: rows of 100 float32 numbers,
linear in eight latents with noise. Each is then trained on for one epoch, the cut for as many as have as many steps, by
a process of its own, whose time an epoch and largest memory are measured; in turn with the cut, since the speed of a
machine changes, and compared with the cut's median. What is read, or laid out, before the first epoch is told apart.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np

COLUMNS, LATENTS, AT_ONCE, ROWS = 100, 8, 100_000, 9_664_456
_TURNS = 3


def rows(number: int, loadings: np.ndarray) -> np.ndarray:
    """A block of the data, ``(AT_ONCE, COLUMNS)``, float32."""
    generator = np.random.default_rng(number)
    z = generator.standard_normal((AT_ONCE, LATENTS), dtype=np.float32)
    return z @ loadings + generator.standard_normal((AT_ONCE, COLUMNS), dtype=np.float32)


def make_npy(path: Path, blocks: int) -> None:
    """Write so many blocks."""
    loadings = np.random.default_rng(0).standard_normal((LATENTS, COLUMNS)).astype(np.float32)
    made = np.lib.format.open_memmap(path, "w+", np.float32, (blocks * AT_ONCE, COLUMNS))
    for number in range(blocks):
        made[number * AT_ONCE : (number + 1) * AT_ONCE] = rows(number, loadings)


def make_parquet(path: Path, blocks: int) -> None:
    """Likewise, a group of rows for each block."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    loadings = np.random.default_rng(0).standard_normal((LATENTS, COLUMNS)).astype(np.float32)
    names = [f"c{number}" for number in range(COLUMNS)]
    schema = pa.schema([(name, pa.float32()) for name in names])
    with parquet.ParquetWriter(path, schema, use_dictionary=False) as writer:
        for number in range(blocks):
            writer.write_table(pa.table(dict(zip(names, rows(number, loadings).T, strict=True))))


def train(path: Path, memory: int) -> None:
    """One epoch; prints what was measured."""
    from ppl_vae import build_guide, build_model, fit, load

    began = time.perf_counter()
    data = load(path, data_memory=memory)
    model = build_model("vae", data, likelihood="normal", latent_dim=LATENTS, hidden=(128,))
    guide = build_guide("amortized", model, data)
    read = time.perf_counter() - began
    epochs = max(1, round(ROWS / len(data.train)))  # as many steps of the cut: the speed changes as they go on
    history = fit(model, guide, data.train, epochs=epochs, batch_size=512, engine="traced")
    found = {
        "rows": len(data.train),
        "before": read,
        "epoch": sum(epoch.seconds for epoch in history) / epochs,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "bound": history[-1].bound,
    }
    print(json.dumps(found))


def measured(path: Path, memory: int) -> dict[str, float]:
    """The same by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.streaming", str(path), "--train", str(memory)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where the files are, or are made; 12 GB")
    parser.add_argument("--train", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--memory", type=int, default=1024, help="MiB that the data may take (1024)")
    asked = parser.parse_args()
    if asked.train:
        train(asked.folder, asked.train)
        return
    cut, files = asked.folder / "cut.npy", {"large.parquet": (make_parquet, 100), "large.npy": (make_npy, 150)}
    asked.folder.mkdir(parents=True, exist_ok=True)
    if not cut.exists():
        make_npy(cut, 10)
    print("| data | GB | rows trained on | s before | s an epoch | rows / s | of the cut's | GiB of memory | bound |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name, (make, blocks) in files.items():
        if not (path := asked.folder / name).exists():
            make(path, blocks)
        found = [(cut, 10**6), (path, asked.memory)] * _TURNS
        runs = [(each, measured(each, memory)) for each, memory in found]
        usual = median(run["rows"] / run["epoch"] for each, run in runs if each == cut)
        for each, run in runs:
            speed = run["rows"] / run["epoch"]
            print(
                f"| {each.name} | {each.stat().st_size / 1e9:.1f} | {run['rows']:,} | {run['before']:.1f} | "
                f"{run['epoch']:.1f} | {speed:,.0f} | {speed / usual:.2f} | {run['memory']:.2f} | {run['bound']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
