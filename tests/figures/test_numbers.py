"""Numbers with their errors, in words."""

import pytest

from ppl_vae.figures.numbers import with_error


@pytest.mark.parametrize(
    ("stderr", "text"),
    [
        (0.00213, "-24.1234 ± 0.0021"),
        (0.0996, "-24.12 ± 0.10"),
        (0.12, "-24.12 ± 0.12"),
        (3.4, "-24.1 ± 3.4"),
        (120.0, "-24 ± 120"),
        (0.0, "-24.12"),
        (float("nan"), "-24.12"),
        (float("inf"), "-24.12 ± inf"),
        (6.5e-16, "-24.1234500 ± 6.5e-16"),
    ],
)
def test_errors_have_two_digits(stderr, text):
    assert with_error(-24.12345, stderr, 2) == text
