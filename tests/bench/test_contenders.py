"""The contenders do the same job."""

import importlib.util
import math

import pytest
import torch

from ppl_vae.bench.contenders import AbsentError, contender
from ppl_vae.bench.floor import Floor
from ppl_vae.bench.minibatches import Minibatches
from ppl_vae.bench.sizes import SIZES, Size

TINY = Size(pixels=16, hidden=(32,), latent_dim=3, batch_size=64, num_rows=1024)
SEVERAL_DRAWS = TINY._replace(hidden=(32, 32), activation="tanh", num_particles=5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size"),
    [*((name, TINY) for name in ("pyro", "numpyro", "handwritten", "eager")), ("handwritten", SEVERAL_DRAWS)],
)
def test_all_learn_the_same_from_the_same(name, size):
    """There is nothing to learn but how bright each pixel is: all end at the entropy of independent bits."""
    if name == "numpyro":
        pytest.importorskip("numpyro", reason="NumPyro is a benchmark extra and not installed")
    brightness = torch.from_numpy(size.observations()).mean(0)
    entropy = torch.distributions.Bernoulli(brightness).entropy().sum().item()
    made = contender(name, size, "cpu")
    assert made.run(5) > 1.5 * entropy
    made.run(700)
    # 200 batches of 64 losses with a standard deviation below 2: 5σ is 0.09; the rest is the way that is left.
    assert made.run(200) == pytest.approx(entropy, abs=0.15)


def test_the_floor_multiplies_what_the_layers_need():
    size = SIZES["burda-iwae"]
    multiplications = sum(a.shape[0] * a.shape[1] * b.shape[1] for a, b, _ in Floor(size, "cpu").products)
    encoder = [784 * 200, 200 * 200, 200 * 100]
    decoder = [50 * 200, 200 * 200, 200 * 784]
    forward = 20 * sum(encoder) + 20 * 50 * sum(decoder)
    assert multiplications == 3 * forward - 20 * encoder[0]  # nobody needs the gradient of x


def test_the_floor_has_no_loss():
    assert math.isnan(Floor(TINY, "cpu").run(2))


def test_an_epoch_visits_every_row_once():
    batches = Minibatches.of(TINY, "cpu")
    for _ in range(2):
        assert torch.cat(list(batches.indices(16))).sort().values.tolist() == list(range(1024))


def test_numpyro_is_absent_in_words(monkeypatch):
    monkeypatch.setattr("ppl_vae.bench.contenders.find_spec", lambda name: None)
    with pytest.raises(AbsentError, match=r"pip install 'ppl_vae\[bench\]'"):
        contender("numpyro", TINY, "cpu")


@pytest.mark.skipif(importlib.util.find_spec("numpyro") is None, reason="NumPyro is a benchmark extra, not installed")
@pytest.mark.skipif(torch.cuda.is_available(), reason="jax may have this GPU")
def test_a_jax_without_the_device_is_absent_in_words():
    with pytest.raises(AbsentError, match=r"does not compute on 'cuda'; pip install"):
        contender("numpyro", TINY, "cuda")
