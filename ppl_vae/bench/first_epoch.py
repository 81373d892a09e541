"""When the numbers of the first epoch are there, and how long ``auto`` then waits for the compiler.

Run by its path, ``python first_epoch.py ENGINE STARTED THREADS DEVICE DATA_ROOT``, it is a fresh process that trains on
MNIST, with more epochs to come, and prints one line of JSON: ``first_epoch``, seconds since STARTED (the clock of the
process that started it), and for ``auto`` ``compiling``, the seconds from then to the first step that is traced.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ppl_vae.bench.settings import Clock

EPOCHS = 40
"""Epochs asked for: so many that ``auto`` compiles."""
_MOST_ROUNDS = 3


def measure_first_epoch(data_root: Path, clock: "Clock") -> dict[str, Any]:
    """Time first epochs in fresh processes, by turns.

    Args:
        data_root: torchvision's folder with MNIST.
        clock: how to measure.

    Returns:
        ``rounds``, what each process has said, by ``eager``, ``auto, cold cache`` (nothing has ever been compiled) and
        ``auto, warm cache``; ``seconds``, their medians; ``ratios`` of auto's first epoch to eager's.

    Raises:
        UserError: a process failed; MNIST is neither there nor to be downloaded.
    """
    from ppl_vae.bench.timing import ratio

    rounds: dict[str, list[dict[str, float]]] = {}
    number = min(clock.repeats, _MOST_ROUNDS)
    for current in range(number):
        with tempfile.TemporaryDirectory() as cache:
            for name in ("eager", "auto, cold cache", "auto, warm cache"):  # warm by the one before
                clock.report(f"first epoch: {name}, round {current + 1} of {number}")
                rounds.setdefault(name, []).append(_start(name.partition(",")[0], data_root, clock.device, cache))
    epochs = {name: [said["first_epoch"] for said in runs] for name, runs in rounds.items()}
    return {
        "rounds": rounds,
        "seconds": {
            name: {key: median(said[key] for said in runs) for key in runs[0]} for name, runs in rounds.items()
        },
        "ratios": {
            f"{name}/eager": ratio(epochs[name], epochs["eager"])._asdict() for name in epochs if name != "eager"
        },
    }


def _start(engine: str, data_root: Path, device: str, cache: str) -> dict[str, float]:
    import torch

    from ppl_vae.bench import processes

    arguments = [engine, str(time.time()), str(torch.get_num_threads()), device, str(data_root)]
    out = processes.run([sys.executable, __file__, *arguments], {"TORCHINDUCTOR_CACHE_DIR": cache})
    said: dict[str, float] = json.loads(out.splitlines()[-1])
    return said


class _Seen(Exception):  # noqa: N818  # no error: all that was to be seen
    pass


def main(engine: Any, started: float, threads: int, device: str, data_root: Path) -> None:
    """Import, load, train, print."""
    import torch

    import ppl_vae
    from ppl_vae.bench.sizes import SIZES
    from ppl_vae.guides import Amortized
    from ppl_vae.models import VAE

    torch.set_num_threads(threads)
    size = SIZES["mnist"]
    data = ppl_vae.load("mnist", data_root=data_root)
    networks: dict[str, Any] = {"hidden": size.hidden, "activation": size.activation}
    model = ppl_vae.build_model(VAE, data, latent_dim=size.latent_dim, **networks)
    guide = ppl_vae.build_guide(Amortized, model, data, **networks)
    found: dict[str, float] = {}

    def on_epoch(_: object) -> None:
        found["first_epoch"] = time.time() - started
        if engine == "eager":
            raise _Seen

    def on_engine(_: str) -> None:
        if found:  # after an epoch: what comes next is the first step that is traced
            found["compiling"] = time.time() - started - found["first_epoch"]
            raise _Seen

    try:
        ppl_vae.fit(
            model, guide, data.train, epochs=EPOCHS, batch_size=size.batch_size, engine=engine, device=device,
            on_epoch=on_epoch, on_engine=on_engine, progress=False,
        )  # fmt: skip
    except _Seen:
        print(json.dumps(found))


if __name__ == "__main__":
    # Not this folder, whose modules are ppl_vae.bench's, but the one that holds the package, installed or not.
    sys.path[0] = str(Path(__file__).parents[2])
    main(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], Path(sys.argv[5]))
