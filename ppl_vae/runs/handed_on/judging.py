"""What of anybody's hands may become files of the user's: plain names, each once, not too many, not too large."""

import re
import reprlib
from collections.abc import Sequence
from pathlib import PurePosixPath

MOST_FILES = 10_000
MOST_BYTES = 4 * 2**30


def fault_of(entries: Sequence[tuple[str, int]]) -> str | None:
    """What is wrong with files as they are listed, before any of them is written.

    Args:
        entries: the name of each in the folder that it is to go to, and its size in bytes; a folder's ends in ``/``.

    Returns:
        what is wrong, in words; None if nothing is.
    """
    size = sum(size for _, size in entries)
    if len(entries) > MOST_FILES:
        return f"it holds {len(entries):,} files, more than {MOST_FILES:,}"
    if size > MOST_BYTES:
        return f"its files have {size / 2**30:.1f} GiB, more than {MOST_BYTES // 2**30} GiB"
    for name, _ in entries:
        if _leads_out(name):
            return f"{reprlib.repr(name)} in it leads out of its folder or is no plain name"
    files = [name for name, _ in entries if not name.endswith("/")]
    inside = {str(folder) for name in files for folder in PurePosixPath(name).parents}
    if len({name.casefold() for name in files}) < len(files) or inside.intersection(files):
        return "a name is in it twice"
    return None


def _leads_out(name: str) -> bool:
    """Whether a name is absolute, goes upwards, or is such that no run has it."""
    parts = name.removesuffix("/").split("/")  # the first of an absolute one is empty
    odd = re.search(r"[\\\x00-\x1f\x7f]|^[A-Za-z]:", name)
    return bool(odd) or len(name) > 1000 or any(part in ("", ".", "..") for part in parts)
