"""Golden runs: what the commands say and leave, kept before a change and compared byte for byte after it.

python -m tests.golden record /tmp/before       every scenario, about three minutes; --only NAME ... for some
python -m tests.golden compare /tmp/before      the same again; what has changed, as a diff, and status 1 if anything

What a run says and its text files are kept, of arrays, weights and pictures a digest; times, paths and versions are
taken out. Numbers differ between machines: record on the one that compares, with as many threads (OMP_NUM_THREADS).
`bench`, which says nothing but times, is left out. Scenarios of today on a commit of before: copy this file over that
commit's, in a worktree of it.
"""

import argparse
import difflib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
SMALL = "--epochs 2 --hidden 16 --latent-dim 2"
TINY = f"{SMALL} --out run"
MINE = "--model mine.py:Mine --guide mine.py:Guide"
GREY = "--data grey.npz --binarization static"
BRIEF = "--infer-steps 40 --infer-window 10 --infer-starts 2 --limit 20"
LOG_PX = "evaluate run --estimator iwae --num-samples 50 --limit 40 --json"
GAPS = f"gaps run {BRIEF} --num-samples 50 --chains 2 --temperatures 10 --prior-temperatures 20 --out gaps --json"

SCENARIOS = {
    "digits": (  # amortized × diagonal: every way to use a run
        f"train {TINY} --seed 1",
        "evaluate run --num-samples 20 --limit 60",
        "evaluate run --estimator iwae --num-samples 50 --limit 60 --json --per-datapoint each.csv",
        "evaluate run --estimator ais --num-samples 4 --temperatures 20 --limit 20 --json",
        "evaluate run --estimator sbc --num-samples 7 --limit 40 --json",
        GAPS,
        "sample run prior --num-samples 9 --out prior.npz",
        "sample run interpolate --images 0 5 9 --steps 4 --out ways.npz",
        "sample run conditional --label 3",  # refused
        "explore run --num-images 20 --out page.html",
        "train --resume run --epochs 3",
    ),
    "conditional": (
        f"train {TINY} {GREY} --model conditional --family full-rank --objective iwae --num-particles 3",
        "evaluate run --num-samples 20 --limit 40 --json",
        "sample run conditional --label 3 --num-samples 5 --out threes.npz",
        "sample run grid --label 3 --steps 4 --out grid.npz",
        "sample run prior --num-samples 9",  # refused
        "explore run --num-images 20 --out page.html",
    ),
    "local": (  # per-datapoint: unseen data is met by inference
        f"train {TINY} {GREY} --guide per-datapoint --engine traced",
        f"evaluate run --num-samples 20 {BRIEF} --json",
        "infer run --input new.npz --out latents.npz --num-samples 3 --infer-steps 40 --infer-window 10",
        "sample run posterior --num-samples 4",
    ),
    "semi-amortized": (
        f"train {TINY} {GREY} --guide semi-amortized --family planar --prior mixture --num-components 3",
        LOG_PX,
    ),
    "point": (
        f"train {TINY} {GREY} --family point",
        "evaluate run --json --limit 40",
        "evaluate run --estimator iwae",  # refused
        f"gaps run {BRIEF}",  # refused
    ),
    "two-layers": (
        f"train {TINY} {GREY} --model hierarchical --family bottom-up --upper-latent-dim 2 --upper-hidden 8",
        LOG_PX,
        "sample run grid --steps 4",
    ),
    "own": (  # a pair from a user's file
        f"train {TINY} {GREY} {MINE}",
        "evaluate run --estimator iwae --num-samples 50 --limit 40",
        "infer run --input new.npz --out latents.npz --num-samples 3",
    ),
    "sequence": (
        f"train {TINY} --data words.txt --model sequence --kl-warmup 2",
        "evaluate run --num-samples 20 --limit 40 --json",
        "sample run prior --num-samples 9",
    ),
    "compare": (
        f"compare --guides amortized mean-field amortized:point --seeds 1 {SMALL} {GREY} "
        "--num-samples 50 --limit 40 --infer-steps 40 --infer-window 10 --workers 1 --out table",
    ),
    "generators": (  # what lays runs side by side, and the walks between codes
        "baseline gaussian --dims 10 --out run",
        f"train {SMALL} --out vae --family iaf",
        "generators run vae --columns 3 --out draws.npz",
        f"train {SMALL} --out autoencoder --family point --drop kl",
        "holes autoencoder vae --limit 60 --num-places 3 --out holes.npz",
        "sample vae arithmetic --from-label 4 --to-label 9 --limit 60 --out moved.npz",
        "sample vae traverse --steps 3 --out units.npz",
        "sample vae neighbours --count 3 --limit 60 --out near.npz",
    ),
    "grey": (  # a density of grey levels, convolutions, a film, the annealed sandwich, the VampPrior
        f"train {TINY} --net conv --channels 4 8 --film --patience 1 "
        "--family low-rank --likelihood normal --binarization none --objective dreg --num-particles 3",
        "evaluate run --num-samples 20 --limit 40 --json",
        "evaluate run --estimator bdmc --num-samples 4 --temperatures 20 --limit 10 --json",
        f"train {SMALL} --out vamp {GREY} --prior vamp --num-components 3 --objective elbo",
        "evaluate vamp --num-samples 20 --limit 40 --json",
    ),
    "linear": (  # everything about it in closed form
        "train --epochs 2 --latent-dim 2 --out run --data grey.npz --binarization none --model linear-gaussian "
        "--family full-rank --objective elbo-analytic-kl",
        LOG_PX,
        GAPS,
    ),
}

_SHOWN = 40  # lines of a file's difference
# All takes no time, in tables and pictures too, and in worker processes: Python imports this wherever it starts.
_STILL = "import time\n\ntime.perf_counter = lambda: 0.0\n"


def _inputs(folder: Path) -> None:
    """What the scenarios read."""
    random = np.random.default_rng(0)
    column, level = random.integers(4, size=200), random.random((200, 4, 4), dtype=np.float32)
    lit = (np.arange(4) == column[:, None])[:, None, :]
    np.savez(folder / "grey.npz", x=np.where(lit, 0.5 + level / 2, level / 8), y=column)
    np.savez(folder / "new.npz", x=random.random((3, 4, 4)) < 0.3)
    words = ("".join(random.choice(list("aeiou" if i % 2 else "klmnrt")) for i in range(n)) for n in 2 + column)
    (folder / "words.txt").write_text("\n".join(words) + "\n")
    shutil.copy(ROOT / "examples" / "mine.py", folder)


def _play(commands: tuple[str, ...]) -> int:
    """Run them in this process, each as on a terminal of its own, in the current folder."""
    from ppl_vae.__main__ import main

    for command in commands:
        print(f"\n$ ppl-vae {command}", flush=True)
        sys.argv = ["ppl-vae", *shlex.split(command)]
        try:
            status: object = main()
        except SystemExit as stop:
            status = stop.code
        sys.stderr.flush()
        print(f"status {status}", flush=True)
    return 0


def record(name: str, kept: Path) -> None:
    """Play a scenario in a folder of its own and keep what it said and left."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch).resolve() / "work"
        folder.mkdir()
        _inputs(folder)
        given = set(folder.iterdir())
        (Path(scratch) / "sitecustomize.py").write_text(_STILL)
        path = os.pathsep.join((scratch, str(ROOT)))
        state = {"XDG_STATE_HOME": scratch, "PYTHONPATH": path, "PYTHONHASHSEED": "0"}
        play = [sys.executable, "-u", "-m", "tests.golden", "play", str(folder), "--only", name]
        done = subprocess.run(play, cwd=ROOT, env=os.environ | state, stdout=-1, stderr=subprocess.STDOUT, text=True)
        (kept / name).mkdir(parents=True)
        (kept / name / "said.txt").write_text(_plain(done.stdout, folder))
        for path in filter(Path.is_file, set(folder.rglob("*")) - given):
            to = kept / name / path.relative_to(folder)
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_text(_plain(_text(path), folder))


def _plain(text: str, folder: Path) -> str:
    """Without times, paths and versions; JSON a value a line, so that a diff names it."""
    lines = (json.dumps(json.loads(line), indent=1) if line[:2] == '{"' else line for line in text.split("\n"))
    text = "\n".join(lines).replace(str(folder), "FOLDER").replace(str(ROOT), "ROOT")
    text = re.sub(r"\b\d+(\.\d+)?( |\xa0)(ms|s|seconds?|minutes?|min|hours?|h)\b", "TIME", text)
    text = re.sub(r"(seconds\w*\"?: )[\d.e+-]+", r"\1TIME", text)
    return re.sub(r"((?:python|ppl_vae|torch|pyro-ppl|numpy|scikit-learn)\"?:? \"?)\d+\.\d+[\w.+]*", r"\1VERSION", text)


def _text(path: Path) -> str:
    """What is compared of a file: its text, or digests with names."""
    if path.suffix == ".html":  # a tag a line, pictures apart
        text = re.sub(r"[A-Za-z0-9+/=]{200,}", lambda found: _hash(found[0].encode()), path.read_text())
        return re.sub(r"(.{300})", r"\1\n", text.replace("><", ">\n<"))
    if path.suffix == ".csv":  # no times
        rows = [line.split(",") for line in path.read_text().splitlines()]
        kept = [column for column in zip(*rows, strict=True) if "seconds" not in column[0]]
        return "\n".join(map(",".join, zip(*kept, strict=True)))
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return "\n".join(_leaves("", dict(arrays)))
    if path.suffix == ".pt":
        import torch

        return "\n".join(_leaves("", torch.load(path, weights_only=True)))
    return path.read_text() if path.suffix in (".json", ".yaml", ".txt", ".md", ".py") else _hash(path.read_bytes())


def _leaves(name: str, value: Any) -> list[str]:
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, each in pairs if key != "seconds" for leaf in _leaves(f"{name}.{key}", each)]
    if not hasattr(value, "shape"):
        return [f"{name} {value}"]
    return [f"{name} {tuple(value.shape)} {_hash(np.asarray(value).tobytes())}"]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:12]


def differences(before: Path, after: Path) -> list[str]:
    """A unified diff of two recordings, a file after the other."""
    names = sorted({path.relative_to(top) for top in (before, after) for path in top.rglob("*") if path.is_file()})
    found: list[str] = []
    for name in names:
        was, now = ((top / name).read_text().splitlines() if (top / name).is_file() else [] for top in (before, after))
        lines = list(difflib.unified_diff(was, now, f"before/{name}", f"now/{name}", lineterm="", n=1))
        found += [*lines[:_SHOWN], *([f"... and {len(lines) - _SHOWN} more lines"] if lines[_SHOWN:] else [])]
    return [line if len(line) < 400 else line[:400] + " …" for line in found]


def main() -> int:
    """The command line; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("record", "compare", "play"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    asked = parser.parse_args()
    changed = 0
    if asked.what == "play":
        os.chdir(asked.folder)
        return _play(SCENARIOS[asked.only[0]])
    with tempfile.TemporaryDirectory() as scratch:
        for name in asked.only:
            to = asked.folder if asked.what == "record" else Path(scratch)
            shutil.rmtree(to / name, ignore_errors=True)
            record(name, to)
            found = differences(asked.folder / name, to / name) if asked.what == "compare" else []
            print("\n".join([*found, f"{name}: {'DIFFERS' if found else 'ok'}"]), flush=True)
            changed += bool(found)
    return min(changed, 1)


if __name__ == "__main__":
    sys.exit(main())
