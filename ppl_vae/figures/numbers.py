"""Numbers in words, for pictures, tables and reports alike."""


def with_error(mean: float, stderr: float, digits: int = 2) -> str:
    """A number ± its standard error, with two significant digits of the error, so that it is never 0.00.

    Args:
        mean: the number.
        stderr: its error; NaN or 0 where there is none.
        digits: decimals of a number without an error.
    """
    if not stderr > 0:
        return f"{mean:.{digits}f}"
    return f"{mean:.{_decimals(stderr)}f} ± {error_alone(stderr)}"


def error_alone(stderr: float) -> str:
    """An error above 0 with two significant digits."""
    return f"{stderr:.{_decimals(stderr)}f}"


def _decimals(stderr: float) -> int:
    exponent = int(f"{stderr:.1e}".partition("e")[2])  # of the rounded error: 0.0996 is 0.10
    return max(0, 1 - exponent)
