"""Progress of what takes its time: a bar on a terminal and in a notebook, gone when it is done; elsewhere a line of the
log at times.
"""

import logging
import os
import sys
import time
from html import escape
from io import StringIO
from typing import Any

from tqdm import tqdm

FIRST_LINE = 10.0
"""Seconds after which the first line is logged, where there is no terminal; each next one when twice that of the last
has passed."""

_log = logging.getLogger(__name__)


class Bar(tqdm):  # type: ignore[type-arg]
    """A bar; where none is shown for want of a terminal, its progress is logged, at level INFO. How long it
    took is logged where that was long. In a notebook it is one output that is drawn anew, which needs no widgets.

    Args:
        total: how many there are.
        unit: what is counted.
        what: is done with them.
        shown: None shows it on a terminal and in a notebook, and logs elsewhere; who asks for a bar or for none has no
            lines.
        initial: how many were done before.
        settings: of tqdm.
    """

    def __init__(
        self, total: int, unit: str, what: str, shown: bool | None = None, initial: int = 0, **settings: Any
    ) -> None:
        hide = None if shown is None else not shown
        self._output: Any = None  # of the cell, once there is something to show
        self._in_notebook = not hide and in_notebook()
        if self._in_notebook:  # where standard error is red, and no terminal
            hide, settings = False, {**settings, "file": StringIO(), "dynamic_ncols": False, "mininterval": 0.25}
        elif _has_no_width():
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

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Draw it as it stands; tqdm calls this, with the empty text to take it away."""
        if not self._in_notebook:
            super().display(msg, pos)
            return
        from IPython.display import display

        data = {"text/html": "", "text/plain": ""} if msg == "" else self._as_output()
        if self._output is None:
            self._output = display(data, raw=True, display_id=True)
        else:
            self._output.update(data, raw=True)

    def _as_output(self) -> dict[str, str]:
        """What a cell shows of it."""
        found = self.format_dict
        done, total, elapsed = found["n"], found["total"], found["elapsed"]
        rate = found["rate"] or (done - found["initial"]) / max(elapsed, 1e-9)
        words = f"{found['prefix'].removesuffix(': ')}: {done:,} of {total:,} {found['unit']}s"
        words += f", {tqdm.format_interval(elapsed)}"
        if rate and done < total:
            words += f", {tqdm.format_interval((total - done) / rate)} to go"
        words += f", {found['postfix']}" if found["postfix"] else ""
        share = f'<progress value="{done}" max="{max(1, total)}" style="vertical-align: middle"></progress>'
        return {"text/html": f"<div>{share} {escape(words)}</div>", "text/plain": words}

    def close(self) -> None:
        """Take the bar away; of what is done and took long, say how long."""
        super().close()
        if not getattr(self, "_tells", False):  # tqdm closes also what has not come to be
            return
        self._tells = False
        (what, total, unit), passed = self._words, time.monotonic() - self._began
        if self._done >= total and passed >= FIRST_LINE:
            _log.info(f"{what:<8} {total:,} {unit}s took {passed:.0f} s")


def in_notebook() -> bool:
    """Whether a Jupyter kernel runs this, and not a process that it has started."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return hasattr(shell, "kernel")


def _has_no_width() -> bool:
    """Whether this is a terminal that was never told its width, as some containers and editors start them."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns == 0
    except (OSError, ValueError, AttributeError):  # none, or what stands in its place has no file
        return False


def bar(total: int, unit: str, what: str, shown: bool | None = None, **settings: Any) -> Bar:
    """A :class:`Bar` that is gone when it is done, to be used in a ``with``; ``update`` takes how many more are."""
    return Bar(total, unit, what, shown, leave=False, **settings)
