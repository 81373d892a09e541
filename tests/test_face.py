"""What ``import ppl_vae`` offers: one name for each, imported when it is asked for."""

import subprocess
import sys
from typing import Any

import pytest

import ppl_vae as pv
from tests.pairs import vae_pair


def test_every_name_is_there() -> None:
    assert {name for name in pv.__all__ if getattr(pv, name) is None} == set()
    assert set(pv.__all__) <= set(dir(pv))
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        pv.fitt  # noqa: B018


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
        lambda: pv.fit(model, guide, data),
        lambda: pv.elbo(model, guide, data),
        lambda: pv.importance_bound(model, guide, data, 2),
        lambda: pv.annealed_importance_bound(model, guide, data, 2),
        lambda: pv.evaluate(model, guide, data),
        lambda: pv.diagnose(model, guide, data),
        lambda: pv.infer(model, guide.family, data),
    ):
        with pytest.raises(pv.UserError, match=r"^the data is a (Splits|Tensor); make it a ppl_vae\.data\.Dataset"):
            call()
