"""The families that are fitted to a datapoint alone."""

from collections.abc import Callable

import pytest

from ppl_vae import UserError
from ppl_vae.guides import Diagonal, Family
from ppl_vae.registry import factories
from ppl_vae.registry.local_families import fitted_alone, local_families
from tests.pairs import vae_pair


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
    with pytest.raises(UserError, match=r"unknown family 'planer' \(known: .*with-setting\); did you mean 'planar'\?"):
        local_families(guide, guide.latents, ("planer",))
