"""Pyro's own inference as a reference: each fit begins afresh, and nothing of it stays behind."""

import pyro
import torch
from pyro.infer.autoguide import AutoNormal

from ppl_vae.diagnostics import references
from ppl_vae.inference.fitting import InferConfig
from tests.pairs import stripes_data, vae_pair


def test_each_autoguide_starts_from_its_own_parameters(monkeypatch):
    started = []

    class Watched(AutoNormal):
        def _setup_prototype(self, *args, **kwargs):
            super()._setup_prototype(*args, **kwargs)
            started.append((self.locs.z.detach().clone(), self.scales.z.detach().clone()))

    for name in ("AutoNormal", "AutoMultivariateNormal", "AutoIAFNormal"):
        monkeypatch.setattr(references, name, Watched)
    monkeypatch.setattr(references, "_STEPS", 3)
    monkeypatch.setattr(references, "_NUM_SAMPLES", 4)
    data = stripes_data(2)
    rows = references.references(*vae_pair(), data, InferConfig(infer_window=2, infer_halvings=1))
    assert {"Pyro's Watched", "Pyro's NUTS", "its own guide"} <= set(rows)
    assert len(started) == 6
    assert all(torch.equal(scale, started[0][1]) for _, scale in started)  # the scale that an AutoGuide begins with
    assert not list(pyro.get_param_store().keys())
