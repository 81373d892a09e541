"""A checkpoint of other hands: every key of it × what it must not be is refused in one line, and nothing is written."""

import copy
import signal
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae import UserError, fit
from ppl_vae.data import Dataset
from ppl_vae.guides import Diagonal, PerDatapoint
from ppl_vae.programs.latents import Latents
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.svi import OptimizerConfig
from ppl_vae.training.config import FitConfig
from ppl_vae.training.state import TrainingState
from tests.fits import TRAIN, VALIDATION, assert_same, settings, weights
from tests.pairs import vae_pair

Place = tuple[str | int, ...]
MISSING = object()
SOMEWHERE = Path("run/checkpoint.pt")


def per_datapoint_pair() -> tuple[nn.Module, nn.Module]:
    model, _ = vae_pair()
    latents = Latents.of(model, TRAIN.batch(torch.arange(2)))
    return model, PerDatapoint(latents, Diagonal(latents.size), len(TRAIN))


class Kind:
    """A kind of run, and the state that it was stopped in, in the middle of its third epoch."""

    def __init__(self, pair: Callable[[], tuple[nn.Module, nn.Module]], validation: Dataset | None, fits: FitConfig):
        self.pair, self.validation, self.fits = pair, validation, fits

    def stop(self, path: Path) -> None:
        def stop(step: int) -> None:
            if step == 10:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(Interrupted):
            fit(*self.pair(), TRAIN, self.validation, self.fits, checkpoint_path=path, on_step=stop)

    def fresh(self) -> TrainingState:
        return TrainingState(*self.pair(), TRAIN, self.fits)


KINDS = {
    "early stopping": Kind(vae_pair, VALIDATION, settings(kl_warmup=1)),
    "rows": Kind(per_datapoint_pair, None, settings(patience=0)),
    "RMSprop": Kind(
        vae_pair,
        None,
        settings(patience=0, optimizer=OptimizerConfig(optimizer="RMSprop", optimizer_options=("alpha=0.9",))),
    ),
    "averaged": Kind(vae_pair, None, settings(patience=0, optimizer=OptimizerConfig(weight_average=0.9))),
}


@cache
def stopped(kind: str, folder: Path) -> checkpoint.State:
    path = folder / f"{kind}.pt"
    KINDS[kind].stop(path)
    return checkpoint.load(path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stopped")


def places(value: object, at: Place = ()) -> Iterator[tuple[Place, object]]:
    """Every value in a state, at any depth, and where it stands."""
    yield at, value
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*at, key))


def changed(value: Any, at: Place, new: object) -> Any:
    """The state with another value at this place; whatever is not on the way there is shared."""
    if not at:
        return new
    key, *rest = at
    parts = dict(value) if isinstance(value, dict) else dict(enumerate(value))
    if new is MISSING and not rest:
        del parts[key]
    else:
        parts[key] = changed(parts[key], tuple(rest), new)
    return parts if isinstance(value, dict) else list(parts.values())


def filled(tensor: Tensor, number: float) -> Tensor:
    changed = tensor.clone()
    changed.view(-1)[-1:] = number
    return changed


def others(value: object) -> Iterator[tuple[str, object]]:
    """What this value must not be."""
    yield from {"missing": MISSING, "a string": "7", "a tuple": (1,), "a huge number": 10**400, "true": True}.items()
    yield from {
        "a complex tensor": torch.zeros(2, 3, dtype=torch.complex64),
        "sparse": torch.eye(3).to_sparse(),
    }.items()
    if value is not None:
        yield "None", None
    if type(value) is not int:
        yield "an integer", 3
    if type(value) is not float:
        yield "a number", 0.5
    if not isinstance(value, list) or value:
        yield "a list", []
    if not isinstance(value, dict) or value:
        yield "a dictionary", {}
    if isinstance(value, dict):
        yield "an unknown key", {**value, "foreign": torch.zeros(3)}
        yield "a key that is no name", {**value, None: 1, (1, 2): 3}
    elif isinstance(value, list):
        yield "one too many", [*value, value[-1] if value else 1]
        yield "nested", [value]
    elif isinstance(value, Tensor):
        yield "of another shape", torch.zeros(5 if value.shape != (5,) else 6, dtype=value.dtype)
        yield "one row more", torch.zeros(len(value) + 1 if value.dim() else 2, *value.shape[1:], dtype=value.dtype)
        yield "one dimension more", value.unsqueeze(0)
        yield "spread out of one number", torch.zeros((), dtype=value.dtype).expand(10**12)
        yield "double", value.to(torch.float16 if value.dtype == torch.float64 else torch.float64)
        yield "whole", value.to(torch.int32)
        if value.is_floating_point():
            yield from ((f"{number}", filled(value, number)) for number in (float("nan"), float("inf"), -float("inf")))
        else:
            yield "huge", filled(value, 255 if value.dtype == torch.uint8 else 2**62)
            yield "negative", filled(value.to(torch.int64), -999_010)
            yield "all alike", torch.ones_like(value)
    elif type(value) is int:
        yield from {"negative": -1, "large": 2**40, "a bit more": value + 1}.items()
    elif type(value) is float:
        yield from {"NaN": float("nan"), "infinite": float("inf"), "below": -1e300, "above": 1e300}.items()


def may_be(at: Place, what: str) -> bool:
    """Changes after which the state is still one that a fit of ours could have written."""
    match at:
        case ("settings", "epochs"):
            return what == "a bit more"
        case ("history", int(), "validation_reconstruction" | "validation_kl"):  # earlier versions had none
            return what in ("missing", "None", "NaN", "infinite", "below", "above")
        case ("settings", "device"):
            return what == "a string"
        case ("settings", "optimizer", "rate_warmup" | "weight_decay" | "weight_average"):  # earlier versions had none
            return what == "missing"
        case ("settings", "accumulate"):  # then it was 1
            return what == "missing"
        case ("settings", "optimizer", "optimizer" | "optimizer_options"):  # then it was Adam
            return what == "missing"
        case ("average",):  # nor this
            return what == "missing"
        case ("optimizer", "shared", "state"):  # a parameter that has had no gradient has no moments
            return what == "a dictionary"
        case ("optimizer", "shared", "state", int()):
            return what == "missing"
        case ("optimizer", "shared", "state", int(), "step"):  # torch's counts have been both
            return what == "double"
        case ("rng", "cpu"):  # the last byte of a draw that is kept for the next time
            return what == "huge"
        case ("history", int(), "elbo" | "reconstruction" | "kl"):  # an importance bound has one draw without weight
            return what in ("NaN", "infinite", "below", "above")
        case ("history", int(), "bound" | "validation_bound"):
            return what in ("below", "above")
        case ("history", int(), "seconds" | "kl_weight"):
            return what == "above"
        case ("sums",):
            return what in ("nan", "inf", "-inf")
        case ("step",):
            return what == "a bit more"
    return False


def refusal(run: TrainingState, state: checkpoint.State) -> str | None:
    """What is said of a state; None if it is taken. Anything but a UserError is a failure."""
    try:
        run.checked(SOMEWHERE, state)
    except UserError as error:
        return str(error)
    return None


@pytest.mark.parametrize("kind", KINDS)
def test_the_state_as_it_was_written_is_taken(kind: str, folder: Path) -> None:
    run, state = KINDS[kind].fresh(), stopped(kind, folder)
    checked = run.checked(SOMEWHERE, state)
    assert (len(checked["history"]), checked["step"]) == (2, 2)
    old_groups = {**state["optimizer"]["shared"], "param_groups": [{"lr": "what torch says of itself"}]}
    run.checked(SOMEWHERE, changed(state, ("optimizer", "shared"), old_groups))


@pytest.mark.parametrize("kind", KINDS)
def test_every_key_is_held_to_its_type_shape_and_range(kind: str, folder: Path) -> None:
    state, run = stopped(kind, folder), KINDS[kind].fresh()
    before, tried = weights(run.model, run.guide), 0
    for at, old in places({key: value for key, value in state.items() if key != "format"}):
        for what, new in others(old) if at else ():
            tried += 1
            message = refusal(run, changed(state, at, new))
            if message is None:
                assert may_be(at, what), (at, what)
                continue
            assert message.startswith(f"{SOMEWHERE}: "), (at, what)
            assert "\n" not in message, (at, what)
            assert len(message) < 300, (at, what)
            assert at[0] in message or at[0] in ("settings", "num_data", "history", "order"), (at, what)
    assert tried > 1000
    assert_same(weights(run.model, run.guide), before)


@pytest.mark.parametrize(("place", "number"), [(0, float("nan")), (0, float("-inf"))])
def test_a_bound_so_far_that_is_not_finite_is_refused(place: int, number: float, folder: Path) -> None:
    state = stopped("rows", folder)
    sums = state["sums"].clone()
    sums[place] = number
    with pytest.raises(UserError, match="sums: a bound that is not finite"):
        KINDS["rows"].fresh().checked(SOMEWHERE, changed(state, ("sums",), sums))


# Those of the fuzzing in which torch's memory was overwritten, the process never ended, or something was written first.
WORST: dict[str, tuple[str, Place, object]] = {
    "moments of another shape": ("early stopping", ("optimizer", "shared", "state", 0, "exp_avg"), torch.zeros(5)),
    "moments of one number": (
        "early stopping",
        ("optimizer", "shared", "state", 1, "exp_avg_sq"),
        torch.zeros(()).expand(10**12),
    ),
    "rows' moments": ("rows", ("optimizer", "rows", "tables", 0, "mean"), torch.zeros(5, 4)),
    "an order of other rows": ("rows", ("order",), torch.full((50,), -999_010)),
    "an order that never ends": ("rows", ("order",), torch.zeros(10**6, dtype=torch.int64)),
    "a row twice": ("rows", ("order",), torch.tensor([*range(49), 3])),
    "a step before the first": ("rows", ("step",), -(10**9)),
    "no sums": ("early stopping", ("sums",), None),
    "the best of no epoch": ("early stopping", ("best", "epoch"), 7),
    "the best, a tensor": ("early stopping", ("best",), torch.zeros(3)),
}


@pytest.mark.parametrize("what", WORST)
def test_fit_refuses_it_before_anything_is_used_or_written(what: str, folder: Path, tmp_path: Path) -> None:
    name, at, value = WORST[what]
    kind, path = KINDS[name], tmp_path / "run.pt"
    checkpoint.save(path, changed(stopped(name, folder), at, value))
    pair, written = kind.pair(), path.read_bytes()
    before = weights(*pair)
    with pytest.raises(UserError, match=f"damaged checkpoint \\({'.'.join(map(str, at))}.*restore it or train again"):
        fit(*pair, TRAIN, kind.validation, kind.fits, checkpoint_path=path, resume=True)
    assert_same(weights(*pair), before)
    assert path.read_bytes() == written
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_moments_that_lie_in_another_way_are_the_same_moments(kind: str, folder: Path, tmp_path: Path) -> None:
    """Strides are nobody's business: the numbers are copied into moments of our own."""
    ends = []
    for turn in (False, True):
        state = copy.deepcopy(stopped(kind, folder))
        if turn:
            for moments in state["optimizer"]["shared"]["state"].values():
                turned = {name: each.mT.contiguous().mT for name, each in moments.items() if each.dim() == 2}
                lying = {each.is_contiguous() for each in turned.values()}
                assert lying <= {False}  # or nothing would be asked
                moments |= turned
        path = tmp_path / f"{turn}.pt"
        checkpoint.save(path, state)
        pair = KINDS[kind].pair()
        fit(*pair, TRAIN, KINDS[kind].validation, KINDS[kind].fits, checkpoint_path=path, resume=True)
        ends.append(weights(*pair))
    assert_same(ends[0], ends[1])


def test_weights_may_be_infinite_where_the_pair_s_are(tmp_path: Path) -> None:
    """A mask of a user's model; NaN is refused there too, unless the mask has it."""

    def masked() -> tuple[nn.Module, nn.Module]:
        model, guide = vae_pair()
        model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
        return model, guide

    path = tmp_path / "run.pt"
    fit(*masked(), TRAIN, settings=settings(patience=0, epochs=1), checkpoint_path=path)
    fit(*masked(), TRAIN, settings=settings(patience=0, epochs=1), checkpoint_path=path, resume=True)
    checkpoint.save(path, changed(checkpoint.load(path), ("model", "mask"), torch.tensor([torch.inf, 0.0])))
    with pytest.raises(UserError, match=r"model\.mask: numbers that are not finite"):
        fit(*masked(), TRAIN, settings=settings(patience=0, epochs=1), checkpoint_path=path, resume=True)
