"""What each of the processes of ``test_distributed.py`` does: its jobs, their outcomes into a folder."""

import dataclasses
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, fit
from ppl_vae.data import Dataset
from ppl_vae.guides import Diagonal, Family, PerDatapoint, Point
from ppl_vae.models import LinearGaussian
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.runtime.processes import Group, joined
from ppl_vae.svi import OptimizerConfig, TracedStep
from ppl_vae.tracing.capture import Engine
from ppl_vae.training.metrics import EpochMetrics
from tests.pairs import all_of, amortized, oracle, simulate, stripes, stripes_data, vae_pair

# 21 rows in batches of 5: parts of 3 and 2 rows, and a last batch of 1, of which the second process has none.
X = simulate(oracle(), 21)
VALIDATION = simulate(oracle(), 10, seed=2)
OPTIMIZER = OptimizerConfig(learning_rate=0.05, schedule="cosine", clip_norm=5.0)
RMSPROP = OptimizerConfig(
    0.01, schedule="cosine", clip_norm=5.0, weight_decay=0.1, optimizer="RMSprop", optimizer_options=("momentum=0.5",)
)
EXACT = FitConfig(epochs=4, batch_size=5, kl_warmup=2, patience=4, optimizer=OPTIMIZER, seed=3, device="cpu")
TABLES = dataclasses.replace(EXACT, patience=0)
NOISY = FitConfig(epochs=6, batch_size=16, patience=6, optimizer=OPTIMIZER, seed=3, device="cpu")
# A guide by a table of its own, one draw; an encoder, three draws and their importance bound.
ENGINES: tuple[Engine, ...] = ("eager", "traced")
GIVEN = {
    "rows": dataclasses.replace(TABLES, kl_warmup=0),
    "encoder": dataclasses.replace(TABLES, objective="iwae", num_particles=3),
    "accumulated": dataclasses.replace(TABLES, batch_size=2, accumulate=3),
}
STILL = FitConfig(epochs=40, batch_size=32, optimizer=OptimizerConfig(learning_rate=1e-30), device="cpu")


STRIPES = stripes(21).double()
_UNIFORM = torch.rand(STRIPES.shape, dtype=STRIPES.dtype, generator=torch.Generator().manual_seed(4))
_NORMAL = torch.randn(5, 100, 20, dtype=STRIPES.dtype, generator=torch.Generator().manual_seed(5))


def exact_pair(seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """Nothing is drawn: a point guide, no binarization."""
    torch.manual_seed(seed)
    model = LinearGaussian((5,), 3).double()
    return model, amortized(model, X, Point)


def table_pair(family: type[Family] = Point, seed: int = 0) -> tuple[nn.Module, nn.Module]:
    """The same with a row for each datapoint."""
    torch.manual_seed(seed)
    model = LinearGaussian((5,), 3).double()
    latents = Latents.of(model, all_of(X[:2]))
    return model, PerDatapoint(latents, family(latents.size), len(X)).double()


def train_exact(path: Path, on_epoch: Any = None, **changes: Any) -> list[EpochMetrics]:
    settings = dataclasses.replace(EXACT, **changes)
    data = Dataset(X), Dataset(VALIDATION)
    return fit(*exact_pair(), *data, settings, checkpoint_path=path, resume=path.exists(), on_epoch=on_epoch)


def train_tables(
    path: Path, stop_after: int = 0, family: type[Family] = Point, engine: Engine = "eager"
) -> list[EpochMetrics]:
    return fit(
        *table_pair(family),
        Dataset(X),
        settings=dataclasses.replace(TABLES, engine=engine),
        checkpoint_path=path,
        resume=path.exists(),
        on_epoch=stopping(stop_after),
    )


class GivenNoise(Dataset):
    """All that is drawn for a datapoint, its bits and its z, is given by its row: the same in whichever process."""

    asked: Tensor

    def batch(self, index: Tensor) -> Batch:
        GivenNoise.asked = index
        return Batch((_UNIFORM.view(self.x.shape) < self.x).to(self.x.dtype)[index], None, index)

    @staticmethod
    def normal(shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Instead of torch's own, for shape ``(draws, batch, D)`` or ``(batch, D)``."""
        noise = _NORMAL[: shape[:-2].numel(), :, : shape[-1]]
        return noise[:, GivenNoise.asked].view(shape)


def train_given(path: Path, name: str, engine: Engine = "eager", **changes: Any) -> list[EpochMetrics]:
    """A VAE with a Gaussian guide, in all of its noise."""
    data, settings = GivenNoise(STRIPES, dynamic=True), dataclasses.replace(GIVEN[name], engine=engine, **changes)
    model, guide = (program.double() for program in vae_pair())
    if name == "rows":
        latents = Latents.of(model, data.probe())
        guide = PerDatapoint(latents, Diagonal(latents.size), len(data)).double()
    with patch("torch.distributions.normal._standard_normal", GivenNoise.normal):
        return fit(model, guide, data, settings=settings, checkpoint_path=path)


def train_noisy(path: Path, stop_after: int = 0) -> list[EpochMetrics]:
    """A VAE on grey levels that are binarized anew at every visit."""
    return fit(
        *vae_pair(),
        stripes_data(50),
        stripes_data(20, seed=9),
        NOISY,
        checkpoint_path=path,
        resume=path.exists(),
        on_epoch=stopping(stop_after),
    )


def stopping(after: int) -> Any:
    """A callback that sends this process a signal after so many epochs; 0 for none."""
    return lambda metrics: signal.raise_signal(signal.SIGTERM) if metrics.epoch == after else None


def interrupted(job: Any, *arguments: Any) -> None:
    """Stop a job in the middle of its third epoch."""
    try:
        job(*arguments)
    except Interrupted:
        return
    raise AssertionError("was not stopped")


def run(folder: Path, group: Group) -> None:
    second = group.rank == 1
    for engine in ENGINES:
        only_one_looks = (lambda metrics: None) if second else None
        train_exact(folder / f"exact-{engine}.pt", only_one_looks, engine=engine)
        train_tables(folder / f"tables-{engine}.pt", engine=engine)
        for name in GIVEN:
            train_given(folder / f"{name}-{engine}.pt", name, engine)
    train_exact(folder / "rmsprop.pt", optimizer=RMSPROP)
    train_noisy(folder / "noisy.pt")
    # A signal to one process stops all, and they go on as if it had not been.
    interrupted(train_noisy, folder / "noisy-again.pt", 2 if second else 0)
    train_noisy(folder / "noisy-again.pt")
    interrupted(train_tables, folder / "tables-again.pt", 2 if second else 0, Diagonal)
    group.wait()
    train_tables(folder / "tables-again.pt", family=Diagonal)
    train_tables(folder / "tables-whole.pt", family=Diagonal)
    interrupted(train_tables, folder / "traced-again.pt", 2 if second else 0, Diagonal, "traced")
    group.wait()
    train_tables(folder / "traced-again.pt", family=Diagonal, engine="traced")
    train_tables(folder / "traced-whole.pt", family=Diagonal, engine="traced")
    # For one process to go on with, and begun by one process.
    interrupted(train_tables, folder / "for-one.pt", 0 if second else 2)
    train_tables(folder / "for-two.pt")
    still = fit(*vae_pair(), stripes_data(64), settings=STILL)
    torch.save([metrics.elbo for metrics in still], folder / f"still-{group.rank}.pt")
    model, guide = vae_pair(seed=group.rank)  # weights that differ at first
    draws: list[float] = []
    fit(
        model,
        guide,
        stripes_data(50),
        settings=dataclasses.replace(NOISY, epochs=2, patience=0),
        on_epoch=lambda _: draws.append(torch.rand(()).item()),
    )
    weights = [param.detach() for param in (*model.parameters(), *guide.parameters())]
    torch.save({"weights": weights, "draws": draws}, folder / f"rank-{group.rank}.pt")
    assert not list(folder.glob("*.partial"))


# Traced, and not compiled, which takes seconds.
AS_TRACED = partial(TracedStep, compile_graph=lambda graph, examples: graph)

if __name__ == "__main__":
    torch.set_num_threads(1)
    with joined() as joined_group, patch("ppl_vae.svi.engine.TracedStep", AS_TRACED):
        if len(sys.argv) > 2:
            train_tables(Path(sys.argv[1]) / sys.argv[2])
        else:
            run(Path(sys.argv[1]), joined_group)
    # A thread of the group that is still there when Python ends can end it by SIGABRT, once in twenty times.
    threads = [name.read_text() for name in Path("/proc/self/task").glob("*/comm")]
    assert not [name for name in threads if "gloo" in name], threads
