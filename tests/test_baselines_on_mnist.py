"""What the baselines reach on MNIST, with the settings that `ppl-vae baseline` has."""

import pytest

from ppl_vae.baselines.bayes import fit_classifier
from ppl_vae.data import DataConfig, load

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(("kind", "goal"), [("gaussian", 0.95), ("mixture", 0.96)])
def test_accuracies(shared_data, kind, goal):
    data = load(DataConfig(data="mnist", data_root=shared_data, binarization="none"))
    classifier = fit_classifier(kind, data.train.x, data.train.y)
    accuracy = (classifier.classify(data.test.x) == data.test.y).double().mean()
    error = (accuracy * (1 - accuracy) / len(data.test)).sqrt()
    assert accuracy - 5 * error > goal
