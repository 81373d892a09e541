"""What ``import ppl_vae`` offers: one name for each, imported when it is asked for."""

import inspect
import subprocess
import sys
from typing import Annotated, Any, get_args, get_origin

import pytest
import torch

import ppl_vae as pv
from tests.pairs import vae_pair


def test_every_name_is_there() -> None:
    assert {name for name in pv.__all__ if getattr(pv, name) is None} == set()
    assert set(pv.__all__) <= set(dir(pv))
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        pv.fitt  # noqa: B018


def test_rooms_are_there_without_an_import_of_their_own() -> None:
    code = "import ppl_vae as pv; pv.predictive.prior, pv.guides.FullRank, pv.models.VAE, pv.sklearn.VAE"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert {"predictive", "guides", "sklearn"} <= set(dir(pv))


def test_importing_it_imports_no_torch() -> None:
    code = "import sys, ppl_vae; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_settings_are_given_by_name() -> None:
    data = pv.load("digits", binarization="static", test_fraction=0.5)
    assert data.test is not None
    assert abs(len(data.test) - 1797 / 2) < 1
    model, guide = vae_pair()
    history = pv.fit(model, guide, pv.Dataset(data.train.x[:20, :3, :4]), epochs=2, batch_size=10, device="cpu")
    assert len(history) == 2
    with pytest.raises(pv.UserError, match=r"^unknown setting 'epoch' .*did you mean 'epochs'\?$"):
        pv.fit(model, guide, data.train, epoch=2)
    with pytest.raises(pv.UserError, match=r"^`row_learning_rate`: nothing here reads it; what does: per-datapoint"):
        pv.fit(model, guide, data.train, row_learning_rate=0.05)


@pytest.mark.parametrize("wrong", ["tensor", "splits"])
def test_what_is_no_data_set_is_said_by_all_alike(wrong: str) -> None:
    model, guide = vae_pair()
    splits = pv.load("digits")
    data: Any = splits if wrong == "splits" else splits.train.x
    for call in (
        lambda: pv.fit(model, guide, splits.train.x),
        lambda: pv.elbo(model, guide, data),
        lambda: pv.importance_bound(model, guide, data, 2),
        lambda: pv.annealed_importance_bound(model, guide, data, 2),
        lambda: pv.evaluate(model, guide, data),
        lambda: pv.diagnose(model, guide, data),
        lambda: pv.infer(model, guide.family, data),
    ):
        with pytest.raises(pv.UserError, match=r"^the data is a (Splits|Tensor); make it a ppl_vae\.data\.Dataset"):
            call()


# --- Numbers are held to their ranges ---------------------------------------------------------------------------------


def _is_number(kind: object) -> bool:
    """Whether an annotation is ``int``, with a range or not, or that or None."""
    if get_origin(kind) is Annotated or type(None) in get_args(kind):
        return any(map(_is_number, get_args(kind)))
    return kind is int


NUMBERS = {
    (name, parameter.name): parameter.annotation
    for name in pv.__all__
    if inspect.isfunction(found := getattr(pv, name))
    for parameter in inspect.signature(found).parameters.values()
    if _is_number(parameter.annotation)
}


@pytest.mark.parametrize(("name", "number"), NUMBERS)
def test_a_number_out_of_its_range_is_refused_by_name_before_all_else(name: str, number: str) -> None:
    function = getattr(pv, name)
    needed = {
        each.name: 1 if _is_number(each.annotation) else None
        for each in inspect.signature(function).parameters.values()
        if each.default is each.empty and each.kind is not each.VAR_KEYWORD
    }
    for wrong in (-1, 10**400, 1.5, "many"):
        with pytest.raises(pv.UserError, match=f"^`{number}`: must be "):
            function(**{**needed, number: wrong})


def test_there_are_such_numbers() -> None:
    assert {("elbo", "num_samples"), ("annealed_importance_bound", "num_chains"), ("simulate", "num")} <= NUMBERS.keys()
    for wrong in (0, -1):
        with pytest.raises(pv.UserError, match=f"^`num_samples`: must be greater than 0, got {wrong}[.]$"):
            pv.elbo(*vae_pair(), pv.Dataset(torch.zeros(2, 3, 4)), wrong)
