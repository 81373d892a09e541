"""What an unknown name is answered with."""

import pytest

from ppl_vae.errors import UserError, unknown_name


@pytest.mark.parametrize(
    ("name", "hint"), [("mnits", "did you mean 'mnist'?"), ("Digits", "did you mean 'digits'?"), ("zzz", "choose one")]
)
def test_the_nearest_known_name(name: str, hint: str) -> None:
    error = unknown_name("data set", name, ["mnist", "digits"])
    assert isinstance(error, UserError)
    assert str(error).startswith(f"unknown data set '{name}' (known: digits, mnist); {hint}")
