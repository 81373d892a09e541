"""What a run needs to know of rows that it does not hold, found in one pass and kept for the next time."""

import hashlib
import json
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.streaming.stored import Stored
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import CannotWriteError, whole
from ppl_vae.runtime.progress import Bar

_VERSION = 1


class Summary(NamedTuple):
    """Of the numbers of an array, as they are stored.

    Args:
        digest: SHA-256 of all rows, in hexadecimal digits.
        telling: the rows of the smallest and of the largest number, the first with a hole, one with a broken number.
        missing: how many numbers are NaN.
        seen: of the training rows, how many have each number of an observation, ``event``.
        mean: its mean over them.
        spread: its standard deviation.
        least: its smallest.
        largest: its largest.
    """

    digest: str
    telling: tuple[int, ...]
    missing: int
    seen: Tensor
    mean: Tensor
    spread: Tensor
    least: Tensor
    largest: Tensor


def summary_of(stored: Stored, is_train: np.ndarray, key: str) -> Summary:
    """Read every row once; where that was done before, for the same file and the same split, read what was found.

    Args:
        stored: the rows.
        is_train: which of them are trained on, bool, ``(N,)``.
        key: what that split is called.

    Raises:
        UserError: a number is infinite; the first such row.
    """
    status = stored.path.stat()
    known = f"{_VERSION} {stored.path.absolute()} {stored[1:]} {status.st_size} {status.st_mtime_ns} {key}"
    place = _folder() / f"{hashlib.sha256(known.encode()).hexdigest()[:32]}.json"
    if (found := _read(place, stored.shape[1:])) is not None:
        return found
    made = _made(stored, is_train)
    _write(place, made)
    return made


def _made(stored: Stored, is_train: np.ndarray) -> Summary:
    digest, told, of_train = hashlib.sha256(), _Telling(), _Moments(stored.shape[1:])
    with Bar(stored.num_blocks, "block", f"reading {stored.path.name}") as bar:
        for number, rows in enumerate(stored.blocks()):
            digest.update(np.ascontiguousarray(rows).data)
            start = number * stored.block
            told.see(str(stored.path), rows, start)
            of_train.see(rows[is_train[start : start + len(rows)]])
            bar.update()
    return Summary(digest.hexdigest(), told.rows, told.missing, *of_train.found())


class _Telling:
    """The rows by which numbers are told for what they are."""

    def __init__(self) -> None:
        self.low, self.high, self.at_low, self.at_high = np.inf, -np.inf, 0, 0
        self.missing, self.hole, self.broken = 0, -1, -1

    def see(self, where: str, rows: np.ndarray, start: int) -> None:
        flat = rows.reshape(len(rows), -1)
        low, high = flat.min(), flat.max()
        if rows.dtype.kind == "f" and not np.isfinite(low + high):
            if (endless := np.isinf(flat)).any():
                bad = start + int(endless.any(1).argmax())
                raise UserError(f"{where}: x holds infinity, first in row {bad}; put NaN where a number is missing.")
            gone = np.isnan(flat)
            self.missing += int(gone.sum())
            if self.hole < 0:
                self.hole = start + int(gone.any(1).argmax())
            if gone.all():
                return
            flat = np.where(gone, flat[~gone][0], flat)
            low, high = flat.min(), flat.max()
        if low < self.low:
            self.low, self.at_low = low, start + int((flat == low).any(1).argmax())
        if high > self.high:
            self.high, self.at_high = high, start + int((flat == high).any(1).argmax())
        if self.broken < 0 and rows.dtype.kind == "f" and (broken := flat != np.rint(flat)).any():
            self.broken = start + int(broken.any(1).argmax())

    @property
    def rows(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(row for row in (self.at_low, self.at_high, self.hole, self.broken) if row >= 0))


class _Moments:
    """Means and squares, put together block by block (Chan et al. 1983): in float32 within one, in float64 of all."""

    def __init__(self, event: tuple[int, ...]) -> None:
        zeros = torch.zeros(event, dtype=torch.float64)
        self.count, self.mean, self.squares = zeros, zeros.clone(), zeros.clone()
        self.least, self.largest = torch.full_like(zeros, torch.inf), torch.full_like(zeros, -torch.inf)

    def see(self, rows: np.ndarray) -> None:
        if not len(rows):
            return
        x = torch.from_numpy(rows)
        x = x if x.is_floating_point() else x.to(torch.float32 if x.dtype in _SMALL else torch.float64)
        gone = x.isnan() if rows.dtype.kind == "f" else None
        if gone is None or not bool(gone.any()):
            count = torch.full_like(self.count, len(x))
            variance, mean = torch.var_mean(x, dim=0, correction=0)
            squares, low, high = variance.double() * len(x), x.amin(0), x.amax(0)
        else:
            count = (~gone).sum(0).double()
            known = x.masked_fill(gone, 0).double()
            mean = known.sum(0) / count.clamp(min=1)
            squares = ((known - mean) ** 2).masked_fill(gone, 0).sum(0)
            low, high = x.masked_fill(gone, torch.inf).amin(0), x.masked_fill(gone, -torch.inf).amax(0)
        total = self.count + count
        away = mean.double() - self.mean
        share = count / total.clamp(min=1)
        self.squares += squares + away**2 * self.count * share
        self.mean += away * share
        self.count = total
        self.least, self.largest = torch.minimum(self.least, low), torch.maximum(self.largest, high)

    def found(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        spread = (self.squares / self.count.clamp(min=1)).sqrt()
        return self.count, self.mean, spread, self.least, self.largest


_SMALL = (torch.uint8, torch.int8, torch.int16, torch.bool)


def _folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state", "ppl_vae", "summaries")


def _read(place: Path, event: tuple[int, ...]) -> Summary | None:
    """What was found before; None where nothing was, or what is there is not that."""
    try:
        plain = json.loads(place.read_text())
        numbers = [torch.tensor(plain[name], dtype=torch.float64).reshape(event) for name in Summary._fields[3:]]
        return Summary(str(plain["digest"]), tuple(map(int, plain["telling"])), int(plain["missing"]), *numbers)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError):
        return None


def _write(place: Path, found: Summary) -> None:
    plain = {name: value.flatten().tolist() if isinstance(value, Tensor) else value
             for name, value in found._asdict().items()}  # fmt: skip
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with whole(place) as file:
            file.write(json.dumps(plain).encode())
    except (OSError, CannotWriteError):
        return  # it is found again next time
