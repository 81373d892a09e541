"""What ArviZ is given, and what its own functions make of it."""

import builtins
import json
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

import ppl_vae as pv
from ppl_vae.data import Dataset
from ppl_vae.guides import FullRank
from tests.pairs import PriorGuide, optimal, oracle, simulate, stripes_data, vae_pair

pytest.importorskip("arviz_base")
S, K = 120, 20


@pytest.fixture(scope="module")
def exported() -> tuple[Any, torch.nn.Module, torch.nn.Module, Dataset]:
    model, guide = vae_pair()
    data = stripes_data(24)
    return pv.to_datatree(model, guide, data, S, K, seed=3), model, guide, data


def test_its_log_likelihood_is_the_importance_bound_to_rounding(exported: Any) -> None:
    tree, model, guide, data = exported
    ours = pv.importance_bound(model, guide, data, num_samples=S * K, seed=3, engine="eager").values.numpy()
    found = tree.log_likelihood["x"].values[0].astype(np.float64)
    assert found.shape == (S, 24)
    assert abs(logsumexp(found, axis=0) - np.log(S) - ours).max() < 1e-5
    assert found.std(0).min() > 1e-3  # estimates of their own, not one of all
    other = pv.to_datatree(model, guide, data, S, K, seed=4).log_likelihood["x"].values
    assert abs(other - found).max() > 1e-3


def test_arviz_leaves_one_out_and_finds_the_marginal_likelihood(exported: Any) -> None:
    """What it takes off our bound is what it calls p: noise of the estimates, and never above it but for rounding."""
    stats = pytest.importorskip("arviz_stats")
    tree, model, guide, data = exported
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its advice on the data, and on k
        found = stats.loo(tree, pointwise=True)
    ours = pv.importance_bound(model, guide, data, num_samples=S * K, seed=3, engine="eager")
    less = ours.values.numpy() - found.elpd_i.values
    assert (less > -1e-5).all()
    assert abs(less.sum() - found.p) < 1e-3
    assert less.max() < 0.5
    assert found.n_data_points == 24


def test_the_density_given_z_would_have_been_another_number() -> None:
    """Leaving one out by log p(x | z) is nats above log p(x), which is known of this pair; ours is log p(x)."""
    stats = pytest.importorskip("arviz_stats")
    model = oracle()
    data, guide = Dataset(simulate(model, 8)), optimal(model, FullRank)
    truth = pv.importance_bound(model, guide, data, num_samples=1).values.numpy()  # q is the posterior
    tree = pv.to_datatree(model, guide, data, S, K)
    assert abs(tree.log_likelihood["x"].values - truth).max() < 1e-9
    tree.log_likelihood.dataset = tree.log_likelihood.to_dataset().assign(x=tree.sample_stats["reconstruction"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        given_z = stats.loo(tree, pointwise=True).elpd_i.values
    assert (given_z - truth).mean() > 0.3


@pytest.mark.parametrize(("candidates", "reached"), [(1, False), (400, True)])
def test_its_posterior_is_nearer_to_the_true_one_the_more_candidates(candidates: int, reached: bool) -> None:
    """The guide looks at no x; weights bring its draws to the known posterior, whose mean and width they then have."""
    model = oracle(latent_dim=1)
    data = Dataset(simulate(model, 6))
    guide = PriorGuide(1, 1.5)
    num = 400
    draws = pv.to_datatree(model, guide, data, num, candidates).posterior["z"].values[0, :, :, 0]
    true = pv.infer_latents(model, optimal(model, FullRank), data, num_samples=1)
    mean, std = (true.arrays[name][:, 0] for name in ("z_mean", "z_std"))
    near = abs(draws.mean(0) - mean) < 5 * std / num**0.5
    wide = abs(draws.std(0) / std - 1) < 5 / (2 * num) ** 0.5
    assert (near.all(), wide.all()) == (reached, reached)


def test_arviz_draws_a_posterior_predictive_check_of_it(exported: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import matplotlib as mpl
    import matplotlib.style

    mpl.use("agg")
    if not hasattr(mpl.style, "core"):  # which matplotlib 3.11 has no more, and ArviZ-plots 0.8 asks for
        monkeypatch.setattr(mpl.style, "core", mpl.style, raising=False)
    plots = pytest.importorskip("arviz_plots")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        drawn = plots.plot_ppc_dist(exported[0], kind="ecdf", backend="matplotlib", num_samples=20)
    figure = drawn.viz["figure"].item()
    assert sum(len(axes.lines) for axes in figure.axes) >= 21  # the draws and the data
    from matplotlib import pyplot

    pyplot.close("all")


def test_what_is_missing_is_nan_and_what_is_given_is_told() -> None:
    model, guide = vae_pair()
    x = stripes_data(5, dynamic=False).x
    mask = torch.ones_like(x, dtype=torch.bool)
    mask[0, 0] = False
    data = Dataset(x, y=torch.arange(5), mask=mask)
    tree = pv.to_datatree(model, guide, data, 3, 2)
    seen = tree.observed_data["x"].values
    assert np.isnan(seen[0, 0]).all()
    assert (seen[1:] == x[1:].numpy()).all()
    assert tree.constant_data["y"].values.tolist() == [0, 1, 2, 3, 4]
    assert tree.posterior["z"].dims == tree.prior["z"].dims == ("chain", "draw", "datapoint", "z_dim_0")
    assert tree.posterior_predictive["x"].shape == tree.prior_predictive["x"].shape == (1, 3, *x.shape)
    assert "k_hat" not in tree.sample_stats  # of six weights there is no tail
    protocol = json.loads(tree.attrs["protocol"])
    assert (protocol["estimator"], protocol["num_samples"], protocol["num_datapoints"]) == ("iwae", 6, 5)


def test_without_arviz_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def none_of_it(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] == "arviz_base":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", none_of_it)
    with pytest.raises(pv.UserError, match=r"^ArviZ is not installed; pip install 'ppl_vae\[arviz\]'\.$"):
        pv.to_datatree(*vae_pair(), stripes_data(5), 3, 2)
