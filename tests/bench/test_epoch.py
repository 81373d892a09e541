"""The example's loaders, and an epoch of MNIST."""

import copy

import pytest
import torch

from ppl_vae.bench.epoch import Example, cached, measure_epoch
from ppl_vae.bench.settings import Clock


def test_the_cached_loader_gives_every_image_once():
    x = torch.rand(600, 28, 28)
    batches = [images for images, _ in cached(x)]
    assert [len(images) for images in batches] == [256, 256, 88]
    seen = torch.cat(batches)
    assert seen.shape == (600, 784)
    assert not torch.equal(seen, x.flatten(1))
    assert torch.equal(seen.sum(1).sort().values, x.flatten(1).sum(1).sort().values)


def test_the_example_learns_from_its_loader():
    loader = cached(torch.full((600, 28, 28), 0.1))
    example = Example(loader, "cpu")
    vae = example.example.svi.model.__self__
    before = copy.deepcopy(vae.state_dict())
    assert example.epoch() > 0
    assert not any(torch.equal(param, before[name]) for name, param in vae.state_dict().items())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork")  # jax, where another test has loaded it, warns of the loader's worker
def test_an_epoch_of_mnist(shared_data):
    result = measure_epoch(shared_data, Clock("cpu", repeats=1, seconds=1.0, steps=None, report=lambda what: None))
    seconds = result["seconds"]
    assert set(seconds) == {"script", "tutorial", "eager", "traced", "eager whole", "traced whole"}
    assert seconds["traced"] < seconds["traced whole"]
    assert result["ratios"]["traced/script"]["median"] == pytest.approx(seconds["traced"] / seconds["script"])
