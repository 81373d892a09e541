"""Pyro's own tools on a pair, unchanged: its ELBO as a module, SVI, Predictive, NUTS."""

import math
from typing import Any

import torch
from pyro import poutine
from pyro.infer import MCMC, NUTS, SVI, Predictive, Trace_ELBO
from pyro.optim import PyroOptim

from ppl_vae.testing.case import Case, differs, require
from ppl_vae.testing.densities import draws_of, trace_of


def check_pyros_elbo_as_a_module(case: Case) -> None:
    """Pyro's ELBO over parameters that live in modules, and torch's optimizer: every one of them moves."""
    model, guide = case.pair()
    bound = Trace_ELBO()(model, guide)
    params = [*model.parameters(), *guide.parameters()]
    same = {id(param) for param in bound.parameters()} == {id(param) for param in params}
    require(same, "the parameters of Pyro's ELBO module are not those of the pair")
    before = [param.detach().clone() for param in params]
    optimizer = torch.optim.Adam(bound.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        loss = bound(case.batch())
        loss.backward()
        optimizer.step()
        require(loss.isfinite(), "Pyro's Trace_ELBO is not finite")
    _require_all_moved(before, params)


def check_pyros_svi(case: Case) -> None:
    """``pyro.infer.SVI`` with Pyro's optimizer: every parameter moves."""
    model, guide = case.pair()
    params = [*model.parameters(), *guide.parameters()]
    before = [param.detach().clone() for param in params]
    svi = SVI(model, guide, PyroOptim(torch.optim.Adam, {"lr": 0.01}), loss=Trace_ELBO())
    for _ in range(3):
        require(math.isfinite(svi.step(case.batch())), "SVI's loss is not finite")
    shared = sorted(dict(model.named_parameters()).keys() & dict(guide.named_parameters()).keys())
    both = f"; model and guide both have {shared}, and Pyro's store knows parameters by name: rename those of one"
    _require_all_moved(before, params, both if shared else "")


def check_predictive(case: Case) -> None:
    """``pyro.infer.Predictive``: prior and posterior draws of the latents and new observations."""
    model, guide = case.pair()
    batch = case.batch()
    free = poutine.uncondition(model)
    latents = draws_of(trace_of(model, batch))
    for parallel in (False, True):
        posterior = Predictive(free, guide=guide, num_samples=4, parallel=parallel)(batch)
        prior = Predictive(free, num_samples=4, parallel=parallel)(batch)
        for found in (prior, posterior):
            shape = (4, *case.x.shape)
            require(found["x"].shape == shape, f"Predictive's x is {tuple(found['x'].shape)} and not {shape}")
            require(found["x"].isfinite().all(), "Predictive draws an x that is not finite")
            for name, value in latents.items():
                drawn = found[name].reshape(4, *value.shape)  # Predictive keeps a dimension of 1 for other plates
                require(differs(drawn[0], drawn[1]), f"two of Predictive's draws of '{name}' are the same")


def check_nuts(case: Case) -> None:
    """``pyro.infer.NUTS`` on the model: a few steps from its own start, inside every latent's support."""
    model, _ = case.double().pair()
    batch = case.double().batch(torch.tensor([0, 1]))
    trace = trace_of(model, batch)
    chain = MCMC(NUTS(model, max_tree_depth=3), num_samples=8, warmup_steps=12, disable_progbar=True)
    chain.run(batch)
    for name, value in draws_of(trace).items():
        drawn = chain.get_samples()[name]
        require(drawn.shape == (8, *value.shape), f"NUTS draws '{name}' as {tuple(drawn.shape)}")
        fn: Any = trace.nodes[name]["fn"]
        inside = fn.support.check(drawn).all()
        require(inside, f"NUTS leaves the support of '{name}'")
        require(differs(drawn, drawn[:1]), f"NUTS does not move '{name}'")


def _require_all_moved(before: list[torch.Tensor], params: list[torch.nn.Parameter], why: str = "") -> None:
    stayed = [str(tuple(now.shape)) for now, then in zip(params, before, strict=True) if torch.equal(now, then)]
    require(not stayed, f"{len(stayed)} of {len(params)} parameters have not moved: of shape {', '.join(stayed)}{why}")
