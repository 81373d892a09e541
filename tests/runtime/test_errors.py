"""What an unknown name is answered with."""

import pytest

from ppl_vae.runtime.errors import UserError, nearest, reason, unknown_name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("mnits", "did you mean 'mnist'?"),
        ("Digits", "did you mean 'digits'?"),
        ("MNIST", "did you mean 'mnist'?"),
        ("zzz", "choose one"),
    ],
)
def test_the_nearest_known_name(name: str, hint: str) -> None:
    error = unknown_name("data set", name, ["mnist", "digits"])
    assert isinstance(error, UserError)
    assert str(error).startswith(f"unknown data set '{name}' (known: digits, mnist); {hint}")


def test_initials_mean_the_name_that_has_them() -> None:
    assert nearest("lr", ["layer", "learning_rate", "limit"]) == "learning_rate"
    assert nearest("x", ["xylophone", "y"]) is None


def test_a_reason_is_one_line_of_some_length_whatever_it_is_of() -> None:
    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert reason(MuteError()) == "MuteError"
    assert reason(ValueError("x " * 100_000)).endswith(" …")
    assert len(reason(ValueError("x " * 100_000))) < 600
    assert reason(ValueError("first\nsecond")) == "ValueError: first"
