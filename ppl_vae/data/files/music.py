"""Music as data: a JSON file of pieces, each a list of steps, each a list of the MIDI notes that sound."""

import json
from pathlib import Path
from typing import Any

from ppl_vae.programs.layout import LOWEST_NOTE, NUM_NOTES
from ppl_vae.runtime.errors import UserError, reason

Piece = list[list[int]]

_LONGEST = 10_000
_MOST_NUMBERS = 2**29  # of the padded array, 2 GiB
_MOST_BYTES = 2**28  # 40 for each of the steps that those numbers hold; Python takes ten times as many to parse them
_SHAPE = (
    'it must be a list of pieces, or {"train": pieces, "valid": pieces, "test": pieces}, each piece a list of steps'
)
_HIGHEST = LOWEST_NOTE + NUM_NOTES - 1


def read_music(path: Path) -> dict[str, list[Piece]]:
    """Read and check a file.

    Args:
        path: a list of pieces, or such lists as ``train`` and, if there are any, ``valid`` and ``test``.

    Returns:
        pieces by part; a file that is one list is all ``train``.

    Raises:
        UserError: what is wrong with the file, and what it should hold.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a .json of pieces of music.")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise UserError(
            f"{path}: {size / 2**20:.0f} MiB of JSON, at most {_MOST_BYTES >> 20} are accepted; use fewer pieces."
        )
    try:
        found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"{path}: not a readable JSON ({reason(error)}); {_SHAPE}.") from None
    parts = found if isinstance(found, dict) else {"train": found}
    if "train" not in parts or set(parts) - {"train", "valid", "test"}:
        raise UserError(f"{path}: parts {', '.join(map(repr, parts)) or 'none'}; {_SHAPE}.")
    for name, pieces in parts.items():
        _check(path, name, pieces)
    if not parts["train"]:
        raise UserError(f"{path}: there is no piece to train on; {_SHAPE}.")
    pieces = [piece for each in parts.values() for piece in each]
    numbers = len(pieces) * max(map(len, pieces)) * (1 + NUM_NOTES)
    if numbers > _MOST_NUMBERS:
        raise UserError(f"{path}: {len(pieces)} pieces are {4 * numbers / 2**30:.0f} GiB; take fewer or shorter ones.")
    return parts


def _check(path: Path, part: str, pieces: Any) -> None:
    if not isinstance(pieces, list):
        raise UserError(f"{path}: '{part}' is no list; {_SHAPE}.")
    for number, piece in enumerate(pieces):
        where = f"{path}: piece {number} of '{part}'"
        if not isinstance(piece, list) or not all(isinstance(step, list) for step in piece):
            raise UserError(f"{where} is no list of steps, each a list of MIDI notes.")
        if not 0 < len(piece) <= _LONGEST:
            raise UserError(f"{where} has {len(piece)} steps; it must have 1 to {_LONGEST}.")
        for step, notes in enumerate(piece):
            for note in notes:
                if type(note) is not int or not LOWEST_NOTE <= note <= _HIGHEST:
                    raise UserError(
                        f"{where} has {note!r} at step {step}; notes are MIDI numbers from {LOWEST_NOTE} to {_HIGHEST}."
                    )
