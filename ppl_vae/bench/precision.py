"""What a shorter precision saves and costs: the time of a step, and the bound at the same parameters and noise."""

from typing import Any

import torch

from ppl_vae.bench.measure import interleave
from ppl_vae.bench.ours import Ours
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES, Size
from ppl_vae.bench.timing import ratio
from ppl_vae.networks.precision import Precision, computing_in
from ppl_vae.programs.pair import frozen
from ppl_vae.runtime.seeding import seeded
from ppl_vae.svi import TracedStep
from ppl_vae.tracing.capture import NotTraceableError

_SIZES = ("mnist", "burda-iwae")
# Enough that a standard error is a few thousandths of a nat.
_BATCHES = 50


def measure_precision(clock: Clock) -> dict[str, Any]:
    """Time steps in each precision, and compare its bounds with float32's.

    Returns:
        by size and precision: the time of a step, ``ratio`` to float32's, ``engine``; ``difference``, how much the
        bound is above float32's where float32's steps have led, nats per datapoint, with its ``stderr``.
    """
    # Away from NVIDIA's GPUs tf32 is float32.
    precisions: list[Precision] = (
        ["float32", "tf32", "bf16"] if clock.device.startswith("cuda") else ["float32", "bf16"]
    )
    found: dict[str, Any] = {}
    for name in _SIZES:
        made: dict[str, Ours] = {}
        for precision in precisions:
            clock.report(f"precision: preparing {name}, {precision}")
            made[precision] = _contender(SIZES[name], clock.device, precision)
        timings = interleave(made, clock, f"precision: {name}")
        trained = made["float32"]
        bounds = {precision: _bound(trained, precision) for precision in precisions}
        for precision in precisions:
            differences = bounds[precision] - bounds["float32"]
            found[f"{name}, {precision}"] = {
                **timings[precision].to_dict(),
                "ratio": ratio(timings[precision].milliseconds, timings["float32"].milliseconds)._asdict(),
                "engine": "traced" if isinstance(made[precision].step, TracedStep) else "eager",
                "difference": float(differences.mean()),
                "stderr": float(differences.std() / len(differences) ** 0.5),
            }
    return found


def _contender(size: Size, device: str, precision: Precision) -> Ours:
    try:
        return Ours(size, device, traced=True, precision=precision)
    except NotTraceableError:
        return Ours(size, device, traced=False, precision=precision)


def _bound(trained: Ours, precision: Precision) -> torch.Tensor:
    """The bound of some datapoints, ``(datapoints,)``; the noise is the same in every precision."""
    step = trained.step
    with seeded(0, step.data.device), computing_in(precision), frozen(step.model, step.guide):
        rows = torch.arange(len(step.data), device=step.data.device).split(trained.batches.batch_size)
        bounds = [
            step.objective.terms(step.model, step.guide, step.data.batch(index)).bound for index in rows[:_BATCHES]
        ]
    return torch.cat(bounds).double().cpu()
