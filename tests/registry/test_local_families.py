"""The families that are fitted to a datapoint alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ppl_vae import UserError
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.guides import Diagonal, Family, FullRank
from ppl_vae.registry import factories
from ppl_vae.registry.build import build_pair
from ppl_vae.registry.local_families import fitted_alone, inference_gaps, local_families
from ppl_vae.registry.pair_config import PairConfig
from tests.cli import own_parts
from tests.pairs import optimal, oracle, simulate, vae_pair

OWN = str(Path(own_parts.__file__))


class WithSetting(Diagonal):
    def __init__(self, latent_dim: int, *, tail: float = 5.0) -> None:
        super().__init__(latent_dim)
        self.tail = tail


class Needy(Diagonal):
    def __init__(self, latent_dim: int, *, tail: float) -> None:
        super().__init__(latent_dim)
        self.tail = tail


@pytest.fixture(autouse=True)
def families(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two that somebody has added."""
    added: dict[str, Callable[..., Family]] = {"with-setting": WithSetting, "needy": Needy}
    for table in (factories.FAMILIES, factories.EVERY_FAMILY):
        for name, made in added.items():
            monkeypatch.setitem(table, name, made)


def test_those_that_can_be_are_offered() -> None:
    assert {"diagonal", "low-rank", "full-rank", "planar", "with-setting"} <= set(fitted_alone())
    assert not {"iaf", "bottom-up", "point", "needy"} & set(fitted_alone())


@pytest.mark.parametrize("name", [*factories.EVERY_FAMILY, "with-setting", "needy"])
def test_each_is_made_or_refused_in_one_line(name: str) -> None:
    """Whatever stands in the table beside it, as a family that cannot be made without a setting."""
    _, guide = vae_pair()
    if name in fitted_alone():
        made = local_families(guide, guide.latents, (name,))[name]
        assert made.latent_dim == guide.latents.size
    else:
        with pytest.raises(UserError, match=rf"^family '{name}' .*; name another") as found:
            local_families(guide, guide.latents, (name,))
        assert "\n" not in str(found.value)


def test_a_setting_without_a_default_is_named() -> None:
    _, guide = vae_pair()
    with pytest.raises(UserError, match=r"^family 'needy' needs `tail`"):
        local_families(guide, guide.latents, ("needy",))


def test_an_unknown_one_is_told_those_that_can_be() -> None:
    _, guide = vae_pair()
    with pytest.raises(
        UserError,
        match=r"unknown family 'planer' \(known: .*path/to/file\.py:Class.*with-setting\); did you mean 'planar'\?",
    ):
        local_families(guide, guide.latents, ("planer",))


def test_one_of_a_users_file_is_made_with_its_defaults_or_refused() -> None:
    _, guide = vae_pair()
    made = local_families(guide, guide.latents, (f"{OWN}:Heavy", "diagonal"))
    assert [*made] == ["Heavy", "diagonal"]
    assert (made["Heavy"].tail, made["Heavy"].latent_dim) == (4.0, 2)
    assert made["diagonal"] is guide.family
    for name, words in (
        (f"{OWN}:Wide", "has no 'num_params'"),
        (f"{OWN}:Nothing", "unknown family in"),
        ("nowhere.py:Heavy", "there is no file"),
    ):
        with pytest.raises(UserError, match=words):
            local_families(guide, guide.latents, (name,))
    with pytest.raises(UserError, match="name each family once"):
        local_families(guide, guide.latents, (f"{OWN}:Heavy", f"{OWN}:Heavy"))


def test_the_guides_own_is_its_own_object_also_by_file() -> None:
    model = build_pair(
        PairConfig(family=f"{OWN}:Heavy", settings={"tail": 7.0}), DataInfo((3, 4), 0, 20, "0" * 16), None, 0
    )
    guide: Any = model.guide
    for name in ("Heavy", f"{OWN}:Heavy"):
        assert local_families(guide, guide.latents, (name,)) == {"Heavy": guide.family}


def test_the_gap_is_taken_apart_by_names_classes_or_families() -> None:
    model: Any = oracle(size=3, latent_dim=2)
    guide, data = optimal(model, Diagonal), Dataset(simulate(model, 3))
    few: dict[str, Any] = {
        "elbo_samples": 5,
        "num_samples": 5,
        "chains": 2,
        "temperatures": 2,
        "prior_temperatures": 2,
        "leapfrog": 1,
    }
    short: dict[str, Any] = {"infer_starts": 1, "infer_steps": 4, "infer_window": 2, "engine": "eager"}
    made = {"diagonal": guide.family, "full-rank": FullRank(2)}
    expected = inference_gaps(model, guide, made, data, **few, **short).to_dict()
    for families in (["diagonal", "full-rank"], (Diagonal, FullRank), [], ["diagonal", FullRank]):
        assert inference_gaps(model, guide, families, data, **few, **short).to_dict() == expected
    alone = inference_gaps(model, guide, "diagonal", {"mine": data}, **few, **short)
    assert [row["family"] for row in alone.rows()] == ["diagonal"]
    assert alone.own == "diagonal"

    class Mine(Diagonal):
        pass

    assert [*local_families(guide, guide.latents, (Mine, Diagonal))] == ["Mine", "diagonal"]
    with pytest.raises(UserError, match="name each family once"):
        local_families(guide, guide.latents, (Diagonal, "diagonal"))
