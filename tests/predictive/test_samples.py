"""What is sampled from a pair that no run directory holds: a user's own that reads labels, a guide with a row a
datapoint."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import UserError, predictive
from ppl_vae.data import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.diagnostics.units import units
from ppl_vae.guides import Diagonal, PerDatapoint
from ppl_vae.guides.unseen import guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive import Samples
from ppl_vae.predictive.generators import generators, labels_in, of_model
from ppl_vae.predictive.latent_space.planes import holes, hollow_plane
from ppl_vae.programs.latents import Latents
from ppl_vae.runs.paths import write_samples
from tests.cli.own import Encoded, Labelled, Unlabelled
from tests.pairs import oracle, simulate

SHAPE = (3, 4)
INFO = DataInfo(SHAPE, 3, 12, "", classes=(0, 3, 7))
X = (torch.rand(12, *SHAPE, generator=torch.Generator().manual_seed(0)) < 0.5).float()
DATA = Dataset(X, torch.arange(12) % 3)


@pytest.fixture
def labelled() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    return Labelled(SHAPE, 2, 3), Encoded(SHAPE, 2)


def expected(model: nn.Module, z: Tensor, y: Tensor) -> Tensor:
    """E[x | z, y] by hand."""
    assert isinstance(model, Labelled)
    with torch.no_grad():
        logits = z @ model.decoder.weight.T + model.decoder.bias
        return (logits.unflatten(-1, SHAPE) + model.of_class[y]).sigmoid()


def test_of_a_users_own_model_that_reads_labels(labelled: tuple[nn.Module, nn.Module]) -> None:
    model, guide = labelled
    of_label = predictive.conditional(model, INFO, 5, label=7)
    torch.testing.assert_close(of_label["means"], expected(model, of_label["z"], torch.full((5,), 2)))
    assert predictive.conditional(model, INFO, 4)["means"].shape == (3, 4, *SHAPE)
    plane = predictive.grid(model, INFO, steps=3, label=3)
    z2, z1 = torch.meshgrid(plane["z"], plane["z"], indexing="ij")
    torch.testing.assert_close(plane["means"], expected(model, torch.stack([z1, z2], -1), torch.ones(3, 3).long()))
    way = predictive.interpolate(model, guide, DATA, INFO, images=(4, 2), steps=3)
    torch.testing.assert_close(way["means"], expected(model, way["z"], torch.ones(1, 3).long()))  # the first one's
    moved = predictive.arithmetic(model, guide, DATA, INFO, subtract=[0], add=[1], images=[5], strengths=[0, 1])
    torch.testing.assert_close(moved["means"], expected(model, moved["z"], torch.full((1, 2), 2)))
    used = units(model, guide, DATA)
    walk = predictive.traverse(model, guide, DATA, INFO, used, steps=3, label=0)
    torch.testing.assert_close(walk["means"], expected(model, walk["z"], torch.zeros(2, 3).long()))
    near = predictive.neighbours(model, guide, DATA, INFO, images=[3], count=2)
    assert 3 not in near["neighbours"]
    by_label = of_model(model, INFO).sheet(3, 2, labels_in(DATA))
    beside = generators({"own": by_label}, DATA, INFO, labels_in(DATA))
    assert beside["data"].shape == beside["means_0"].shape == (3, 2, *SHAPE)
    torch.testing.assert_close(beside["data"][1], X[[1, 4]])


@pytest.mark.parametrize("label", [7, "Frog", "frog"])
def test_a_direction_is_told_by_what_labels_are_called(label: int | str) -> None:
    torch.manual_seed(0)
    info = DataInfo(SHAPE, 3, 12, "", classes=(0, 3, 7), class_names=("cat", "dog", "Frog"))
    found = predictive.arithmetic(
        Unlabelled(SHAPE, 2), Encoded(SHAPE, 2), DATA, info, from_label="DOG", to_label=label, strengths=[0, 1]
    )
    assert "from the mean of label dog to that of label Frog" in found.what


def test_messages_name_settings_and_no_flags(labelled: tuple[nn.Module, nn.Module]) -> None:
    model, guide = labelled
    own = Unlabelled(SHAPE, 2)
    refused: list[tuple[Callable[[], object], str]] = [
        (lambda: predictive.prior(model, INFO), "draw from `conditional`"),
        (lambda: predictive.conditional(model, INFO, label=2), "`label` 2: the labels of this run are 0, 3 and 7"),
        (lambda: predictive.grid(model, INFO), "say which by `label`"),
        (lambda: predictive.grid(own, INFO, label=3), "`label`: this run's model takes no labels"),
        (lambda: predictive.interpolate(model, guide, DATA, INFO, images=[1]), "`images`: name two or more"),
        (lambda: predictive.interpolate(model, guide, DATA, INFO, images=[1, 12]), "`images` 12: the split's rows are"),
        (lambda: predictive.interpolate(model, guide, DATA, INFO, images=[1, -1]), "`images` -1: the split's rows are"),
        (
            lambda: predictive.interpolate(model, guide, DATA, INFO, steps=1),
            "`steps`: must be greater than or equal to 2",
        ),
        (lambda: predictive.grid(model, INFO, span=-1.0), "`span`: must be greater than 0"),
        (lambda: predictive.neighbours(model, guide, DATA, INFO, count=0), "`count`: must be greater than 0"),
        (lambda: predictive.arithmetic(model, guide, DATA, INFO, limit=-1), "`limit`: must be greater than 0"),
        (lambda: predictive.arithmetic(model, guide, DATA, INFO), "by `from_label` and `to_label`"),
        (
            lambda: predictive.arithmetic(model, guide, DATA, INFO, from_label=0, to_label=3),
            "use `subtract` and `add`",
        ),
        (lambda: predictive.neighbours(model, guide, DATA, INFO, count=12), "`count` 12: there are only 12"),
        (lambda: of_model(model, INFO).sheet(2, 2), "say `by_label`"),
    ]
    for call, said in refused:
        with pytest.raises(UserError) as caught:
            call()
        assert said in str(caught.value)
        assert "--" not in str(caught.value)


def test_a_per_datapoint_guide_meets_unseen_data_by_local_inference() -> None:
    model = oracle(latent_dim=2)
    train, test = Dataset(simulate(model, 6)), Dataset(simulate(model, 8)[6:], first=6)
    guide = PerDatapoint(Latents.of(model, train.probe()), Diagonal(2), 6).double()
    info = DataInfo((5,), 0, 6, "")
    with pytest.raises(UserError, match="has rows for datapoints 0 to 5"):
        predictive.interpolate(model, guide, test, info)
    way = predictive.interpolate(
        model, guide, test, info, steps=3, unseen=partial(guide_for, model, guide, settings=InferConfig())
    )
    with torch.no_grad():
        exact = model.posterior(test.x).mean
    # The best diagonal q has the posterior's mean; the fit stops where steps no longer tell the ELBO from a better one.
    torch.testing.assert_close(way["z"][0, [0, -1]], exact, atol=0.05, rtol=0)
    own = predictive.interpolate(model, guide, train, info, steps=3)
    torch.testing.assert_close(own["z"][0, 0], guide.table.weight[0, :2].detach())


def test_they_show_themselves_and_are_written_together(labelled: tuple[nn.Module, nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, guide = Unlabelled(SHAPE, 2), Encoded(SHAPE, 2)
    way = predictive.interpolate(model, guide, DATA, INFO, images=(4, 2), steps=3)
    shapes = "images (2,), observations (2, 3, 4), z (1, 3, 2), means (1, 3, 3, 4)"
    assert str(way).splitlines()[0] == f"arrays   {shapes}"
    assert "from end to end" in str(way)
    assert "<td>z</td><td>(1, 3, 2)</td>" in way._repr_html_()
    assert "<td>means</td><td>(1, 3, 3, 4)</td>" in way._repr_html_()
    caption = "E[x | z] on the linear way between means of q(z | x); first and last the images themselves."
    assert way.what == caption
    plane = hollow_plane(model, guide, DATA, INFO, num_places=2)
    beside = holes({"own": plane}, DATA, INFO)
    made: dict[str, Samples] = {
        "prior": predictive.prior(model, INFO, 3),
        "posterior": predictive.posterior(model, guide, DATA, INFO),
        "holes": beside,
    }
    assert set(beside.arrays) == {"codes_0", "places_0", "radii_0", "means_0", "labels"}
    assert beside["labels"].tolist() == [0, 3, 7] * 4
    for each in made.values():
        assert each.figure("Own").axes
    out = write_samples(tmp_path / "way.npz", Path, way, "Own")
    with np.load(out) as arrays:
        assert list(arrays) == ["images", "observations", "z", "means"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["way.npz", "way.png", "way.svg"]
