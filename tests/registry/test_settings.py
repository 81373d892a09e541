"""Settings by signature: what of a signature is a setting, of which type, with which words; and which value it has."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field
from torch import nn

from ppl_vae import UserError
from ppl_vae.data.info import DataInfo
from ppl_vae.models import SequenceVAE
from ppl_vae.registry.build import build_pair, settled
from ppl_vae.registry.factories import GUIDES, MODELS, PRIORS
from ppl_vae.registry.local_families import local_families
from ppl_vae.registry.pair_config import PairConfig, our_settings, split_guide
from ppl_vae.registry.settings import NOTHING, described, offered_by, parameters_of, settings_of, typed
from tests.cli import own_parts

INFO = DataInfo((3, 4), 0, 20, "0" * 16)
OWN = str(Path(own_parts.__file__))


class Everything:
    """Of all kinds.

    Args:
        number: How many. Not
            too many.
        word (str): Which ``word``.

    Attributes:
        ratio: no parameter's.
    """

    def __init__(
        self,
        latent_dim: int,
        size: int = 3,
        *,
        number: Annotated[int, Field(gt=0)] = 2,
        word: Literal["a", "b"] = "a",
        ratio: float | None = None,
        unannotated=(1, 2),
        quoted: "float" = 0.5,
        needed: int,
        module: nn.Module | None = None,
        function: Callable[[], int] = lambda: 3,
        networks: object = None,
        hidden,
    ) -> None:
        """Made.

        Args:
            ratio: Of the constructor's docstring.
        """


def test_plain_keyword_only_parameters_are_settings() -> None:
    found = settings_of(Everything)
    assert list(found) == ["number", "word", "ratio", "unannotated", "quoted", "needed"]
    assert found["number"].default == 2
    assert found["needed"].default is NOTHING
    assert found["unannotated"].kind == tuple[int, ...]
    assert found["quoted"].kind is float
    words = {name: setting.words for name, setting in found.items() if setting.words}
    assert words == {
        "number": "How many. Not too many.",
        "word": "Which word.",
        "ratio": "Of the constructor's docstring.",
    }


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("number", 3, 3), ("unannotated", [4], (4,)), ("ratio", None, None), ("ratio", 1, 1.0), ("word", "b", "b")],
)
def test_a_recorded_value_has_the_type_of_its_setting(name: str, value: object, expected: object) -> None:
    found = typed(settings_of(Everything), {name: value, "nobody's": 1})
    assert found == {name: expected}
    assert type(found[name]) is type(expected)


@pytest.mark.parametrize(("name", "value"), [("number", 0), ("number", "x"), ("word", "c"), ("quoted", float("nan"))])
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(UserError, match=f"{name}.*must"):
        typed(settings_of(Everything), {name: value})


def test_of_one_name_the_first_maker_says_what_it_is_and_later_ones_what_it_leaves_open() -> None:
    def first(*, hidden: int, rank=3) -> None: ...

    def second(*, hidden: float = 2.0, rank: float = 4.0) -> None:
        """Second.

        Args:
            rank: Of it.
        """

    found = offered_by([first, second])
    assert (found["hidden"].kind, found["hidden"].default) == (int, 2.0)
    assert (found["rank"].default, found["rank"].words) == (3, "Of it.")


def test_a_function_that_makes_one_of_our_classes_has_the_settings_of_the_class() -> None:
    assert settings_of(MODELS["sequence"]) == settings_of(SequenceVAE)
    assert list(settings_of(GUIDES["semi-amortized"])) == [
        "refinement_steps",
        "refinement_rate",
        "refinement_training",
    ]
    assert list(settings_of(PRIORS["vamp"])) == ["num_components"]


class Derived(Everything):
    """Hands on what it is given.

    Args:
        depth: Of it.
    """

    def __init__(self, *args: Any, depth: int = 3, number: int = 7, **kwargs: Any) -> None:
        super().__init__(*args, number=number, **kwargs)


class Closed(Everything):
    """Hands on, but for what it knows better."""

    def __init__(self, latent_dim: int, *args: Any, depth: int = 3, **kwargs: Any) -> None:
        super().__init__(2 * latent_dim, *args, needed=depth, **kwargs)


def test_a_class_has_the_settings_and_words_of_that_which_its_constructor_hands_everything_on_to() -> None:
    class Heir(Derived):
        """Without a constructor."""

    for kind in (Derived, Heir):
        found = settings_of(kind)
        assert found.keys() == {"depth", *settings_of(Everything)}
        assert (found["number"].default, found["number"].words) == (7, "How many. Not too many.")
        assert (found["depth"].words, found["ratio"].words) == ("Of it.", "Of the constructor's docstring.")
        assert "latent_dim" in parameters_of(kind)
    assert [*settings_of(Closed)] == ["depth"]


def test_every_setting_of_ours_says_what_it_is() -> None:
    assert {name for name, setting in our_settings().items() if not setting.words} == set()
    assert set(described(PairConfig)) == {*PairConfig.__dataclass_fields__}


def test_word_dropout_has_one_default() -> None:
    info = DataInfo((3, 4), 0, 20, "0" * 16)
    model = build_pair(PairConfig(model="sequence"), info, None, 0).model
    parameter: Any = settings_of(SequenceVAE)["word_dropout"]
    assert model.word_dropout == parameter.default == 0.3


# --- What a pair reads ------------------------------------------------------------------------------------------------

READ = {
    "amortized": (PairConfig(), {"latent_dim": 10, "hidden": [400], "activation": "relu"}),
    "convolutional": (
        PairConfig(net="conv"),
        {"latent_dim": 10, "hidden": [400], "channels": [32, 64], "activation": "relu"},
    ),
    "rows": (PairConfig(model="linear-gaussian", guide="per-datapoint"), {"latent_dim": 10}),
    "the encoder of a linear model": (
        PairConfig(model="linear-gaussian", settings={"hidden": (3,)}),
        {"latent_dim": 10, "hidden": [3], "activation": "relu"},
    ),
    "recurrent": (PairConfig(model="sequence"), {"latent_dim": 10, "hidden": [400], "word_dropout": 0.3}),
    "two linear layers, bottom up": (
        PairConfig(model="two-layer-linear-gaussian", guide="per-datapoint", family="bottom-up"),
        {"latent_dim": 10, "upper_latent_dim": 5, "upper_hidden": [100], "activation": "relu"},
    ),
    "a prior of encoders": (
        PairConfig(prior="vamp", settings={"num_components": 4}),
        {"num_components": 4, "latent_dim": 10, "hidden": [400], "activation": "relu"},
    ),
    "one's own": (
        PairConfig(f"{OWN}:Student", "mean-field", "diagonal", f"{OWN}:Blurred", f"{OWN}:Wide", settings={"dof": 4}),
        {"dof": 4, "flipped": 0.1, "width": 1.5, "latent_dim": 10, "hidden": [400], "activation": "relu"},
    ),
    "one's own family": (
        PairConfig("linear-gaussian", "per-datapoint", f"{OWN}:Heavy", settings={"tail": 3.0}),
        {"tail": 3.0, "latent_dim": 10},
    ),
}


@pytest.mark.parametrize("row", READ)
def test_a_pair_has_the_settings_that_it_reads(row: str) -> None:
    pair, expected = READ[row]
    found = settled(pair, INFO).settings
    found.pop("shape", None)
    assert found == expected
    assert settled(settled(pair, INFO), INFO) == settled(pair, INFO)  # nothing that is filled in is refused


def test_settings_reach_the_users_classes() -> None:
    parts = {"family": f"{OWN}:Heavy", "likelihood": f"{OWN}:Blurred", "prior": f"{OWN}:Wide"}
    settings = {"dof": 4, "tail": 3, "flipped": 0.2, "width": 2.0, "latent_dim": 3}
    model, guide = build_pair(PairConfig(f"{OWN}:Student", settings=settings, **parts), INFO, None, 0)
    assert (model.dof, guide.family.tail, model.likelihood.flipped) == (4.0, 3.0, 0.2)
    assert model.prior.scale.tolist() == [2.0, 2.0, 2.0]


def test_a_users_family_goes_by_the_name_of_its_class() -> None:
    guide = build_pair(PairConfig(family=f"{OWN}:Heavy"), INFO, None, 0).guide
    families = local_families(guide, guide.latents, ())
    assert list(families) == ["Heavy", "full-rank"]
    assert families["Heavy"] is guide.family


def test_a_setting_without_a_default_has_to_be_given() -> None:
    needy = PairConfig(f"{OWN}:Needy")
    with pytest.raises(UserError, match="`order` has no default"):
        build_pair(needy, INFO, None, 0)
    assert build_pair(PairConfig(f"{OWN}:Needy", settings={"order": 2}), INFO, None, 0).model.order == 2


@pytest.mark.parametrize("kind", ["model", "guide", "family", "likelihood", "prior"])
def test_an_unknown_name_is_refused_with_the_nearest_and_the_way_to_ones_own(kind: str) -> None:
    with pytest.raises(UserError, match=rf"unknown {kind} 'nonesuch'.*path/to/file\.py:Class"):
        build_pair(PairConfig(**{kind: "nonesuch"}), INFO, None, 0)


@pytest.mark.parametrize(
    ("name", "guide", "family"),
    [
        ("amortized", "amortized", "diagonal"),
        ("amortized:iaf", "amortized", "iaf"),
        ("mine.py:Guide", "mine.py:Guide", "diagonal"),
        ("amortized:a/mine.py:Heavy", "amortized", "a/mine.py:Heavy"),
    ],
)
def test_a_guide_and_its_family_under_one_name(name: str, guide: str, family: str) -> None:
    assert split_guide(name) == (guide, family)
