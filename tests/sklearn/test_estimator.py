"""The estimator beside the library's own functions, in pipelines and searches, and as a classifier."""

import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ppl_vae as pv
from ppl_vae.data.info import DataInfo, example
from ppl_vae.predictive.draws import decode
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.programs.batch import UNSEEN, Batch
from ppl_vae.programs.latents import Latents
from ppl_vae.registry.build import build_pair
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.sklearn import VAE
from ppl_vae.sklearn.rows import seeds_of
from tests.cli import own_parts

IRIS, SPECIES = load_iris(return_X_y=True)
GREY = load_digits().data[:60] / 16
SMALL: dict[str, Any] = {"latent_dim": 2, "hidden": (16,), "epochs": 10, "learning_rate": 0.02, "random_state": 0}


@pytest.fixture(scope="module")
def fitted() -> VAE:
    return VAE(**SMALL).fit(IRIS)


@pytest.fixture(scope="module")
def classifier() -> VAE:
    names = np.array(["setosa", "versicolor", "virginica"])[SPECIES]
    settings = {**SMALL, "epochs": 60, "learning_rate": 0.01, "num_samples": 20}
    return VAE(model="conditional", **settings).fit(IRIS, names)


def _data(x: NDArray[Any]) -> pv.Dataset:
    return pv.Dataset(torch.tensor(x, dtype=torch.float32), first=UNSEEN)


# --- What the library says of the same pair ---------------------------------------------------------------------------


def test_it_is_the_pair_that_the_library_makes_and_trains(fitted: VAE) -> None:
    """Bit for bit, with what nobody has set chosen as ``train`` chooses it."""
    data = pv.load(IRIS, validation_fraction=0.0, test_fraction=0.0)
    config = PairConfig(likelihood="normal", settings={"latent_dim": 2, "hidden": [16]})
    pair = build_pair(config, DataInfo.of(data), data.train, seed=0)
    history = pv.fit(*pair, data.train, epochs=10, learning_rate=0.02, seed=0, progress=False)
    for program, same in zip(pair, (fitted.model_, fitted.guide_), strict=True):
        for name, value in program.state_dict().items():
            assert torch.equal(value, same.state_dict()[name]), name
    assert history[-1].elbo == fitted.history_[-1].elbo > history[0].elbo + 0.1
    assert fitted.settings_.likelihood == "normal"
    assert (fitted.n_iter_, fitted.n_features_in_) == (10, 4)


def test_transform_is_the_mean_of_q_and_its_inverse_the_mean_of_x(fitted: VAE) -> None:
    z = fitted.transform(IRIS)
    mean = posterior_moments(fitted.guide_, next(_data(IRIS).batches(150)))["z"].mean
    np.testing.assert_allclose(z, mean, rtol=1e-4, atol=1e-5)
    assert z.dtype == np.float64
    assert fitted.transform(IRIS.astype(np.float32)).dtype == np.float32
    x = decode(fitted.model_, {"z": torch.tensor(z, dtype=torch.float32)}, (4,))
    np.testing.assert_allclose(fitted.inverse_transform(z), x, rtol=1e-4, atol=1e-5)
    with pytest.raises(ValueError, match="X has 3 columns, and z is 2 numbers"):
        fitted.inverse_transform(IRIS[:, :3])


def test_score_samples_is_the_importance_bound_of_each_row(fitted: VAE) -> None:
    found = fitted.score_samples(IRIS[:3])
    for row, value, seed in zip(IRIS[:3], found, seeds_of(_data(IRIS[:3]), 0), strict=True):
        alone = pv.importance_bound(fitted.model_, fitted.guide_, _data(row[None]), num_samples=100, seed=seed)
        assert value == pytest.approx(alone.mean, abs=1e-5)
    many = VAE(**SMALL, num_samples=500).fit(IRIS)
    together = pv.importance_bound(many.model_, many.guide_, _data(IRIS), num_samples=500)
    apart = abs(many.score(IRIS) - together.mean)
    assert 0 < apart < 5 * 2**0.5 * together.monte_carlo_stderr


@pytest.mark.parametrize("guide", ["amortized:iaf", "semi-amortized"])
def test_a_row_is_read_alone_whatever_q_has_to_draw(guide: str) -> None:
    found = VAE(guide=guide, **{**SMALL, "epochs": 1}).fit(GREY[:, :12])
    for method in (found.transform, found.score_samples):
        whole = method(GREY[:5, :12])
        np.testing.assert_allclose(whole[[3, 1]], method(GREY[[3, 1], :12]), rtol=1e-6, atol=1e-7)


def test_grey_levels_become_bits_as_in_train_and_come_back_in_the_units_of_x() -> None:
    found = VAE(**SMALL).fit(GREY)
    assert found.settings_.likelihood == "bernoulli"
    np.testing.assert_array_equal(found.transform(GREY)[:5], found.transform(GREY[:5]))
    levels = np.round(16 * GREY).astype(np.int64)
    whole = VAE(**SMALL, likelihood="continuous-bernoulli", integer_scale=16).fit(levels)
    means = whole.inverse_transform(whole.transform(levels))
    assert abs(means.mean(0) - levels.mean(0)).mean() < 2  # of 16
    np.testing.assert_array_equal(whole.transform(levels), whole.transform(levels.astype(float)))
    assert set(np.unique(found.sample(20))) == {0.0, 1.0}
    assert VAE(**SMALL, likelihood="poisson").fit(levels).info_.scale == 0


def test_images_have_a_shape_and_convolutions() -> None:
    found = VAE(**{**SMALL, "epochs": 1}, net="conv", channels=(4, 8), event_shape=(8, 8)).fit(GREY)
    assert found.model_.decoder.__class__.__name__ == "ConvDecoder"
    assert found.inverse_transform(found.transform(GREY)).shape == GREY.shape
    assert found.sample(3).shape == (3, 64)
    with pytest.raises(ValueError, match=r"`event_shape` \(8, 8\) does not hold 4 features"):
        clone(found).fit(IRIS)
    with pytest.raises(ValueError, match=r"`event_shape` is 64; it must be a tuple of whole numbers, as \(8, 8\)"):
        VAE(**SMALL, event_shape=64).fit(GREY)
    with pytest.raises(pv.UserError, match=r"`event_shape` \(1, 8, 8\) has channels first; give \(8, 8, 1\)"):
        VAE(**SMALL, event_shape=(1, 8, 8)).fit(GREY)


def test_latents_of_several_sites_stand_side_by_side() -> None:
    found = VAE(model="hierarchical", upper_latent_dim=3, **{**SMALL, "epochs": 1}).fit(GREY)
    z = found.transform(GREY)
    assert z.shape == (60, 5)
    moments = posterior_moments(found.guide_, Batch(torch.zeros(1, 64), None, torch.zeros(1, dtype=torch.long)))
    assert sorted(each.mean.shape[1] for each in moments.values()) == [2, 3]
    (lower,) = (name for name, each in moments.items() if each.mean.shape[1] == 2)
    sites = [site.name for site in Latents.of(found.model_, example(found.info_)).sites]
    places = slice(0, 2) if sites[0] == lower else slice(3, 5)
    x = decode(found.model_, {lower: torch.tensor(z[:, places]).float()}, (64,))
    np.testing.assert_allclose(found.inverse_transform(z), x, rtol=1e-4, atol=1e-5)


def test_numbers_may_be_missing() -> None:
    holes = IRIS.copy()
    holes[np.random.default_rng(0).random(holes.shape) < 0.2] = np.nan
    found = VAE(**SMALL).fit(holes)
    np.testing.assert_allclose(found.transform(holes)[7], found.transform(holes[7:8])[0], atol=1e-7)
    assert np.isfinite(found.score_samples(holes)).all()
    nothing = np.full((1, 4), np.nan)  # log p of nothing is 0
    assert found.score_samples(nothing)[0] == pytest.approx(0, abs=1.0)
    assert (found.transform(np.vstack([IRIS[:1], nothing]))[1] == found.transform(nothing)[0]).all()
    with pytest.raises(ValueError, match="X holds a number beyond"):
        found.transform(IRIS * 1e38)
    with pytest.raises(ValueError, match="X in fit had none"):
        VAE(**SMALL).fit(IRIS).transform(holes)


def test_a_guide_without_an_encoder_is_fitted_to_new_rows() -> None:
    found = VAE(guide="mean-field", **{**SMALL, "epochs": 2, "num_samples": 5}).fit(IRIS[:50])
    assert found.transform(IRIS[:2]).shape == (2, 2)
    with pytest.raises(pv.UserError, match="partial_fit is for a `guide` that reads x"):
        VAE(guide="mean-field", **SMALL).partial_fit(IRIS)


# --- Going on, and leaving all as it was ------------------------------------------------------------------------------


def test_partial_fit_goes_on_where_it_has_stopped() -> None:
    """Bit for bit: weights, optimizer, warm-up and generators."""
    settings = {**SMALL, "epochs": 3, "kl_warmup": 3, "batch_size": 40}
    whole, parts = VAE(**settings).fit(IRIS), VAE(**settings)
    for number in range(3):
        before = None if not number else parts.transform(IRIS)
        parts.partial_fit(IRIS)
        assert before is None or abs(parts.transform(IRIS) - before).max() > 1e-3
        parts = pickle.loads(pickle.dumps(parts))
    np.testing.assert_array_equal(parts.transform(IRIS), whole.transform(IRIS))
    assert [each.elbo for each in parts.history_] == [each.elbo for each in whole.history_]
    assert [each.kl_weight for each in parts.history_] == [each.kl_weight for each in whole.history_]
    other = whole.partial_fit(IRIS[:70]).score(IRIS[:9])
    assert (whole.n_iter_, np.isfinite(other)) == (4, True)
    with pytest.raises(pv.UserError, match="`schedule` cosine has an end, and partial_fit none"):
        whole.set_params(schedule="cosine").partial_fit(IRIS)


def test_early_stopping_has_rows_of_its_own() -> None:
    found = VAE(**{**SMALL, "epochs": 3}, patience=1, validation_fraction=0.2).fit(IRIS)
    assert found.history_[0].validation_bound is not None
    assert found.info_.num_data == 120


def test_everything_global_is_as_before() -> None:
    def state() -> tuple[Any, ...]:
        drawn = torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()
        return *drawn, torch.get_num_threads(), torch.get_default_dtype(), list(pyro.get_param_store().keys())

    before = state()
    for x in (IRIS, GREY):
        found = VAE(**{**SMALL, "epochs": 1}).fit(x)
        found.transform(x[:5]), found.score(x[:5]), found.sample(2), found.inverse_transform(np.zeros((2, 2)))
        found.partial_fit(x)
    assert state() == before


def test_it_pickles_with_classes_of_a_users_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = Path(own_parts.__file__)
    monkeypatch.chdir(file.parent)
    found = VAE(model=f"{file.name}:Student", dof=7.0, latent_dim=2, epochs=1, random_state=0).fit(IRIS)
    monkeypatch.chdir(tmp_path)
    assert found.settings_.settings["dof"] == 7.0
    again = pickle.loads(pickle.dumps(found))
    np.testing.assert_array_equal(again.transform(IRIS), found.transform(IRIS))
    np.testing.assert_array_equal(again.sample(3), found.sample(3))


# --- scikit-learn's ways ----------------------------------------------------------------------------------------------


def test_grid_search_over_guide_and_size_of_z_in_a_pipeline() -> None:
    pipeline = make_pipeline(StandardScaler(), VAE(**{**SMALL, "num_samples": 20}))
    grid = {"vae__guide": ["amortized:diagonal", "amortized:full-rank"], "vae__latent_dim": [1, 2]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(IRIS)
    scores = search.cv_results_["mean_test_score"]
    assert len(set(scores)) == 4
    assert search.best_score_ == scores.max() > search.score(IRIS[:9] * 3)
    best = search.best_estimator_[-1]
    assert f"{best.settings_.guide}:{best.settings_.family}" == search.best_params_["vae__guide"]
    assert search.transform(IRIS).shape == (150, search.best_params_["vae__latent_dim"])
    assert search.best_estimator_.inverse_transform(search.transform(IRIS)).shape == IRIS.shape


def test_settings_are_parameters() -> None:
    found = VAE(noise_scale="decoder", kl_warmup=2)
    assert clone(found).get_params()["noise_scale"] == "decoder"
    assert repr(found) == "VAE(kl_warmup=2, noise_scale='decoder')"
    assert "noise_scale" in found._repr_html_()
    assert VAE().set_params(kl_warmup=3, latent_dim=4).get_params()["kl_warmup"] == 3
    assert "kl_warmup" not in VAE().get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'latent_dims'"):
        VAE().set_params(latent_dims=3)
    with pytest.raises(pv.UserError, match=r"unknown parameter 'latent_dims' .*did you mean 'latent_dim'\?"):
        VAE(latent_dims=3).fit(IRIS)
    with pytest.raises(pv.UserError, match="`word_dropout`: nothing in this pair reads it"):
        VAE(word_dropout=0.5).fit(IRIS)
    with pytest.raises(pv.UserError, match="unknown guide 'amortised'"):
        VAE(guide="amortised").fit(IRIS)
    assert "amortised" in repr(make_pipeline(StandardScaler(), VAE(model="amortised"))._repr_html_())
    with pytest.raises(NotFittedError):
        VAE().sample()
    with pytest.raises(NotFittedError):
        VAE(model="conditional").predict(IRIS)


def test_a_whole_random_state_is_the_seed_of_train() -> None:
    first, second = (
        VAE(**{**SMALL, "random_state": seed}).fit(IRIS).score(IRIS) for seed in (0, np.random.RandomState(0))
    )
    assert VAE(**SMALL).fit(IRIS).score(IRIS) == first != second
    found = VAE(**SMALL).fit(IRIS)
    np.testing.assert_array_equal(found.sample(4), found.sample(4))
    assert (found.sample(4, random_state=1) != found.sample(4)).any()
    found.set_params(random_state=None)
    assert (found.sample(4) != found.sample(4)).any()


def test_frames_in_and_out() -> None:
    frame = load_iris(as_frame=True).data
    found = VAE(**{**SMALL, "epochs": 1}).set_output(transform="pandas").fit(frame)
    z = found.transform(frame)
    assert list(z.columns) == list(found.get_feature_names_out()) == ["vae0", "vae1"]
    assert list(found.feature_names_in_) == list(frame.columns)
    assert found.inverse_transform(z).shape == (150, 4)


def test_draws_are_of_the_model(fitted: VAE) -> None:
    drawn = VAE(**{**SMALL, "epochs": 100}).fit(IRIS).sample(3000)
    error = drawn.std(0) / 3000**0.5 + IRIS.std(0) / 150**0.5
    assert (abs(drawn.mean(0) - IRIS.mean(0)) < 5 * error).all()
    with pytest.raises(ValueError, match="y is for a model that reads classes"):
        fitted.sample(2, y=0)


# --- By Bayes' rule ---------------------------------------------------------------------------------------------------


def test_a_conditional_model_classifies(classifier: VAE) -> None:
    assert (classifier.predict(IRIS) == classifier.classes_[SPECIES]).mean() > 0.9
    found = classifier.predict_proba(IRIS[::50])
    np.testing.assert_allclose(found.sum(1), 1)
    under = []
    for label in range(3):
        data = pv.Dataset(torch.tensor(IRIS[::50], dtype=torch.float32), torch.full((3,), label), first=UNSEEN)
        under.append(pv.importance_bound(classifier.model_, classifier.guide_, data, 2000).values.double())
    exact = torch.stack(under, 1) + np.log(1 / 3)
    np.testing.assert_allclose(found, exact.softmax(1), atol=0.1)
    np.testing.assert_allclose(classifier.score_samples(IRIS[::50]), exact.logsumexp(1), atol=0.5)
    assert classifier.class_prior_.tolist() == [1 / 3] * 3
    assert not hasattr(VAE(), "predict")
    assert not hasattr(VAE(), "predict_proba")
    other = pickle.loads(pickle.dumps(classifier)).set_params(model="vae", epochs=1).fit(IRIS)
    assert not hasattr(other, "predict")
    assert not hasattr(other, "classes_")


def test_labels_without_an_order_are_refused() -> None:
    names = np.array(["a", None] * 75, dtype=object)
    with pytest.raises(ValueError, match="y holds labels of several types, NoneType and str; give all of one type"):
        VAE(model="conditional", **SMALL).fit(IRIS, names)


def test_a_conditional_model_encodes_and_draws(classifier: VAE) -> None:
    z = classifier.transform(IRIS)
    assert z.shape == (150, 2)
    np.testing.assert_allclose(z[[9]], classifier.transform(IRIS[[9]]), atol=1e-7)
    drawn = classifier.sample(200, y="setosa")
    error = 5 * (drawn.std(0) + IRIS.std(0)) / 50**0.5
    assert (abs(drawn.mean(0) - IRIS[SPECIES == 0].mean(0)) < error).all()
    assert (abs(drawn.mean(0) - IRIS[SPECIES == 2].mean(0)) > error)[2]
    assert classifier.inverse_transform(z).shape == IRIS.shape
    with pytest.raises(ValueError, match="y holds 'rose'; the classes are setosa, versicolor, virginica"):
        classifier.sample(2, y="rose")
    with pytest.raises(ValueError, match="requires y to be passed"):
        clone(classifier).fit(IRIS)


def test_classes_may_come_one_after_the_other() -> None:
    found = VAE(model="conditional", **{**SMALL, "num_samples": 5})
    found.partial_fit(IRIS[:100], SPECIES[:100], classes=[0, 1, 2])
    assert (found.predict_proba(IRIS[:5])[:, 2] == 0).all()
    with pytest.raises(ValueError, match="y holds 2; the classes are 0, 1"):
        found.sample(3, y=2)
    found.partial_fit(IRIS[100:], SPECIES[100:])
    assert found.class_prior_.tolist() == [1 / 3] * 3
    assert (found.predict_proba(IRIS[:5])[:, 2] > 0).all()
    with pytest.raises(ValueError, match="y holds 3"):
        found.partial_fit(IRIS[:5], np.full(5, 3))
    assert found.partial_fit(IRIS, SPECIES, classes=[2, 1, 0]).classes_.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="`classes` are those of the first call, 0, 1, 2; leave them out, or fit anew"):
        found.partial_fit(IRIS, SPECIES, classes=[0, 1, 2, 3])


def test_cross_validation_by_accuracy() -> None:
    settings = {**SMALL, "epochs": 30, "learning_rate": 0.02, "num_samples": 10}
    folds = StratifiedKFold(2)
    found = cross_val_score(VAE(model="conditional", **settings), IRIS, SPECIES, scoring="accuracy", cv=folds)
    assert found.min() > 0.8
