"""What training maximises: an objective, and the first of them, the ELBO, with its gradient estimators.

    ELBO(x) = E_q[log p(x | z)] − KL(q(z | x) ‖ p(z)) = reconstruction − kl  ≤  log p(x)

Nothing here waits for the device: a step returns tensors, and nobody reads them before the epoch's end. (Pyro's
``Trace_ELBO`` calls ``.item()`` at every sample site, a device sync each.) On the same noise the losses and gradients
are Pyro's, up to its sum over the batch where ours is the mean.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch
from pyro.distributions.util import is_identically_zero, scale_and_mask
from pyro.infer import ELBO
from torch import Tensor, nn

from ppl_vae.objectives.kl import closed_form_kl
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.log_weights import BATCH_SIZE, weighted_draws
from ppl_vae.programs.pair import Traces, evaluating, frozen, per_datapoint, run_pair
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.seeding import preserved, seeded, stream

if TYPE_CHECKING:
    from ppl_vae.data import Dataset


class Terms(NamedTuple):
    """One evaluation of an objective.

    Args:
        loss: what the optimizer differentiates, ``()``: minus the (weighted) objective, nats per datapoint.
        bound: the objective's own bound on log p(x) with KL weight 1, ``(batch,)``, nats, detached: of
            :class:`TraceELBO` the ELBO, of an importance-weighted objective the K-sample bound.
        elbo: the ELBO of the same draws, ``(batch,)``, detached.
        reconstruction: E_q[log p(x | z)], ``(batch,)``, detached.
        kl: KL(q ‖ p(z)), ``(batch,)``, detached. elbo = reconstruction − kl.
    """

    loss: Tensor
    bound: Tensor
    elbo: Tensor
    reconstruction: Tensor
    kl: Tensor


class Parts(NamedTuple):
    """The bound of each datapoint, and what the ELBO of the same draws is made of, ``(batch,)`` each, in nats."""

    bound: Tensor
    reconstruction: Tensor
    kl: Tensor


class Validated(NamedTuple):
    """Their means over data that is not trained on, in nats per datapoint."""

    bound: float
    reconstruction: float
    kl: float


class Objective(ELBO):
    """A bound to maximise. Also one of Pyro's ELBOs: ``SVI(model, guide, optim, loss=TraceELBO())`` works.

    One of your own says in :meth:`terms` what is climbed, and in :meth:`check` what it needs of a pair; unless it says
    so in :meth:`parts`, other data is validated by the ``bound`` of its terms. The constructor is given
    ``num_particles`` alone: a variant is a name of its own.

    Args:
        num_particles: draws of z for each datapoint, at least 1, evaluated in one call.
    """

    def __init__(self, num_particles: int = 1) -> None:
        super().__init__(  # type: ignore[no-untyped-call]
            num_particles=num_particles, vectorize_particles=True
        )

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """See that a subclass has nothing under a name that is read no more, which would be passed over in silence."""
        super().__init_subclass__(**kwargs)
        if "bounds" in vars(cls):
            raise UserError(f"{cls.__name__} has a method `bounds`, which nothing calls: it is `parts` now; rename it.")

    @abstractmethod
    def terms(self, model: nn.Module, guide: nn.Module, batch: Batch, kl_weight: float | Tensor = 1.0) -> Terms:
        """Evaluate the objective on a batch.

        Args:
            model: p(x, z).
            guide: q(z | x).
            batch: the datapoints.
            kl_weight: β ≥ 0, the factor of the KL in the loss (Higgins et al. 2017); it does not touch ``bound``
                and ``elbo``.
        """

    def parts(self, model: nn.Module, guide: nn.Module, batch: Batch) -> Parts:
        """The parts of the bound of each datapoint, of a pair that is validated and not trained.

        Args:
            model: p(x, z), in evaluation mode.
            guide: q(z | x), likewise.
            batch: the datapoints.

        Returns:
            three tensors ``(batch,)``, in nats.
        """
        terms = self.terms(model, guide, batch)
        return Parts(terms.bound, terms.reconstruction, terms.kl)

    def validated(self, model: nn.Module, guide: nn.Module, data: "Dataset", seed: int = 0) -> Validated:
        """The bound on data that is not trained on, and its parts, in nats per datapoint; bigger is better.

        Args:
            model: p(x, z).
            guide: q(z | x).
            data: the datapoints, on the device of the pair.
            seed: of the binarization, if the data is dynamic, and of the draws; the caller's generators are left alone.
        """
        data = data.fixed(seed)
        with frozen(model, guide), seeded(stream(seed, "draws"), data.device):
            found = [self.parts(model, guide, batch) for batch in data.batches(BATCH_SIZE)]
        return Validated(*(torch.cat(part).cpu().double().mean().item() for part in zip(*found, strict=True)))

    def check(self, model: nn.Module, guide: nn.Module, batch: Batch) -> None:  # most ask for nothing
        """See that the pair has what this objective needs; :mod:`ppl_vae.objectives.needs` has what is often needed.

        Args:
            model: p(x, z).
            guide: q(z | x).
            batch: a few datapoints.

        Raises:
            UserError: it has not; the message names the site.
        """

    def differentiable_loss(self, model: nn.Module, guide: nn.Module, batch: Batch) -> Tensor:
        """Pyro's convention: the loss summed over the batch, ``()``."""
        return self.terms(model, guide, batch).loss * len(batch.x)

    def loss_and_grads(self, model: nn.Module, guide: nn.Module, batch: Batch) -> Tensor:
        """As Pyro's: accumulate gradients, return minus the bound summed over the batch, ``()``."""
        terms = self.terms(model, guide, batch)
        (terms.loss * len(batch.x)).backward()
        return -terms.bound.sum()

    def loss(self, model: nn.Module, guide: nn.Module, batch: Batch) -> Tensor:
        """Minus the bound summed over the batch, ``()``, without gradients, the pair in evaluation mode."""
        with evaluating(model, guide), torch.no_grad():
            return -self.terms(model, guide, batch).bound.sum()

    def _get_trace(self, model: object, guide: object, args: object, kwargs: object) -> None:
        raise TypeError("Pyro's per-trace interface is not used here: call terms(model, guide, batch)")


class TraceELBO(Objective):
    """The ELBO, estimated from draws of the guide; any pair that keeps the contracts.

    Reparameterised sites give pathwise gradients, others the score-function estimator, Rao-Blackwellised over
    datapoints, exactly as in Pyro's ``Trace_ELBO`` (Wingate and Weber 2013; Ranganath et al. 2014).

    Args:
        num_particles: draws of z for each datapoint, at least 1.
        analytic_kl: take the KL of each latent site in closed form where torch knows one, which leaves only the
            reconstruction to chance (Kingma and Welling 2014, appendix B). Sites without one keep their estimate.
        reconstruct: have the reconstruction in the loss; without it the loss is the KL alone.
    """

    def __init__(self, num_particles: int = 1, *, analytic_kl: bool = False, reconstruct: bool = True) -> None:
        super().__init__(num_particles)
        self.analytic_kl, self.reconstruct = analytic_kl, reconstruct

    def terms(self, model: nn.Module, guide: nn.Module, batch: Batch, kl_weight: float | Tensor = 1.0) -> Terms:
        """Evaluate the ELBO; see :meth:`Objective.terms`."""
        traces = run_pair(model, guide, batch, self.num_particles)
        particles = self.num_particles

        def column(name: str, trace: str = "model") -> Tensor:
            return per_datapoint(getattr(traces, trace).nodes[name]["log_prob"], batch, particles)

        zero = torch.zeros((), dtype=batch.x.dtype, device=batch.x.device).expand(particles, len(batch.x))
        reconstruction = sum((column(name) for name in traces.observed()), zero)  # (particles, batch)
        kl, pathwise_kl, score = zero, zero, zero
        closed = closed_forms(traces) if self.analytic_kl else {}
        for divergence in closed.values():
            kl = kl + per_datapoint(divergence, batch, particles)
            pathwise_kl = pathwise_kl + per_datapoint(divergence, batch, particles)
        for name in traces.latents():
            if name not in closed:
                kl, pathwise_kl = kl - column(name), pathwise_kl - column(name)
        for name in traces.sampled():
            _, score_part, entropy_part = traces.guide.nodes[name]["score_parts"]
            if name not in closed:
                kl = kl + column(name, "guide")
                if not is_identically_zero(entropy_part):
                    pathwise_kl = pathwise_kl + per_datapoint(entropy_part, batch, particles)
            if not is_identically_zero(score_part):
                score = score + per_datapoint(score_part, batch, particles)

        kept = reconstruction if self.reconstruct else zero
        objective = kept - kl_weight * kl
        surrogate = kept - kl_weight * pathwise_kl
        if score is not zero:
            surrogate = surrogate + objective.detach() * score
            surrogate = objective.detach() + surrogate - surrogate.detach()  # its gradient, the objective's value
        reconstruction, kl = reconstruction.detach().mean(0), kl.detach().mean(0)
        elbo = reconstruction - kl
        return Terms(-surrogate.mean(), elbo, elbo, reconstruction, kl)

    def parts(self, model: nn.Module, guide: nn.Module, batch: Batch) -> Parts:
        """Of one draw for each datapoint, whichever estimator is trained; see :meth:`Objective.parts`."""
        (reconstruction,), (kl,) = weighted_draws(model, guide, batch, 1)
        return Parts(reconstruction - kl, reconstruction, kl)

    def check(self, model: nn.Module, guide: nn.Module, batch: Batch) -> None:
        """With ``analytic_kl``, see that every latent's KL has a closed form; see :meth:`Objective.check`."""
        if self.analytic_kl:
            require_closed_forms(model, guide, batch)


def closed_forms(traces: Traces) -> dict[str, Tensor]:
    """KL(q ‖ p) by site, ``(batch,)`` or ``(num_particles, batch)``, for the latents where that is known.

    A site's KL is the term of the ELBO only if the guide samples the latents in the model's order, and nothing besides
    (the condition of Pyro's ``TraceMeanField_ELBO``); otherwise there are none.
    """
    names = traces.latents()
    if list(traces.guide.stochastic_nodes) != names:
        return {}
    closed = {}
    for name in names:
        p, q = cast(Any, traces.model.nodes[name]), cast(Any, traces.guide.nodes[name])
        divergence = closed_form_kl(q["fn"], p["fn"])
        if divergence is not None:
            closed[name] = scale_and_mask(divergence, q["scale"], q["mask"])
    return closed


def require_closed_forms(model: nn.Module, guide: nn.Module, batch: Batch) -> None:
    """See that ``analytic_kl`` has something to work with.

    Raises:
        UserError: a latent whose KL has no closed form; the message names the site.
    """
    with frozen(model, guide), preserved(batch.x.device):
        traces = run_pair(model, guide, batch)
    missing = [name for name in traces.latents() if name not in closed_forms(traces)]
    if missing:
        raise UserError(f"site '{missing[0]}': KL(q, p) has no closed form here; take the objective 'elbo'.")


def kl_weight_at(step: int, warmup_steps: int, final: float = 1.0) -> float:
    """Linear warm-up: from ``final / warmup_steps`` at step 0 to ``final`` at step ``warmup_steps − 1`` and after.

    Args:
        step: from 0.
        warmup_steps: length of the warm-up; 0 for none.
        final: the weight after it, at least 0.

    Source: Bowman et al. 2016; Sønderby et al. 2016.
    """
    return final * min(1.0, (step + 1) / warmup_steps) if warmup_steps else final
