"""What is chosen by the data: a table over the kinds of it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import ppl_vae as pv
from ppl_vae.data import DataConfig, loading, sources
from ppl_vae.data.kinds import Kind, kind_of
from ppl_vae.data.splits import splits_of
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import Bernoulli, Normal
from ppl_vae.networks.convolutional import ConvDecoder
from ppl_vae.registry.pair_config import AUTO, PairConfig
from ppl_vae.registry.suited import data_for, suited
from ppl_vae.runs.run import Run, TrainConfig
from ppl_vae.runs.training import begun, train_run
from ppl_vae.runtime.config import changed
from tests.cli import own_parts

OWN, MINE = Path(own_parts.__file__), Path(__file__).parents[2] / "examples" / "mine.py"
UNSET = PairConfig(model=AUTO, likelihood=AUTO, net=AUTO)
RNG = np.random.default_rng(0)


def _levels(*shape: int) -> NDArray[Any]:
    """Of MNIST's kind: most are near black or white."""
    return np.where(RNG.random(shape) < 0.8, RNG.random(shape) < 0.2, RNG.random(shape))


KINDS: dict[str, tuple[NDArray[Any], Kind]] = {
    "bits": (RNG.random((40, 6, 5)) < 0.3, "bits"),
    "bits of a table": (RNG.random((40, 6)) < 0.3, "bits"),
    "bits in colour": (RNG.random((40, 8, 8, 3)) < 0.3, "bits"),
    "drawings": (_levels(40, 8, 8), "grey levels"),
    "drawings of 8 bits": ((255 * _levels(40, 8, 8)).astype(np.uint8), "grey levels"),
    "drawings in a row": ((255 * _levels(400, 64)).astype(np.uint8), "grey levels"),
    "grey photographs": (RNG.random((40, 8, 8)), "photographs"),
    "small photographs": (RNG.random((40, 4, 9)), "photographs"),
    "photographs": (RNG.integers(0, 256, (40, 9, 8, 3), dtype=np.uint8), "colour"),
    "photographs, channels first": (RNG.random((40, 3, 9, 8)), "colour"),
    "counts": (RNG.poisson(3.0, (100, 6)), "counts"),
    "large counts": (RNG.poisson(300.0, (100, 6)).astype(np.uint16), "counts"),
    "ratings": (RNG.integers(0, 6, (100, 6)), "counts"),
    "counts of 8 bits": (RNG.poisson(3.0, (100, 6)).astype(np.uint8), "counts"),
    "a table": (RNG.random((400, 6)), "reals"),
    "a small table": (RNG.random((20, 3)), "reals"),
}

_OWN_MODEL = """
import pyro, pyro.distributions as dist, torch
from ppl_vae.programs.program import Program

class Flat(Program):
    def __init__(self, event_shape):
        super().__init__()
        self.shape = tuple(event_shape)
        self.weight = torch.nn.Parameter(torch.zeros(self.shape))

    def forward(self, batch):
        with pyro.plate("data", len(batch.x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = self.weight + z.sum(-1).reshape(*z.shape[:-1], *(1 for _ in self.shape))
            pyro.sample("x", dist.LIKELIHOOD.to_event(len(self.shape)), obs=batch.x)
"""

CHOSEN: dict[Kind, tuple[str, str, str, str]] = {  # binarization, model, likelihood, net
    "bits": ("none", "vae", "bernoulli", "mlp"),
    "grey levels": ("dynamic", "vae", "bernoulli", "mlp"),
    "photographs": ("none", "vae", "normal", "conv"),
    "colour": ("none", "vae", "normal", "conv"),
    "counts": ("none", "vae", "poisson", "mlp"),
    "reals": ("none", "vae", "normal", "mlp"),
}


def _written(folder: Path, name: str) -> str:
    path = folder / "x.npz"
    np.savez(path, x=KINDS[name][0])
    return str(path)


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_has_what_suits_it(name: str, tmp_path: Path) -> None:
    kind = KINDS[name][1]
    data = pv.load(_written(tmp_path, name))
    assert kind_of(data.train.x) == kind
    found = suited(UNSET, data, "auto")
    binarization, model, likelihood, net = CHOSEN[kind]
    if name == "small photographs":  # that convolutions have nothing to see in
        net = "mlp"
    assert (data.binarization, found.pair) == (binarization, PairConfig(model=model, likelihood=likelihood, net=net))
    assert found.chosen == ("model", "likelihood", "net", "binarization")
    assert likelihood in found.words
    assert "`likelihood`" in found.words
    assert ("`binarization`" in found.words) == (kind in ("grey levels", "photographs", "colour"))
    assert ("`net`" in found.words) == (net == "conv")


@pytest.mark.parametrize(
    ("kinds", "why"),
    [(("reals", "counts", "bits"), "x has columns of several kinds"), (("category",) * 3, "x holds categories")],
)
def test_columns_of_several_kinds_and_categories_have_a_likelihood_for_each(kinds: tuple[str, ...], why: str) -> None:
    x = torch.eye(3).repeat(20, 1) * (1 if "category" in kinds else 2.5)
    found = suited(UNSET, splits_of(pv.Dataset(x))._replace(kinds=kinds))
    assert found.pair.likelihood == "columns"
    assert found.why == why


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([0.0, 1.0, 2.0, 9.0], "counts"),
        ([0.0, 1.0, 2.5, 9.0], "reals"),
        ([0.0, -1.0, 2.0, 9.0], "reals"),
        ([0.0, 1.0, 1.0, 0.0], "bits"),
    ],
)
def test_numbers_that_leave_the_unit_interval(values: list[float], kind: Kind) -> None:
    assert kind_of(torch.tensor(values)[:, None]) == kind


def test_text_and_music_have_the_sequence_model(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("\n".join(["anna", "bob", "eve", "otto"] * 10))
    (tmp_path / "music.json").write_text(json.dumps([[[60, 64], [62]], [[50]]] * 10))
    for file, what in (("names.txt", "text"), ("music.json", "music")):
        data = pv.load(tmp_path / file)
        found = suited(UNSET, data, "auto")
        assert found.pair == PairConfig(model="sequence")
        assert data.binarization == "none"
        assert found.words == f"the sequence model, since x is {what} (to choose yourself: `model`)"
        assert suited(replace(UNSET, model="vae"), data, "auto").pair == PairConfig(likelihood="bernoulli")


def test_what_is_set_wins_and_is_not_remarked_on(tmp_path: Path) -> None:
    data = pv.load(_written(tmp_path, "photographs"))
    for given in ({"likelihood": "continuous-bernoulli"}, {"net": "mlp"}, {"model": "hierarchical"}):
        found = suited(replace(UNSET, **given), data, "none")  # type: ignore[arg-type]
        assert {name: getattr(found.pair, name) for name in given} == given
        assert not any(f"`{name}`" in found.words for name in (*given, "binarization"))
        assert not set(found.chosen) & {*given, "binarization"}
    everything = PairConfig(likelihood="bernoulli")
    assert suited(everything, data)[:3] == (everything, (), "")


def test_a_part_that_the_model_does_not_read_is_not_chosen(tmp_path: Path) -> None:
    data = pv.load(_written(tmp_path, "photographs"))
    found = suited(replace(UNSET, model="linear-gaussian"), data, "none")
    assert found.pair == PairConfig(model="linear-gaussian")
    assert found.words == ""


@pytest.mark.parametrize(
    ("name", "given", "binarization"),
    [
        ("drawings", {"likelihood": "normal"}, "none"),
        ("drawings", {"model": "linear-gaussian"}, "none"),
        ("photographs", {"model": "linear-gaussian"}, "none"),
        ("photographs", {"likelihood": "bernoulli"}, "dynamic"),
        ("photographs", {"likelihood": f"{OWN}:Blurred"}, "dynamic"),
        ("bits", {"likelihood": "bernoulli"}, "none"),
        ("photographs", {"model": f"{MINE}:Mine"}, "dynamic"),
        ("drawings", {"model": f"{MINE}:Mine"}, "dynamic"),
        ("bits", {"model": f"{MINE}:Mine"}, "none"),
        ("drawings", {"model": f"{OWN}:Student"}, "dynamic"),  # whose likelihood is chosen
    ],
)
def test_binarization_follows_what_a_pair_takes_whose_likelihood_is_not_to_be_chosen(
    name: str, given: dict[str, str], binarization: str, tmp_path: Path
) -> None:
    settings = TrainConfig(
        DataConfig(data=_written(tmp_path, name)),
        replace(UNSET, net="mlp", **given),  # type: ignore[arg-type]
    )
    with begun(settings, tmp_path / "run") as training:
        assert training.splits.binarization == binarization
        assert training.splits.train.dynamic == (binarization == "dynamic")
        suiting = "dynamic" if name == "drawings" else "none"  # by the numbers alone
        assert ("since the model takes" in training.chosen) == (binarization != suiting)


@pytest.mark.parametrize(
    ("likelihood", "binarization"), [("Laplace(loc, 1.0)", "none"), ("Bernoulli(logits=loc)", "dynamic")]
)
@pytest.mark.parametrize("name", ["drawings", "photographs"])
def test_a_model_of_ones_own_is_asked_what_it_takes(
    likelihood: str, binarization: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(_OWN_MODEL.replace("LIKELIHOOD", likelihood))
    pair = replace(UNSET, model=f"{tmp_path / 'mine.py'}:Flat", net="mlp")
    before = torch.get_rng_state()
    data = data_for(DataConfig(data=_written(tmp_path, name)), pair)
    assert data.binarization == binarization
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("likelihood", "shape", "scale"),
    [
        ("categorical", (40, 5, 4), 0),
        ("categorical", (40, 64), 0),
        ("poisson", (40, 5, 4), 0),
        ("normal", (40, 5, 4), 3),
        ("bernoulli", (40, 5, 4), 3),
    ],
)
def test_a_likelihood_of_codes_or_counts_is_given_integers_as_they_are(
    likelihood: str, shape: tuple[int, ...], scale: int, tmp_path: Path
) -> None:
    """Images too, whose integers are otherwise levels; and the run opens on the same data again."""
    np.savez(tmp_path / "codes.npz", x=RNG.integers(0, 4, shape))
    asked = TrainConfig(DataConfig(data=str(tmp_path / "codes.npz")), replace(UNSET, likelihood=likelihood))
    asked = changed(asked, {"epochs": 1, "engine": "eager", "device": "cpu"})
    with begun(asked, tmp_path / "run", warn=lambda _: None) as training:
        train_run(training)
    run = pv.open(tmp_path / "run")
    assert (run.info.scale, run.data.scale) == (scale, scale)
    assert run.data.train.x.max() == (3 if scale == 0 else 1)


def test_the_scale_of_integers_can_be_said(tmp_path: Path) -> None:
    np.savez(tmp_path / "levels.npz", x=RNG.integers(0, 4, (40, 5)))
    path = str(tmp_path / "levels.npz")
    assert [pv.load(path, integer_scale=scale).scale for scale in (None, 0, 3, 255)] == [0, 0, 3, 255]
    with pytest.raises(pv.UserError, match="`integer_scale`: nothing in digits reads it"):
        pv.load("digits", integer_scale=0)


def test_a_model_that_cannot_be_made_yet_leaves_the_choice_to_the_numbers(tmp_path: Path) -> None:
    """Who makes it for good says what is wrong with it."""
    (tmp_path / "mine.py").write_text(_OWN_MODEL.replace("LIKELIHOOD", "Nothing()"))
    pair = replace(UNSET, model=f"{tmp_path / 'mine.py'}:Flat")
    for name, binarization in (("drawings", "dynamic"), ("photographs", "none")):
        assert data_for(DataConfig(data=_written(tmp_path, name)), pair).binarization == binarization


@pytest.mark.parametrize("kind", CHOSEN)
def test_a_run_of_each_kind_records_what_was_chosen(kind: Kind, tmp_path: Path) -> None:
    name = next(name for name, (_, of) in KINDS.items() if of == kind)
    asked = changed(
        TrainConfig(DataConfig(data=_written(tmp_path, name))), {"epochs": 1, "engine": "eager", "device": "cpu"}
    )
    asked = replace(asked, pair=replace(asked.pair, settings={"hidden": [4], "latent_dim": 2}))
    with begun(asked, tmp_path / "run", warn=pytest.fail) as training:
        train_run(training)
    record = Run.open(tmp_path / "run").record
    pair = record.config.pair
    assert (record.config.data.binarization, pair.model, pair.likelihood, pair.net) == CHOSEN[kind]
    assert replace(record.asked.pair, settings=asked.pair.settings) == asked.pair
    assert record.asked.data.binarization == AUTO
    assert CHOSEN[kind][2] in training.chosen


def test_python_has_the_same_choice(tmp_path: Path) -> None:
    data = pv.load(_written(tmp_path, "photographs"))
    model = pv.build_model(VAE, data, latent_dim=2)
    assert isinstance(model.likelihood, Normal)
    assert isinstance(model.decoder, ConvDecoder)
    digits = pv.build_model(VAE, pv.load("digits"))
    assert isinstance(digits.likelihood, Bernoulli)
    table = pv.build_model(VAE, pv.Dataset(torch.randn(50, 3)))
    assert isinstance(table.likelihood, Normal)


@pytest.mark.parametrize(("pair", "times"), [({"likelihood": "normal"}, 1), ({"likelihood": "poisson"}, 2), ({}, 1)])
def test_a_file_is_read_anew_for_other_numbers_alone(
    pair: dict[str, Any], times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For another binarization it is split anew."""
    read: list[object] = []
    monkeypatch.setattr(loading, "read_source", lambda *given: read.append(given) or sources.read_source(*given))
    found = data_for(DataConfig(data=_written(tmp_path, "drawings of 8 bits")), replace(UNSET, **pair))
    assert len(read) == times
    assert found.scale == (0 if times == 2 else 255)
    assert found.settings is not None
