"""Numbers in words: one rule for pictures, tables, reports and the terminal."""

import math

_ROUNDING, _MOST_DECIMALS = 1e-6, 7


def with_error(mean: float, stderr: float, digits: int = 2, width: int = 0) -> str:
    """A number ± its standard error, with two significant digits of the error, so that it is never 0.00.

    Args:
        mean: the number.
        stderr: its error; NaN or 0 where there is none.
        digits: decimals of a number without an error.
        width: of the number alone, so that the ± of several lines stand below each other.
    """
    if not stderr > 0:
        return f"{mean:{width}.{digits}f}"
    decimals = _decimals(stderr) if math.isfinite(stderr) else digits
    return f"{mean:{width}.{decimals}f} ± {error_alone(stderr)}"


def error_alone(stderr: float) -> str:
    """An error above 0 with two significant digits; what only rounding makes, as a power of ten."""
    if stderr < _ROUNDING:
        return f"{stderr:.1e}"
    return f"{stderr:.{_decimals(stderr)}f}" if math.isfinite(stderr) else f"{stderr}"


def _decimals(stderr: float) -> int:
    exponent = int(f"{stderr:.1e}".partition("e")[2])  # of the rounded error: 0.0996 is 0.10
    return min(_MOST_DECIMALS, max(0, 1 - exponent))
