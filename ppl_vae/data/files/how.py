"""How a file is to be read: what nobody can tell from the file itself."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ppl_vae.runtime.errors import UserError, nearest

DROP = "drop"
OTHERS = "*"  # all columns that are not named
KINDS = {"real": "reals", "count": "counts", "bit": "bits", "category": "category", DROP: DROP}
WORDS = {kind: word for word, kind in KINDS.items()}
"""What a column may be said to be, and the :data:`ppl_vae.data.kinds.Column` that is meant."""


class Reading(NamedTuple):
    """How a file is to be read.

    Args:
        columns: what columns of a table are by their names, a key of :data:`KINDS`; under :data:`OTHERS` what all
            others but labels and conditions are, which are guessed without it.
        label_column: the column of a table that holds the labels, or None.
        condition_columns: those that hold conditions; they leave x.
        unlabelled_as: the class of rows whose label is not known; None refuses them.
        layer: of an .h5ad, what is read in place of X, or None.
        image_size: pixels of height and width that images are brought to, or None.
        integer_scale: what integers are divided by, 0 where they are counts or codes, or None.
        memory: bytes that data may take; of more, the training rows stay in their file where it allows that.
    """

    columns: Mapping[str, str] = {}
    label_column: str | None = None
    layer: str | None = None
    image_size: int | None = None
    memory: int = 2**31
    integer_scale: int | None = None
    condition_columns: tuple[str, ...] = ()
    unlabelled_as: str | None = None

    def refuse_unread(self, where: str, *read: str) -> None:
        """See that nothing was said that is not read here.

        Args:
            where: the data comes from.
            read: the names of the settings that are read.

        Raises:
            UserError: something was.
        """
        for name, value in self._asdict().items():
            if value not in (None, {}, ()) and name in _READERS and name not in read:
                raise UserError(f"`{name}`: nothing in {where} reads it; {_READERS[name]}.")


_READERS = {
    "columns": "it is for tables",
    "label_column": "it is for tables; an .npz has its labels in y, and images in their folders' names",
    "condition_columns": "it is for tables; an .npz has its conditions in c",
    "layer": "it is for .h5ad",
    "unlabelled_as": "it is for the label column of a table or of cells",
    "integer_scale": "it is for the integers of an .npz or .npy",
    "image_size": "it is for folders of images",
}


# Names may hold commas, and kinds be misspelt: a comma ends a part only behind "=" and as many letters as a kind has.
_BETWEEN = "|".join(rf"(?<==\w{{{length}}})," for length in sorted(set(map(len, KINDS))))


def columns_from(said: str) -> dict[str, str]:
    """What columns are by their names.

    Args:
        said: as ``age=real,city=category,id=drop``.

    Raises:
        UserError: it is written otherwise, a kind is unknown, or a column is there twice.
    """
    found: dict[str, str] = {}
    for part in re.split(_BETWEEN, said.strip().removesuffix(",")):
        name, _, kind = (word.strip() for word in part.rpartition("="))
        if not name:
            raise UserError(f"`columns`: '{part}' is no NAME=KIND; write age=real,city=category,id=drop.")
        if kind not in KINDS:
            near = nearest(kind, KINDS)
            hint = f"; did you mean {name}={near}?" if near else "."
            raise UserError(f"`columns`: '{name}' is to be '{kind}', and kinds are {', '.join(KINDS)}{hint}")
        if name in found:
            raise UserError(f"`columns`: '{name}' is there twice; say it once.")
        found[name] = kind
    return found


def columns_said(kinds: Mapping[str, str]) -> str:
    """What :func:`columns_from` takes, of what it gives."""
    return ",".join(f"{name}={kind}" for name, kind in kinds.items())
