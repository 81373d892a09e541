"""A result's table as a file for a paper: LaTeX or CSV, by the ending of its name."""

from pathlib import Path

from ppl_vae.runs.paths import refuse_existing_file
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import write_text
from ppl_vae.runtime.shown import Shown, as_csv


def check_table(path: Path | None) -> None:
    """See that :func:`write_table` can write there, before the work is done; None is for no table.

    Raises:
        UserError: the name ends in neither .tex nor .csv, or there is something in the way.
    """
    if path is None:
        return
    if path.suffix not in (".tex", ".csv"):
        raise UserError(f"`table` {path}: name a file that ends in .tex or .csv.")
    refuse_existing_file(path, "table")


def write_table(path: Path | None, found: Shown) -> None:
    """Write a result's tables.

    Args:
        path: a new file: ``.tex`` has all of them, see :meth:`ppl_vae.runtime.shown.Shown.to_latex`; ``.csv`` the
            first, and beside it ``NAME-differences.csv``, say, each other by its name. None writes nothing.
        found: the result.

    Raises:
        TakenError: there is something by that name.
        CannotWriteError: it cannot be written.
    """
    if path is None:
        return
    if path.suffix == ".tex":
        write_text(path, found.to_latex(), new=True)
        return
    for name, rows in found.tables().items():
        write_text(path.with_name(f"{path.stem}-{name}.csv") if name else path, as_csv(rows), new=True)
