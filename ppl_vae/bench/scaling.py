"""How a step of ours, eager and traced, grows with the batch, the latent and the number of datapoints."""

from typing import Any

from ppl_vae.bench.contenders import Contender
from ppl_vae.bench.measure import interleave
from ppl_vae.bench.ours import Ours
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES, Size
from ppl_vae.bench.timing import ratio
from ppl_vae.tracing.capture import NotTraceableError

BATCH_SIZES = (64, 256, 1024)
LATENT_DIMS = (2, 50, 200)
NUM_ROWS = (10_000, 1_000_000)


def cases() -> dict[str, tuple[Size, bool]]:
    """By name: a size, and whether the guide has a row for each datapoint."""
    mnist = SIZES["mnist"]._replace(num_rows=20_480)
    # A million of the digits' 64 pixels: as many of MNIST's would be three gigabytes before the first step.
    rows = SIZES["digits"]._replace(batch_size=100)
    return {
        **{f"batch {size}": (mnist._replace(batch_size=size), False) for size in BATCH_SIZES},
        **{f"latent {dim}": (mnist._replace(latent_dim=dim), False) for dim in LATENT_DIMS},
        **{f"N {number:,}, per-datapoint": (rows._replace(num_rows=number), True) for number in NUM_ROWS},
    }


def measure_scaling(clock: Clock) -> dict[str, Any]:
    """Time both of our steps in every case.

    Returns:
        by case: ``size`` in words, ``eager`` and ``traced`` with their times, ``traced/eager``; where the step cannot
        be traced, ``absent`` says why.
    """
    found: dict[str, Any] = {}
    for name, (size, per_datapoint) in cases().items():
        clock.report(f"scaling: {name}")
        present: dict[str, Contender] = {"eager": Ours(size, clock.device, traced=False, per_datapoint=per_datapoint)}
        found[name] = {"size": str(size)}
        try:
            present["traced"] = Ours(size, clock.device, traced=True, per_datapoint=per_datapoint)
        except NotTraceableError as error:
            found[name]["absent"] = str(error)
        timings = interleave(present, clock, f"scaling: {name}")
        found[name] |= {who: timing.to_dict() for who, timing in timings.items()}
        if "traced" in timings:
            found[name]["traced/eager"] = ratio(timings["traced"].milliseconds, timings["eager"].milliseconds)._asdict()
    return found
