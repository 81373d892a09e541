"""Pyro's own inference as a reference: each fit begins afresh, and nothing of it stays behind."""

import pyro
import torch
from pyro.infer.autoguide import AutoNormal

from ppl_vae.inference.fitting import InferConfig
from ppl_vae.runs import references
from ppl_vae.runs.opened import AS_RECORDED


def test_each_autoguide_starts_from_its_own_parameters(trained, monkeypatch):
    started = []

    class Watched(AutoNormal):
        def _setup_prototype(self, *args, **kwargs):
            super()._setup_prototype(*args, **kwargs)
            started.append((self.locs.z.detach().clone(), self.scales.z.detach().clone()))

    for name in ("AutoNormal", "AutoMultivariateNormal", "AutoIAFNormal"):
        monkeypatch.setattr(references, name, Watched)
    monkeypatch.setattr(references, "_STEPS", 3)
    monkeypatch.setattr(references, "_NUM_SAMPLES", 4)
    found = references.reference_rows(trained, AS_RECORDED, 2, InferConfig(infer_window=2, infer_halvings=1))
    assert {"Pyro's Watched", "Pyro's NUTS"} <= set(found["rows"])
    assert len(started) == 6
    assert all(torch.equal(scale, started[0][1]) for _, scale in started)  # the scale that an AutoGuide begins with
    assert not list(pyro.get_param_store().keys())
