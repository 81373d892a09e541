"""What walks do to real images: directions between classes do move images from class to class, and ways are smooth."""

import pytest
import torch
from sklearn.linear_model import LogisticRegression

from ppl_vae import FitConfig, fit
from ppl_vae.data import DataConfig, load
from ppl_vae.guides import Amortized, Diagonal
from ppl_vae.models import VAE
from ppl_vae.models.likelihoods import Bernoulli
from ppl_vae.networks.dense import Decoder, Encoder
from ppl_vae.predictive.latent_space.directions import direction, shifted
from ppl_vae.predictive.latent_space.interpolation import ways
from ppl_vae.predictive.latent_space.walks import codes_of, decode_codes
from ppl_vae.programs.latents import Latents

pytestmark = pytest.mark.slow

DIM = 20


@pytest.fixture(scope="module")
def trained(shared_data):
    """Data, model, guide: 784-400-20 after five epochs."""
    torch.manual_seed(0)
    data = load(DataConfig(data="mnist", data_root=shared_data))
    model = VAE(Decoder(DIM, (28, 28), start=Bernoulli().start(data.train.x.mean(0))), DIM)
    latents, family = Latents.of(model, data.train.probe()), Diagonal(DIM)
    guide = Amortized(latents, family, Encoder((28, 28), family.num_params))
    fit(model, guide, data.train, None, FitConfig(epochs=5), progress=False)
    return data, model, guide


def test_adding_the_direction_between_classes_moves_images_to_the_other_class(trained):
    data, model, guide = trained
    train, test = data.train.head(20_000), data.test.head(3000)
    judge = LogisticRegression(max_iter=100, C=0.02).fit(train.x.flatten(1).numpy(), train.y.numpy())
    assert judge.score(test.x.flatten(1).numpy(), test.y.numpy()) > 0.85
    codes, known = codes_of(model, guide, test.fixed(0)), codes_of(model, guide, train.fixed(0))
    strengths = torch.tensor([0.0, 1.0, 1.5])
    hits, count = torch.zeros(3), 0
    for start in range(10):
        for end in set(range(10)) - {start}:
            along = direction(known[train.y == start], known[train.y == end])
            moved = shifted(codes[test.y == start][:40], along, strengths)
            means = decode_codes(model, Latents.of(model, test.probe()), moved, (28, 28))
            judged = judge.predict(means.flatten(0, 1).flatten(1).numpy()).reshape(moved.shape[:2])
            hits += torch.from_numpy(judged == end).float().sum(0)
            count += len(moved)
    share = hits / count
    error = (share * (1 - share) / count).sqrt()  # of 3,600 images
    assert share[0] < 0.05
    assert share[1] - 5 * error[1] > 0.7
    assert share[2] - 5 * error[2] > 0.85


def test_ways_between_images_pass_smoothly(trained):
    """No step is more than three times the mean step of its way, and twice as many steps are half as large."""
    data, model, guide = trained
    test = data.test.head(200)
    codes, latents = codes_of(model, guide, test.fixed(0)), Latents.of(model, test.probe())
    for path in ("linear", "spherical"):
        largest = []
        for steps in (21, 41):
            found = torch.cat([ways(codes[row : row + 2], steps, path) for row in range(0, 200, 2)])
            means = decode_codes(model, latents, found, (28, 28))
            changes = means.diff(dim=1).abs().flatten(2).mean(-1)  # of a pixel, (ways, steps − 1)
            assert (changes.amax(1) / changes.mean(1)).max() < 3
            largest.append(changes.max())
        assert largest[1] < 0.6 * largest[0]
        assert largest[0] < 0.04
