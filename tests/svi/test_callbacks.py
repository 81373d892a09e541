"""What a callback changes of a pair counts for a traced step as it does for an eager one."""

from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.guides import Amortized, Diagonal
from ppl_vae.models import VAE
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.programs.latents import Latents
from ppl_vae.svi import TracedStep
from ppl_vae.tracing.capture import compiled
from ppl_vae.training.metrics import EpochMetrics
from tests.pairs import all_of, bits

X = bits(12, seed=3)


class Tempered(VAE):
    """Divides its logits by a number of its own and by a buffer."""

    def __init__(self) -> None:
        super().__init__(Decoder(2, (3, 4), (8,), "tanh"), 2)
        self.temperature = 1.0
        self.register_buffer("factor", torch.ones(()))

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", self.prior())
            logits = self.decoder(z) / self.temperature * self.factor
            return pyro.sample("x", dist.Bernoulli(logits=logits).to_event(2), obs=batch.x)


def rebinds(model: Tempered, epoch: int) -> None:
    for param in model.parameters():
        param.data = param.data.clamp(-0.5, 0.5).clone()


def sets_an_attribute(model: Tempered, epoch: int) -> None:
    model.temperature = 1.0 + epoch


def fills_a_buffer(model: Tempered, epoch: int) -> None:
    model.factor.fill_(1.0 + epoch)


def replaces_a_buffer(model: Tempered, epoch: int) -> None:
    model.factor = torch.tensor(1.0 + epoch)


def freezes(model: Tempered, epoch: int) -> None:
    model.decoder.requires_grad_(epoch != 1)


def moves_weights(model: Tempered, epoch: int) -> None:
    with torch.no_grad():
        for param in model.parameters():
            param.mul_(0.5)


def does_nothing(model: Tempered, epoch: int) -> None:
    pass


CHANGES = [does_nothing, rebinds, sets_an_attribute, fills_a_buffer, replaces_a_buffer, freezes, moves_weights]


def trained(engine: str, change: Callable[[Tempered, int], None]) -> tuple[list[float], list[Tensor]]:
    torch.manual_seed(1)
    model = Tempered().double()
    x = X.double()
    guide = Amortized(Latents.of(model, all_of(x)), Diagonal(2), Encoder((3, 4), 4, (8,), "tanh")).double()

    def on_epoch(metrics: EpochMetrics) -> None:
        change(model, metrics.epoch)

    settings = FitConfig(epochs=3, batch_size=4, device="cpu", engine=engine)  # type: ignore[arg-type]
    said: list[str] = []
    history = fit(model, guide, Dataset(x), settings=settings, on_epoch=on_epoch, on_engine=said.append)
    assert len(said) == 1
    assert said[0].startswith(engine)
    return [row.elbo for row in history], [*model.parameters(), *guide.parameters()]


def assert_alike(change: Callable[[Tempered, int], None]) -> list[float]:
    (eager, mine), (traced, theirs) = trained("eager", change), trained("traced", change)
    assert eager == pytest.approx(traced, abs=1e-8)
    torch.testing.assert_close(mine, theirs, rtol=1e-8, atol=1e-8)
    return eager


@pytest.mark.parametrize(
    "change",
    [pytest.param(each, id=each.__name__, marks=() if each is rebinds else pytest.mark.slow) for each in CHANGES],
)
def test_traced_and_eager_agree(change: Callable[[Tempered, int], None], monkeypatch: pytest.MonkeyPatch) -> None:
    # The graph as it is: seconds less than compiling it.
    monkeypatch.setattr(TracedStep.__init__, "__defaults__", (lambda graph, examples: graph,))
    found = assert_alike(change)
    if change is not does_nothing:
        assert found != trained("eager", does_nothing)[0]  # it does change something


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_compiled_and_eager_agree(change: Callable[[Tempered, int], None]) -> None:
    assert TracedStep.__init__.__defaults__ == (compiled,)
    assert_alike(change)


@pytest.mark.slow
def test_what_can_be_traced_no_longer_is_taken_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TracedStep.__init__, "__defaults__", (lambda graph, examples: graph,))

    class Reading(nn.Module):
        """Decides by a value, from the first epoch's end on."""

        reads = False

        def forward(self, x: Tensor) -> Tensor:
            return x * 2 if self.reads and x.sum() > 0 else x

    torch.manual_seed(1)
    encoder = nn.Sequential(nn.Flatten(), Reading(), nn.Linear(12, 4))
    model = VAE(Decoder(2, (3, 4), (8,), "tanh"), 2)
    guide = Amortized(Latents.of(model, all_of(X)), Diagonal(2), encoder)

    def on_epoch(metrics: EpochMetrics) -> None:
        encoder[1].reads = True

    said: list[str] = []
    settings = FitConfig(epochs=2, batch_size=4, device="cpu", engine="traced")
    fit(model, guide, Dataset(X), settings=settings, on_epoch=on_epoch, on_engine=said.append)
    assert len(said) == 2
    assert said[1].startswith("eager from here on: after a callback the step cannot be traced (the program reads")


@pytest.mark.slow
def test_a_pair_that_changes_again_and_again_is_taken_eagerly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each change is another record, and each record is compiled."""
    compiled_graphs: list[int] = []
    record = lambda graph, examples: compiled_graphs.append(1) or graph  # noqa: E731
    monkeypatch.setattr(TracedStep.__init__, "__defaults__", (record,))
    torch.manual_seed(1)
    model = Tempered()
    guide = Amortized(Latents.of(model, all_of(X)), Diagonal(2), Encoder((3, 4), 4, (8,), "tanh"))
    said: list[str] = []
    fit(
        model,
        guide,
        Dataset(X),
        settings=FitConfig(epochs=6, batch_size=12, device="cpu", engine="traced"),
        on_epoch=lambda metrics: sets_an_attribute(model, metrics.epoch),
        on_engine=said.append,
    )
    assert len(compiled_graphs) == 4
    assert len(said) == 2
    assert said[1].startswith("eager from here on: after a callback the step cannot be traced (it has changed 4 times")


@pytest.mark.slow
@pytest.mark.parametrize(("answer", "looked"), [(None, 4), (False, 1)])
def test_a_callback_that_only_looks_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, answer: bool | None, looked: int
) -> None:
    monkeypatch.setattr(TracedStep.__init__, "__defaults__", (lambda graph, examples: graph,))
    refreshed: list[int] = []
    refresh = TracedStep.refresh
    monkeypatch.setattr(TracedStep, "refresh", lambda self: (refreshed.append(1), refresh(self))[1])
    torch.manual_seed(1)
    model = Tempered()
    guide = Amortized(Latents.of(model, all_of(X)), Diagonal(2), Encoder((3, 4), 4, (8,), "tanh"))
    settings = FitConfig(epochs=1, batch_size=4, device="cpu", engine="traced")
    fit(model, guide, Dataset(X), settings=settings, on_step=lambda step: answer)
    assert len(refreshed) == looked  # once as it is made


class Subsampled(VAE):
    """Pyro's own way of saying that a minibatch stands for all N."""

    def forward(self, batch: Batch) -> Tensor:
        with pyro.plate("data", 100, subsample=batch.index):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            return pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(2), obs=batch.x)


def test_a_plate_that_scales_is_refused() -> None:
    """Its ELBO in training would be N / B of that in evaluation."""
    model = Subsampled(Decoder(2, (3, 4), (8,), "tanh"), 2)
    guide = Amortized(Latents.of(model, all_of(X)), Diagonal(2), Encoder((3, 4), 4, (8,)))
    with pytest.raises(UserError, match=r"^site 'z' of the model is scaled by 50, .*open pyro\.plate"):
        fit(model, guide, Dataset(X), settings=FitConfig(epochs=1, device="cpu"))
