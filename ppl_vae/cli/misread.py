"""What of a command line could not be read, in one line."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from itertools import pairwise

from ppl_vae.cli.flags import as_flags
from ppl_vae.cli.pair_flags import pairs_compared
from ppl_vae.registry.pair_config import why_none
from ppl_vae.runtime.errors import nearest

_FLAG = r"--[\w-]+"


def one_line(box: str, command: str, arguments: Sequence[str]) -> str:
    """The complaint, the nearest right names or why there is none, the help.

    Args:
        box: what tyro says, in a box.
        command: its name.
        arguments: that were given to it.
    """
    lines = [re.sub(r"[│╭╮╰╯─|+]+|-{5,}", " ", line).strip() for line in box.splitlines()]
    rules = [number for number, line in enumerate(box.splitlines()) if "───" in line or "-----" in line]
    complaint = " ".join(filter(None, lines[1 : rules[1] if len(rules) > 1 else None]))
    if complaint.startswith("Missing from"):
        needed = [each.strip(" .") for each in complaint.partition(": ")[2].split("(required)")][:-1]
        words = (re.sub(r"^((?:--\S+ )?[A-Z]+) (.)", lambda it: f"{it[1]}, {it[2].lower()}", each) for each in needed)
        complaint = f"{command} needs {', and '.join(words)}"
    if near := [flag for _, flag in sorted(set(_nearest(complaint, lines)))]:
        return f"{complaint.rstrip('.')}; did you mean {', '.join(near)}?"
    choice = re.match(r"invalid choice '(.*?)' for argument .*?Expected one of (\(.*)", complaint)
    if choice and (meant := nearest(choice[1], re.findall(r"'([^']*)'", choice[2]))):
        return f"{complaint.rstrip('.')}; did you mean '{meant}'?"
    unknown = re.match(r"Unrecognized options: --(?:no-)?([\w-]+)", complaint)
    pairs = pairs_compared(arguments) if command in ("train", "compare", "tune") else []
    why = unknown and as_flags(why_none(unknown[1].replace("-", "_"), pairs), None)
    return "; ".join(filter(None, (complaint.rstrip("."), why, f"see ppl-vae {command} --help.")))


def without_commas(arguments: Sequence[str]) -> list[str]:
    """The arguments with each list that has commas, ``--hidden 400,200``, as words of its own, ``--hidden 400 200``."""
    found: list[str] = []
    for word in arguments:
        flag, _, value = word.partition("=") if word.startswith("--") else ("", "", word)
        found += filter(None, (flag, *re.split(r"[,\s]+", value))) if "," in value else [word]
    return found


def _nearest(complaint: str, lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """For each flag that tyro knows something near to, its place in the complaint, and the nearest: of ``--json,
    --no-json`` the one that was meant."""
    for heading, offered in pairwise(lines):
        if heading.startswith(("Perhaps you meant", "Arguments similar to")):
            given = re.search(_FLAG, heading) or re.search(_FLAG, complaint)
            flag = given[0] if given else ""
            for near in get_close_matches(flag, re.findall(_FLAG, offered), 1, 0.0):
                yield complaint.find(flag), near
