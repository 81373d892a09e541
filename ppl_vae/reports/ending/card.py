"""The card of a run, ``README.md`` in its folder: what its readers have to know. No estimate without its error."""

import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ppl_vae.estimates import Estimate, Protocol
from ppl_vae.evaluation.bounds import ElboParts
from ppl_vae.reports.chosen import all_settings
from ppl_vae.reports.next_steps import ended_too_soon
from ppl_vae.runs.handed_on.packing import needs_of
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.shown import error_alone, with_error

# A card that has not this line is somebody's own.
_MADE = "<!-- Made by ppl_vae, and made anew after a training and a report. Without this line it is left as it is. -->"

_BEGIN = """---
library_name: ppl_vae
tags:
- pyro
- variational-autoencoder
---
"""

_LOAD = """
```python
import ppl_vae as pv

run = pv.open("{name}")  # this folder, or the zip that 'ppl-vae pack' makes of it
run.model, run.guide, run.settings  # two Pyro programs, in evaluation mode; all that was set
```

The weights alone, which need no ppl_vae:

```python
from safetensors.torch import load_file

weights = load_file("{name}/model.safetensors")  # model.NAME and guide.NAME
```
"""

Named = tuple[str, Estimate]


class Estimated(NamedTuple):
    """What has been estimated of a run.

    Args:
        rows: of each estimate its name, and itself.
        note: what they are of, and in which unit.
        protocols: how they were made.
        warnings: what is to be doubted, in words.
    """

    rows: Sequence[Named] = ()
    note: str = ""
    protocols: Sequence[Protocol] = ()
    warnings: Sequence[str] = ()


def cells_of(name: str, estimate: Estimate) -> tuple[str, str, str]:
    """A line of a table: the name, the number with its error over datapoints, the error of the estimate on these."""
    of_draws = estimate.monte_carlo_stderr
    of_these = f"± {error_alone(of_draws)}" if 0 < of_draws < math.inf else ""
    return name, with_error(estimate.mean, estimate.stderr), of_these


def rows_of_parts(parts: ElboParts | None, point: bool) -> list[Named]:
    """The ELBO and its parts, of a point its reconstruction; none where they could not be had."""
    named = parts.by_name() if parts else {}
    return [(name, each) for name, each in named.items() if not point or name == "reconstruction"]


def write_card(opened: OpenedRun, estimated: Estimated, pictures: Iterable[Path] = ()) -> None:
    """Write the card of a run, over an older one of ours; one that somebody has written stays.

    Args:
        opened: the run.
        estimated: what is known of it.
        pictures: to show, in the run's folder.

    Raises:
        CannotWriteError: it cannot be written.
    """
    path = opened.run.path / "README.md"
    ours = path.is_file() and _MADE in path.read_text(encoding="utf-8", errors="replace")
    if ours or not os.path.lexists(path):
        write_text(path, _card(opened, estimated, pictures))


def _card(opened: OpenedRun, estimated: Estimated, pictures: Iterable[Path]) -> str:
    run, history = opened.run, opened.history
    data = Path(opened.settings.data.data).name
    best = history.best.epoch if opened.settings.fit.patience else None
    kept = f", of which epoch {best}, the best by validation, was kept" if best else ""
    epochs = f"{len(history)} epoch{'' if len(history) == 1 else 's'}{kept}"
    unfinished = ended_too_soon(run, history)
    warnings = [*estimated.warnings, *([f"The training may not have ended: {unfinished}."] if unfinished else [])]
    sections = [
        f"# {opened.in_words} on {data}\n\n{_MADE}",
        "A model and a guide, Pyro programs, trained together by stochastic variational inference "
        f"in {epochs}. Made with ppl_vae {run.record.versions.get('ppl_vae', 'of no known version')}.",
        *(f"![{each.stem}]({each.relative_to(run.path).as_posix()})" for each in pictures),
        "## What was trained, on what, and how\n\n" + _table(["", ""], all_settings(run.record, opened.pair)),
        "## Estimates\n\n" + _estimates(estimated),
        "## Warnings\n\n" + ("\n".join(f"- {words}" for words in warnings) or "None."),
        "## How to load it\n" + _LOAD.format(name=run.path.resolve().name) + _beside(needs_of(run)),
    ]
    return _BEGIN + "\n" + "\n\n".join(sections) + "\n"


def _estimates(found: Estimated) -> str:
    rows = [cells_of(*row) for row in found.rows if row[1].stderr > 0]  # of a single datapoint it is NaN
    if not rows:
        return "None: they could not be had, or are of a single datapoint, which has no error."
    made = [f"- {each.in_words()[-1]}; weights {each.model} and {each.guide}" for each in found.protocols]
    table = _table(["", "± over datapoints", "± of the estimate on these datapoints"], rows)
    return f"{found.note}\n\n{table}\n\nHow they were made:\n\n" + "\n".join(made)


def _beside(needs: Sequence[str]) -> str:
    listed = "".join(f"\n- {each}" for each in needs)
    return (
        f"\nBeside ppl_vae and this folder it needs:\n{listed}"
        if needs
        else "\nBeside ppl_vae it needs nothing but this folder."
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    cells = ([" ".join(cell.replace("|", "\\|").split()) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *cells))
