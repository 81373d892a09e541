"""Progress of what takes its time: a bar on a terminal, gone when it is done; elsewhere a line of the log at times."""

import logging
import os
import sys
import time
from typing import Any

from tqdm import tqdm

FIRST_LINE = 10.0
"""Seconds after which the first line is logged, where there is no terminal; each next one when twice that of the last
has passed."""

_log = logging.getLogger(__name__)


class Bar(tqdm):  # type: ignore[type-arg]
    """A bar; where none is shown for want of a terminal, its progress is logged, at level INFO. How long it
    took is logged where that was long.

    Args:
        total: how many there are.
        unit: what is counted.
        what: is done with them.
        shown: None shows it on a terminal only, and logs elsewhere; who asks for a bar or for none has no lines.
        initial: how many were done before.
        settings: of tqdm.
    """

    def __init__(
        self, total: int, unit: str, what: str, shown: bool | None = None, initial: int = 0, **settings: Any
    ) -> None:
        hide = None if shown is None else not shown
        if _has_no_width():
            settings = {"ncols": 80, "nrows": 24, **settings}  # tqdm would fit its bar into none
        super().__init__(total=total, unit=unit, desc=what, disable=hide, initial=initial, **settings)
        self._logs, self._tells, self._words = bool(self.disable) and shown is None, shown is None, (what, total, unit)
        self._done, self._began, self._due = initial, time.monotonic(), FIRST_LINE

    def update(self, n: float | None = 1) -> bool | None:
        """So many more are done; none is a sign of life."""
        self._done += int(n or 0)
        if self._logs and (passed := time.monotonic() - self._began) >= self._due:
            self._due = 2 * passed
            what, total, unit = self._words
            _log.info(f"{what:<8} {self._done:,} of {total:,} {unit}s after {passed:.0f} s")
        return super().update(n)

    def close(self) -> None:
        """Take the bar away; of what is done and took long, say how long."""
        super().close()
        if not getattr(self, "_tells", False):  # tqdm closes also what has not come to be
            return
        self._tells = False
        (what, total, unit), passed = self._words, time.monotonic() - self._began
        if self._done >= total and passed >= FIRST_LINE:
            _log.info(f"{what:<8} {total:,} {unit}s took {passed:.0f} s")


def _has_no_width() -> bool:
    """Whether this is a terminal that was never told its width, as some containers and editors start them."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns == 0
    except (OSError, ValueError, AttributeError):  # none, or what stands in its place has no file
        return False


def bar(total: int, unit: str, what: str, shown: bool | None = None, **settings: Any) -> Bar:
    """A :class:`Bar` that is gone when it is done, to be used in a ``with``; ``update`` takes how many more are."""
    return Bar(total, unit, what, shown, leave=False, **settings)
