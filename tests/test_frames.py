"""Every result becomes a frame and shows itself in a notebook; what its columns are called."""

import inspect
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import ppl_vae as pv
from ppl_vae import diagnostics, evaluation, predictive
from ppl_vae.predictive.imputation import imputed
from ppl_vae.predictive.latent_space.nearest import nearest
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.runtime.shown import Names, as_html
from ppl_vae.sklearn import VAE

pytest.importorskip("pandas")

ROOMS: tuple[ModuleType, ...] = (pv, predictive, evaluation, diagnostics)
NO_TABLE = {
    "build_guide": "a program",
    "build_model": "a program",
    "check_pair": "nothing",
    "compiled": "an inference algorithm",
    "encode": "an array, as numpy has it; `infer_latents` has the table",
    "estimates": "estimates by name, which `evaluate` shows",
    "load": "data",
    "mean_of": "a number",
    "open": "a run",
    "pack": "a file",
    "push_to_hub": "a repository",
    "save": "a run",
    "simulate": "data",
    "to_datatree": "ArviZ's own",
}
"""Functions whose results are no tables, and what they are."""

FUNCTIONS = {
    name: function
    for room in ROOMS
    for name in room.__all__
    if inspect.isfunction(function := getattr(room, name)) and name not in NO_TABLE
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_result_becomes_a_frame_and_shows_itself(name: str) -> None:
    result = inspect.signature(FUNCTIONS[name]).return_annotation
    assert callable(getattr(result, "to_frame", None)), f"give {result} `to_frame`, as ppl_vae.runtime.shown has it"
    assert callable(getattr(result, "_repr_html_", None))


COLUMNS = ("age", "dose")
TABLE = pv.Dataset(
    torch.tensor([[0.5, 1.0], [-1.0, 2.0], [0.0, 0.0]]),
    torch.tensor([1, 0, 1]),
    names=Names(COLUMNS, ("cat", "dog")),
)


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    model = pv.build_model("vae", TABLE, latent_dim=2, hidden=(4,), likelihood="normal")
    return model, pv.build_guide("amortized", model, TABLE)


def _same(column: Any, values: Tensor) -> None:
    np.testing.assert_array_equal(np.asarray(column), values.flatten().numpy())


def test_draws_of_the_posterior_say_of_which_observation_they_are(pair: tuple[nn.Module, nn.Module]) -> None:
    draws = pv.posterior_predictive(*pair, TABLE, num_samples=2)
    frame = draws.to_frame()
    assert list(frame) == ["draw", "index", "label", "z1", "z2", "age", "dose", "age_mean", "dose_mean"]
    assert frame["draw"].tolist() == [0, 0, 0, 1, 1, 1]
    assert frame["index"].tolist() == [0, 1, 2] * 2
    assert frame["label"].tolist() == ["dog", "cat", "dog"] * 2
    _same(frame["z2"], draws.latents["z"][..., 1])
    _same(frame["dose_mean"], draws.means[..., 1])
    once = pv.posterior_predictive(*pair, TABLE)
    assert list(once.to_frame())[:3] == ["index", "label", "z1"]
    assert len(once.to_frame()) == 3


def test_draws_of_the_prior_are_called_as_the_data_is(pair: tuple[nn.Module, nn.Module]) -> None:
    model, _ = pair
    assert list(pv.prior_predictive(model, TABLE, 5).to_frame()) == [
        *("draw", "z1", "z2", "age", "dose", "age_mean", "dose_mean")
    ]
    unnamed = pv.prior_predictive(model, (2,), 5).to_frame()
    assert list(unnamed)[3:] == ["x1", "x2", "x1_mean", "x2_mean"]
    sampled = predictive.prior(model, TABLE, 5)
    _same(sampled.to_frame()["x1"], sampled["x"][:, 0])


def test_pixels_are_called_by_row_and_column() -> None:
    images = pv.Dataset(torch.zeros(2, 2, 3))
    frame = pv.prior_predictive(pv.build_model("vae", images, latent_dim=1, hidden=(4,)), images, 4).to_frame()
    assert list(frame)[:4] == ["draw", "z1", "x1,1", "x1,2"]
    assert frame.shape == (4, 2 + 2 * 6)


def test_latents_and_moments_have_a_row_for_each_observation(pair: tuple[nn.Module, nn.Module]) -> None:
    found = pv.infer_latents(*pair, TABLE).to_frame()
    assert list(found) == ["index", "label", "elbo", "z1_mean", "z2_mean", "z1_std", "z2_std"]
    moments = posterior_moments(pair[1], TABLE.batch(torch.arange(3)))
    frame = moments.to_frame()
    assert list(frame) == ["index", "label", "z1_mean", "z2_mean", "z1_std", "z2_std"]
    _same(frame["z2_std"], moments["z"].std[:, 1])
    np.testing.assert_allclose(found["z1_mean"], frame["z1_mean"], rtol=1e-6)


def test_walks_have_a_row_for_each_step(pair: tuple[nn.Module, nn.Module]) -> None:
    way = predictive.interpolate(*pair, TABLE, TABLE, images=(2, 0, 1), steps=3)
    frame = way.to_frame()
    assert list(frame)[:4] == ["way", "t", "z1", "z2"]
    assert frame["way"].tolist() == ["test 2 → 0"] * 3 + ["test 0 → 1"] * 3
    assert frame["t"].tolist() == [0.0, 0.5, 1.0] * 2
    _same(frame["z1"], way["z"][..., 0])
    near = predictive.neighbours(*pair, TABLE, TABLE, images=(2, 0), count=2)
    frame = near.to_frame()
    assert list(frame)[:5] == ["index", "rank", "label", "neighbours", "distance"]
    assert frame["index"].tolist() == [2, 2, 0, 0]
    _same(frame["neighbours"], near["neighbours"])
    codes = torch.tensor([[0.0], [3.0], [1.0]])
    found = nearest(codes[:1], codes, 2).to_frame()
    assert found.to_dict("list") == {"query": [0, 0], "rank": [1, 2], "neighbour": [0, 2], "distance": [0.0, 1.0]}


def test_what_was_missing_has_its_interval_and_what_was_seen_none(pair: tuple[nn.Module, nn.Module]) -> None:
    mask = torch.tensor([[True, False], [True, True], [True, True]])
    found = imputed(*pair, TABLE.replace(mask=mask), 50)
    frame = found.to_frame()
    assert list(frame) == ["index", "column", "value", "lower", "upper", "observed"]
    assert frame["column"].tolist() == [*COLUMNS] * 3
    assert frame.loc[~frame["observed"], ["index", "column"]].to_numpy().tolist() == [[0, "dose"]]
    assert frame.loc[1, "lower"] < frame.loc[1, "value"] < frame.loc[1, "upper"]
    seen = frame[frame["observed"]]
    assert (seen["lower"] == seen["value"]).all()
    assert (seen["upper"] == seen["value"]).all()
    told = predictive.impute(*pair, TABLE.replace(mask=mask), TABLE, 50).to_frame()
    assert told["value"].tolist() == frame["value"].tolist()


def test_names_come_with_the_data() -> None:
    import pandas

    frame = pandas.DataFrame({"age": np.arange(40) / 7, "dose": np.arange(40) % 5 / 3, "kind": ["a", "b"] * 20})
    data = pv.load(frame, label_column="kind")
    assert data.test is not None
    assert data.test.names == Names(COLUMNS, ("a", "b"))
    assert data.test.head(3).names == data.train.names
    assert pv.load("digits").train.names.labels == tuple(range(10))


def test_a_table_of_many_columns_shows_the_first_and_the_last() -> None:
    rows = [{f"c{number}": number for number in range(40)}]
    html = as_html(rows)
    assert "<th>c0</th>" in html
    assert "<th>…</th>" in html
    assert "<th>c39</th>" in html
    assert "<th>c20</th>" not in html
    assert "<p>1 rows, 40 columns</p>" in html


def test_codes_of_an_estimator_become_a_frame_by_its_own_way() -> None:
    x = np.random.default_rng(0).normal(size=(30, 3))
    z = VAE(latent_dim=2, hidden=(4,), epochs=1).set_output(transform="pandas").fit_transform(x)
    assert list(z) == ["vae0", "vae1"]
