"""One epoch of MNIST: the Pyro example as it is shipped, its loader included, against ``ppl-vae train``."""

import csv
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ppl_vae.bench import processes
from ppl_vae.bench.pyro_example import PyroExample
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES
from ppl_vae.bench.timing import ratio
from ppl_vae.data import DataConfig, load
from ppl_vae.tracing.capture import Engine

_SIZE = SIZES["mnist"]
_ENGINES: tuple[Engine, ...] = ("eager", "traced")
# An epoch takes seconds, and differs by little.
_MOST_ROUNDS = 3


def measure_epoch(data_root: Path, clock: Clock) -> dict[str, Any]:
    """Time epochs in rounds: one of each in turn. Nobody looks at test data.

    Args:
        data_root: torchvision's folder with MNIST.
        clock: how to measure.

    Returns:
        ``seconds``: ``script`` and ``tutorial``, an epoch of the example in its two forms; ``eager`` and ``traced``, an
        epoch of ``ppl-vae train``; ``… whole``, that command from its start to its end, compiling, pictures and report
        included; medians over the rounds, which are in ``rounds``. ``ratios`` of ours to ``script`` and ``tutorial``.

    Raises:
        UserError: MNIST is neither there nor to be downloaded.
    """
    x = load(DataConfig(data="mnist", data_root=data_root, validation_fraction=0)).train.x
    examples = {
        "script": Example(cached(x), clock.device),
        "tutorial": Example(_from_files(data_root, clock.device), clock.device),
    }
    rounds: dict[str, list[float]] = {}
    number = min(clock.repeats, _MOST_ROUNDS)
    for current in range(number):
        for name, example in examples.items():
            clock.report(f"epoch: {name}, round {current + 1} of {number}")
            rounds.setdefault(name, []).append(example.epoch())
        for engine in _ENGINES:
            clock.report(f"epoch: {engine}, round {current + 1} of {number}")
            epoch, whole = _train(data_root, engine, clock.device)
            rounds.setdefault(engine, []).append(epoch)
            rounds.setdefault(f"{engine} whole", []).append(whole)
    return {
        "seconds": {name: median(seconds) for name, seconds in rounds.items()},
        "rounds": rounds,
        "ratios": {f"{e}/{name}": ratio(rounds[e], rounds[name])._asdict() for e in _ENGINES for name in examples},
    }


class Example:
    """The example's training loop over its own loader, on grey levels: it does not binarize.

    Args:
        loader: of pairs of images and labels.
        device: where.
    """

    def __init__(self, loader: DataLoader[Any], device: str) -> None:
        self.loader, self.device = loader, device
        self.example = PyroExample(_SIZE._replace(num_rows=_SIZE.batch_size), device)  # its own data is not used

    def epoch(self) -> float:
        """Seconds of an epoch."""
        start = time.perf_counter()
        self.example.take(x.to(self.device).reshape(-1, _SIZE.pixels) for x, _ in self.loader)
        return time.perf_counter() - start


class _Images(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    def __init__(self, x: Tensor) -> None:
        self.x, self.labels = x, torch.full((len(x), 1), torch.nan)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.x[index], self.labels[index]


def cached(x: Tensor) -> DataLoader[Any]:
    """As examples/vae/vae.py in Pyro's repository: float images in memory, one by one, in the same process."""
    return DataLoader(_Images(x.flatten(1)), batch_size=_SIZE.batch_size, shuffle=True)


def _from_files(data_root: Path, device: str) -> DataLoader[Any]:
    """As https://pyro.ai/examples/vae.html: torchvision's images, each to a tensor at every visit, by one worker."""
    from torchvision import transforms  # must match torch's build: only where it is used
    from torchvision.datasets import MNIST

    images = MNIST(str(data_root), train=True, transform=transforms.ToTensor())
    pin_memory = device.startswith("cuda")
    return DataLoader(images, batch_size=_SIZE.batch_size, shuffle=True, num_workers=1, pin_memory=pin_memory)


def _train(data_root: Path, engine: Engine, device: str) -> tuple[float, float]:
    """Seconds of the epoch of ``ppl-vae train``, and of the whole command."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "ppl_vae", "train", "--data", "mnist", "--data-root", str(data_root)]
        command += ["--latent-dim", str(_SIZE.latent_dim), "--hidden", *map(str, _SIZE.hidden)]
        command += ["--activation", _SIZE.activation, "--batch-size", str(_SIZE.batch_size), "--epochs", "1"]
        command += ["--validation-fraction", "0", "--engine", engine, "--device", device, "--out", f"{folder}/run"]
        start = time.perf_counter()
        processes.run(command, {"OMP_NUM_THREADS": str(torch.get_num_threads())})
        whole = time.perf_counter() - start
        with Path(folder, "run", "metrics.csv").open(newline="") as file:
            (metrics,) = csv.DictReader(file)
    return float(metrics["seconds"]), whole
