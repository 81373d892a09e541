"""Nothing but a training step changes a pair: not its parameters, not its running statistics, not its modes."""

import inspect
from collections.abc import Callable

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

import ppl_vae
from ppl_vae import Batch, FitConfig, UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.guides import Amortized, Diagonal, SemiAmortized
from ppl_vae.models import VAE
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.programs.check import check_pair
from ppl_vae.programs.effects import Recall, Remember
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.log_joint import draw, log_guide
from ppl_vae.programs.pair import evaluating, frozen
from ppl_vae.programs.program import Program
from ppl_vae.svi import OptimizerConfig
from tests.conformance import ALL_CASES, Normalised
from tests.evaluations import EVALUATIONS, MODULES, QUESTIONS, Given
from tests.pairs import all_of, bits

X = bits(6, seed=3)


def normalised(seed: int = 0) -> tuple[VAE, Amortized]:
    """A pair with running statistics in model and guide, in training mode."""
    (case,) = (each for each in ALL_CASES if each.name == "batch-norm, diagonal, amortized")
    model, guide = case.pair(seed)
    return model.train(), guide.train()


def snapshot(*programs: nn.Module) -> dict[str, Tensor]:
    found = {}
    for place, program in enumerate(programs):
        for name, value in (*program.named_parameters(), *program.named_buffers()):
            found[f"{place}.{name}"] = value.detach().clone()
        for name, module in program.named_modules():
            found[f"{place}.{name} is training"] = torch.tensor(module.training)
    return found


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    assert before.keys() == after.keys()
    return [name for name, value in before.items() if not torch.equal(value, after[name])]


def test_the_table_has_every_public_function_that_is_given_a_program() -> None:
    found = {
        f"{module.__name__.rpartition('.')[2]}.{name}"
        for module in MODULES
        for name, function in vars(module).items()
        if inspect.isfunction(function) and not name.startswith("_") and function.__module__ == module.__name__
        if any("Module" in str(each.annotation) for each in inspect.signature(function).parameters.values())
    }
    assert len(found) > 35
    assert found - set(EVALUATIONS) == set()


@pytest.mark.parametrize("mode", [True, False])
def test_nothing_moves(mode: bool) -> None:
    """Of a pair in training mode, where statistics would move, and in evaluation mode."""
    model, guide = (program.train(mode) for program in normalised())
    guide.encoder.net[0].train(not mode)  # a module of another mode than the rest
    on = Given(model, guide, Dataset(X))
    before = snapshot(model, guide)
    with pyro.settings.context(module_local_params=False):
        for name, call in EVALUATIONS.items():
            state = torch.get_rng_state()
            call(on)
            assert changed(before, snapshot(model, guide)) == [], name
            assert torch.equal(torch.get_rng_state(), state) or name not in QUESTIONS, name
            assert torch.is_grad_enabled()
    assert not list(pyro.get_param_store().keys())
    guide(on.batch)
    assert [name for name in changed(before, snapshot(model, guide)) if "running_mean" in name] == (
        ["1.encoder.net.1.running_mean"] if mode else []
    )


def test_what_is_evaluated_is_the_pair_as_it_was_trained() -> None:
    """Repeated estimates are the same bits, and those of a pair that was never in training mode."""
    model, guide = normalised()
    data = Dataset(bits(80, seed=1))
    settings = FitConfig(epochs=8, batch_size=20, device="cpu", optimizer=OptimizerConfig(learning_rate=0.03))
    fit(model, guide, data, data, settings=settings)
    assert not any(module.training for program in (model, guide) for module in program.modules())
    assert guide.encoder.net[1].num_batches_tracked == 8 * 4  # a training step each, and nothing else
    other = normalised()
    for mine, theirs in zip((model, guide), other, strict=True):
        theirs.load_state_dict(mine.state_dict())
        theirs.eval()
    expected = elbo(*other, data, 3).elbo.values
    model.train()
    guide.train()
    for _ in range(3):
        assert torch.equal(elbo(model, guide, data, 3).elbo.values, expected)
        importance_bound(model, guide, data, 3)
    assert torch.equal(elbo(*other, data, 3).elbo.values, expected)
    guide(all_of(data.x[:5]))  # what training mode does to a call
    assert not torch.equal(elbo(model, guide, data, 3).elbo.values, expected)


def test_latents_of_a_row_do_not_depend_on_its_neighbours() -> None:
    _, guide = normalised()
    for _ in range(3):
        guide(all_of(bits(20, seed=2)))  # statistics that are somebody's

    def mean(rows: list[int]) -> Tensor:
        return posterior_moments(guide, all_of(X[rows]))["z"].mean[0]

    torch.testing.assert_close(mean([0, 1, 2]), mean([0, 4, 5]), rtol=1e-6, atol=1e-6)
    together = guide.params(all_of(X[[0, 1, 2]]))[0], guide.params(all_of(X[[0, 4, 5]]))[0]
    assert (together[0] - together[1]).abs().max() > 0.01  # in training mode they do


def test_handlers_between_two_blocks_are_heard_in_the_inner_one() -> None:
    """As annealing's is, which holds a guide that draws its parameters to the ones that it has drawn once."""
    model, proposal = normalised()
    guide = SemiAmortized(proposal, model, refinement_steps=2)
    latents = Latents.of(model, all_of(X))
    vector = torch.zeros(2, len(X), 2)
    with frozen(model, guide):
        with Remember() as memory:
            draw(guide, latents, all_of(X), 2)
        assert len(memory.calls) == 1
        with Recall(memory.calls):
            found = [log_guide(guide, latents, memory.calls[0].batch, vector) for _ in range(2)]
        assert torch.equal(*found)
        assert not torch.equal(found[0], log_guide(guide, latents, memory.calls[0].batch, vector))


def test_the_model_that_a_guide_climbs_is_evaluated_with_it() -> None:
    model, proposal = normalised()
    guide = SemiAmortized(proposal, model, refinement_steps=2)
    before = snapshot(model, guide)
    posterior_moments(guide, all_of(X))
    assert changed(before, snapshot(model, guide)) == []


class Counting(Program):
    """A guide that counts its calls in a buffer, whatever its mode, and draws by the count."""

    def __init__(self, anew: bool = False) -> None:
        super().__init__()
        self.anew = anew
        self.register_buffer("calls", torch.zeros(()))
        self.loc = nn.Parameter(torch.zeros(2))

    def forward(self, batch: Batch) -> None:
        if self.anew:
            self.calls = self.calls + 1  # another tensor
        else:
            self.calls += 1
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.loc + 0.1 * self.calls, 1.0).to_event(1))


@pytest.mark.parametrize("anew", [True, False])
def test_buffers_that_move_in_evaluation_too_are_put_back(anew: bool) -> None:
    model, guide = normalised()[0], Counting(anew)
    found = [elbo(model, guide, Dataset(X), 3).elbo.values for _ in range(2)]
    assert torch.equal(*found)
    assert guide.calls == 0
    check_pair(model, guide, all_of(X))
    assert guide.calls == 0
    guide(all_of(X))
    assert guide.calls == 1


class Drifting(Program):
    """A guide that moves its parameter as it runs."""

    def __init__(self, only_in_training: bool) -> None:
        super().__init__()
        self.only_in_training = only_in_training
        self.loc = nn.Parameter(torch.zeros(2))

    def forward(self, batch: Batch) -> None:
        if self.training or not self.only_in_training:
            with torch.no_grad():
                self.loc += 0.1
        with pyro.plate("data", len(batch.x), dim=-1):
            pyro.sample("z", dist.Normal(self.loc, 1.0).to_event(1))


def test_a_program_that_moves_its_parameters_in_evaluation_is_refused() -> None:
    model = normalised()[0]
    calls: list[Callable[[nn.Module], object]] = [
        lambda guide: check_pair(model, guide, all_of(X)),
        lambda guide: elbo(model, guide, Dataset(X)),
        lambda guide: fit(model, guide, Dataset(X), settings=FitConfig(epochs=1, device="cpu")),
    ]
    for call in calls:
        with pytest.raises(UserError, match=r"^Drifting changes its parameter 'loc' as it runs, .* self\.training"):
            call(Drifting(only_in_training=False))
    allowed = Drifting(only_in_training=True)
    calls[0](allowed)
    assert (allowed.loc == 0).all()


def test_what_is_raised_inside_is_what_is_raised() -> None:
    guide = Drifting(only_in_training=False)

    def stumbles() -> None:
        with frozen(guide):
            guide(all_of(X))
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        stumbles()
    assert guide.training


def test_evaluating_leaves_gradients_on() -> None:
    model, guide = normalised()
    with evaluating(model, guide):
        guide.params(all_of(X)).sum().backward()
    assert guide.encoder.net[0].weight.grad is not None


def test_a_lazy_module_is_made_by_its_first_evaluation() -> None:
    model = normalised()[0]
    encoder = nn.Sequential(nn.Flatten(), nn.LazyLinear(4), nn.LazyBatchNorm1d())
    guide = Amortized(Latents.of(model, all_of(X)), Diagonal(2), encoder)
    check_pair(model, guide, all_of(X))
    assert encoder[1].weight.shape == (4, 12)
    assert isinstance(model.decoder, Normalised)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (None, "this is None: give a"),
        (VAE, r"this is the class VAE: make one of it, VAE\("),
        (3, "this is an int: give"),
    ],
)
def test_what_is_no_program_is_refused_in_words(given: object, words: str) -> None:
    _, guide = normalised()
    data = Dataset(X)
    for call in (ppl_vae.to_datatree, elbo, importance_bound):
        with pytest.raises(UserError, match=words):
            call(given, guide, data, num_samples=2)
    with pytest.raises(UserError, match=words):
        fit(given, guide, data, epochs=1)
