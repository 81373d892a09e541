"""Progress bars of what takes its time: on a terminal only, gone when it is done."""

from typing import Any

from tqdm import tqdm


def bar(total: int, unit: str, what: str, shown: bool | None = None) -> "tqdm[Any]":
    """A bar, to be used in a ``with``; its ``update`` takes how many more are done.

    Args:
        total: how many there are.
        unit: what is counted.
        what: is done with them.
        shown: None shows it on a terminal only.
    """
    return tqdm(total=total, unit=unit, desc=what, disable=None if shown is None else not shown, leave=False)
