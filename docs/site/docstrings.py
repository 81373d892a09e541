"""Docstrings as Sphinx reads them: ours are written to be read where they stand, with formulas indented."""

import re

_BULLET = re.compile(r"\s*([*-]|\d+\.) ")
_IN_CODE = re.compile(r"(``.*?``)")


def as_rst(lines: list[str]) -> list[str]:
    """Indented formulas and code, and tables in Markdown, as they stand; bars elsewhere as bars.

    An indented block is one that follows a blank line below text that is not indented; lists are none.
    """
    found: list[str] = []
    literal, before = False, ""  # the last line that is not blank
    for number, line in enumerate(lines):
        indented = line.startswith("    ")
        starts = indented and number > 0 and not lines[number - 1].strip() and not before.startswith(" ")
        if line.startswith("|"):
            if not before.startswith("|"):
                found += ["::", ""]
            found.append(f"    {line}")
            before = line
            continue
        if starts and before and not _BULLET.match(line) and not before.endswith("::"):
            found += ["::", ""]
            literal = True
        elif line.strip() and not indented:
            literal = False
        found.append(line if literal else _bars(line))
        before = line if line.strip() else before
    return found


def _bars(line: str) -> str:
    """A bar in RST begins the name of a substitution."""
    parts = _IN_CODE.split(line)
    return "".join(part if part.startswith("``") else part.replace("|", r"\|") for part in parts)
