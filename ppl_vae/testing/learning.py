"""What is asked of a pair that is to be trained: gradients that reach everything, Pyro's own loss, learning."""

import math

import pyro
import torch
from pyro.infer import Trace_ELBO

from ppl_vae.data import Dataset
from ppl_vae.evaluation import elbo, importance_bound
from ppl_vae.objectives.elbo import TraceELBO
from ppl_vae.svi import EagerStep, OptimizerConfig, PairOptimizer
from ppl_vae.testing.case import Case, require, require_close


def check_gradients(case: Case) -> None:
    """Every parameter has a finite gradient, and it is not 0, but perhaps at the very start."""
    model, guide = case.pair()
    with torch.no_grad():
        for param in (*model.parameters(), *guide.parameters()):
            param.add_(0.02 * torch.randn_like(param))
    TraceELBO(4).terms(model, guide, case.batch()).loss.backward()
    for program in (model, guide):
        for name, param in program.named_parameters():
            if param.grad is None:
                raise AssertionError(f"the ELBO does not depend on '{name}'")
            require(param.grad.isfinite().all(), f"the gradient of '{name}' is not finite")
            require(param.grad.abs().max() > 0, f"the gradient of '{name}' is 0")


def check_objective_is_pyros(case: Case) -> None:
    """``TraceELBO`` has the loss and the gradients of Pyro's own ``Trace_ELBO``, on the same noise."""
    model, guide = case.double().pair()
    batch = case.double().batch()
    params = [*model.parameters(), *guide.parameters()]
    for num_particles in (1, 3):
        torch.manual_seed(1)
        # The nesting is given: Pyro would find it out by running the pair, which spends random numbers.
        theirs = Trace_ELBO(num_particles=num_particles, vectorize_particles=True, max_plate_nesting=1)
        expected = theirs.loss_and_grads(model, guide, batch)
        gradients = [param.grad for param in params]
        model.zero_grad()
        guide.zero_grad()
        torch.manual_seed(1)
        terms = TraceELBO(num_particles).terms(model, guide, batch)
        (terms.loss * len(batch.x)).backward()
        same = math.isclose(-terms.elbo.sum().item(), expected, rel_tol=1e-10)
        require(same, f"the ELBO of {num_particles} draws is not that of Pyro's Trace_ELBO")
        for param, gradient in zip(params, gradients, strict=True):
            if param.grad is None or gradient is None:
                require(param.grad is gradient, "a gradient is missing that Pyro's Trace_ELBO has, or the other way")
            else:
                require_close(param.grad, gradient, "a gradient is not that of Pyro's Trace_ELBO")
        model.zero_grad()
        guide.zero_grad()


def check_learning(case: Case) -> None:
    """Sixty steps raise the ELBO by half a nat or more, and it stays below the importance bound."""
    model, guide = case.pair()
    data = Dataset(case.x, case.y)
    before = elbo(model, guide, data, num_samples=400).elbo
    optimizer = PairOptimizer(model, guide, OptimizerConfig(learning_rate=0.03))
    step = EagerStep(model, guide, TraceELBO(4), optimizer, data)
    model.train()
    guide.train()
    with torch.random.fork_rng(), pyro.validation_enabled(False):
        torch.manual_seed(1)
        for _ in range(60):
            step(torch.arange(len(data)))
    after = elbo(model, guide, data, num_samples=400, seed=1).elbo
    require(after.mean > before.mean + 0.5, f"sixty steps take the ELBO from {before.mean:.3f} to {after.mean:.3f}")
    bound = importance_bound(model, guide, data, 400, seed=2)
    higher = bound.mean > after.mean - 0.1
    require(higher, f"the ELBO {after.mean:.3f} is above the importance bound {bound.mean:.3f}")
