"""Errors that the user can mend: one sentence on what is wrong, one on what to do."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Bad input. The command line prints the message on one line and exits with status 2."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a table, with the nearest one that is."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'?" if near else "choose one of them."
    return UserError(f"unknown {kind} '{name}' (known: {', '.join(names)}); {hint}")


def reason(error: BaseException) -> str:
    """What somebody else's error says, on one line."""
    first_line = str(error).strip().split("\n")[0].strip()
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
