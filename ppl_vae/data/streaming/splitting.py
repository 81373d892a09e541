"""Rows in a file, split: the test and the validation data are held, the training data stays where it is."""

from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data.arrays import Observations, observed, short
from ppl_vae.data.binarization import Binarization, suiting
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.kinds import as_float
from ppl_vae.data.missing import share_in_words
from ppl_vae.data.streaming.stored import Stored
from ppl_vae.data.streaming.streamed import Decode, Kept, Moments, Source, Streamed
from ppl_vae.data.streaming.summary import Summary, summary_of
from ppl_vae.runtime.errors import UserError

# Training rows that are held, by which all are told for what they are.
_SOME = 2**12
# The parts of the memory that data may take which a window takes, and each set that is held out. There is a second
# window while one is read, and a batch or two.
_OF_A_WINDOW, _OF_A_PART = 16, 16


class Far(NamedTuple):
    """Data that is to stay in its file.

    Args:
        stored: the rows.
        y: integer labels, ``(N,)``, or None.
        class_names: what the labels 0, 1, 2, ... are called; none where they have no names.
        columns: what the columns of a table are called, likewise.
        kinds: what each column of a table holds, where that was settled: the numbers are then what they are.
        stand_ins: what each number of x is in a hole, ``event``; None where it is to be found.
        scale: what integers are divided by, where that was settled.
        named: where the data comes from, where that is not the file of the rows.
        notes: what was decided in reading it, a line each.
        c: conditions, ``(N, C)``, or None.
        condition_names: what they are called.
    """

    stored: Stored
    y: Tensor | None = None
    class_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    stand_ins: np.ndarray | None = None
    scale: int | None = None
    named: str = ""
    notes: tuple[str, ...] = ()
    c: Tensor | None = None
    condition_names: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The data comes from."""
        return self.named or str(self.stored.path)


class Split(NamedTuple):
    """How rows are split.

    Args:
        test: the share that is held out for testing.
        validation: the share of the others that is held out for validation.
        seed: of the split.
    """

    test: float
    validation: float
    seed: int


class Parts(NamedTuple):
    """What became of the rows.

    Args:
        train: those that stay in the file.
        validation: those held out for validation; maybe none.
        test: likewise.
        found: what the rows are, told by some of them.
        binarization: what becomes of grey levels.
    """

    train: Streamed
    validation: Dataset
    test: Dataset
    found: Observations
    binarization: Binarization


def split_far(far: Far, how: Split, memory: int, binarization: Binarization) -> Parts:
    """Split data that stays in its file: the same rows as of data that is held, unless they would take too much.

    Args:
        far: the data.
        how: to split it. Of each part that is held out no more rows are taken than fit a 16th of the memory.
        memory: bytes that the data may take.
        binarization: as for :func:`ppl_vae.data.binarization.binarized`; bits that stay the same would have to be held.

    Raises:
        UserError: x is not what observations are, or bits that stay the same are wanted.
    """
    stored, where = far.stored, far.where
    if binarization in ("static", "threshold"):
        raise UserError(
            f"{where}: `binarization` {binarization} is for data that memory holds; take dynamic or none, or raise "
            "`data_memory`."
        )
    order = torch.randperm(stored.num_rows, generator=torch.Generator().manual_seed(how.seed)).numpy()
    most = max(1, memory // _OF_A_PART // stored.row_bytes)
    num_test = min(round(len(order) * how.test), most)
    num_validation = min(round((len(order) - num_test) * how.validation), most)
    test, validation, train = np.split(order, (num_test, num_test + num_validation))
    if not len(train):
        raise UserError(f"{where}: {len(order)} observations are too few to leave any for training.")
    is_train = np.ones(len(order), dtype=bool)
    is_train[test] = is_train[validation] = False
    summary = summary_of(stored, is_train, f"{how.seed} {num_test} {num_validation}")
    found, decode, moments = _told(far, np.unique([*train[:_SOME], *summary.telling]), summary)
    if binarization == "auto":
        binarization = "none" if far.kinds else suiting(as_float(found.x, found.scale))
    dynamic = binarization == "dynamic"

    def held(rows: np.ndarray, first: int) -> Dataset:
        kept = decode(stored.take(rows))
        return Dataset(kept.x, given(far.y, rows), dynamic, first, found.scale, kept.mask, given(far.c, rows))

    def given(each: Tensor | None, rows: np.ndarray) -> Tensor | None:
        return None if each is None else each[torch.from_numpy(rows)]

    numbers = np.arange(min(_SOME, len(train)))
    extra = [int(np.flatnonzero(train == row)[0]) for row in summary.telling if is_train[row]]
    numbers = np.unique([*numbers, *extra])
    row_bytes = max(1, found.x[:1].numel() * found.x.element_size())
    window = max(1, memory // _OF_A_WINDOW // row_bytes)
    digest = f"{summary.digest} {how.seed} {num_test} {num_validation}"
    source = Source(stored, decode, train, moments, digest, window)
    y, c, shown = given(far.y, train), given(far.c, train), torch.from_numpy(numbers)
    streamed = Streamed(source, held(train[numbers], 0), shown, y, dynamic, c=c)
    notes = (*found.notes, _in_words(far, memory, min(window, len(train)), num_validation, num_test))
    parts = held(validation, len(train)), held(test, len(train) + len(validation))
    found = found._replace(class_names=far.class_names, condition_names=far.condition_names, notes=notes)
    return Parts(streamed, *parts, found, binarization)


def _told(far: Far, rows: np.ndarray, summary: Summary) -> tuple[Observations, Decode, Moments]:
    """What the rows are, by some that tell it; how they become observations; and the moments of these."""
    where, raw = far.where, far.stored.take(rows)
    holes = summary.missing > 0
    filler = None
    if holes:
        filler = _median(raw, summary) if far.stand_ins is None else far.stand_ins.astype(raw.dtype)
    known = raw if filler is None else np.where(np.isnan(raw), filler, raw)
    if far.kinds:
        scale = 1 if far.scale is None else far.scale
        found = Observations(torch.from_numpy(known), None, scale, far.notes, (), far.columns, kinds=far.kinds)
    else:
        found = observed(where, known, columns=far.columns, scale=far.scale)
    if holes:
        missing = share_in_words(summary.missing / (far.stored.num_bytes // far.stored.dtype.itemsize))
        said = f"{short(where)}: {missing} of the numbers in x are missing: what was seen is learned from."
        found = found._replace(notes=(*found.notes, said))
    moved = found.x.shape[1:] != far.stored.shape[1:]
    within = not far.kinds and found.x.is_floating_point() and bool((found.x >= 0).all() and (found.x <= 1).all())
    decode = partial(_decoded, kind=found.x.numpy().dtype, moved=moved, filler=filler, within=within)

    def shown(numbers: Tensor) -> Tensor:
        numbers = numbers.movedim(0, -1) if moved else numbers
        return (numbers / max(1, found.scale)).to(torch.get_default_dtype())

    ends = (each.where(each.isfinite(), torch.zeros(())) for each in (summary.least, summary.largest))
    return found, decode, Moments(*map(shown, (summary.mean, summary.spread, *ends)))


def _median(raw: np.ndarray, summary: Summary) -> np.ndarray:
    """A number that each column takes, in the middle of what is known of it; 0 where nothing is."""
    least = summary.least.where(summary.least.isfinite(), torch.zeros(())).numpy()
    unknown = np.isnan(raw).all(0)
    known = np.where(unknown, least, raw)
    found: np.ndarray = np.nanquantile(known, 0.5, axis=0, method="lower").astype(raw.dtype)
    return found


def _decoded(rows: np.ndarray, *, kind: np.dtype, moved: bool, filler: np.ndarray | None, within: bool) -> Kept:
    seen = None
    if filler is not None:
        seen = ~np.isnan(rows)
        rows = np.where(seen, rows, filler)
    if moved:
        rows, seen = np.moveaxis(rows, 1, -1), None if seen is None else np.moveaxis(seen, 1, -1)
    if within:
        rows = rows.clip(0, 1)
    mask = None if seen is None else torch.from_numpy(np.ascontiguousarray(seen))
    return Kept(torch.from_numpy(np.ascontiguousarray(rows, dtype=kind)), mask)


def _in_words(far: Far, memory: int, window: int, num_validation: int, num_test: int) -> str:
    size = f"{far.stored.num_bytes / 2**20:,.0f} MiB, more than the {memory / 2**20:,.0f} MiB that data may take"
    return (
        f"{short(far.where)}: {size} in memory (`data_memory`): training rows stay in the file and are "
        f"shuffled in windows of {window:,}; {num_validation:,} rows are held out for validation, {num_test:,} for "
        "testing."
    )
