"""An estimate with its errors as commands print it: ± over datapoints, (±) of the estimate on these datapoints."""

import math
from collections.abc import Iterable

from ppl_vae.evaluation import Estimate


def with_error(estimate: Estimate, digits: int = 2, width: int = 0) -> str:
    """The mean, as wide as that, ± its standard error over datapoints, which a single one does not have."""
    error = f" ± {estimate.stderr:.{digits}f}" if len(estimate.values) > 1 else ""
    return f"{estimate.mean:{width}.{digits}f}{error}"


def with_errors(estimate: Estimate, digits: int = 2, width: int = 0) -> str:
    """The same with that of the estimate on these datapoints behind it in brackets, where it is known."""
    of_draws = estimate.monte_carlo_stderr
    return with_error(estimate, digits, width) + (f" (± {of_draws:.2g})" if math.isfinite(of_draws) else "")


def errors_line(estimates: Iterable[Estimate]) -> str:
    """The unit, and which error is which."""
    known = list(estimates)
    several = all(len(each.values) > 1 for each in known)
    errors = "± standard error over datapoints" if several else "of one, so no error over datapoints"
    if any(math.isfinite(each.monte_carlo_stderr) for each in known):
        errors += ", (±) of the estimate on these datapoints"
    return f"nats per datapoint, {errors}"
