"""Data loaded: read, split, binarized, its labels numbered."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ppl_vae.data.arrays import Observations
from ppl_vae.data.binarization import Binarization, binarized, suiting
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.files.how import columns_said
from ppl_vae.data.files.objects import reader_of
from ppl_vae.data.sources import frame_source, read_source
from ppl_vae.data.splits import DataConfig, Splits
from ppl_vae.data.streaming.splitting import Far, Split, split_far
from ppl_vae.data.tables.reading import is_frame
from ppl_vae.runtime.config import changed, checked
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.processes import current
from ppl_vae.runtime.shown import Names

# Fewer training rows than this are an oversight, or a trial of something else.
_FEW = 10
# Bytes of a file that is read in a second or so.
_LARGE = 2**22

_log = logging.getLogger(__name__)


Read = Callable[[DataConfig], Observations | Far]
"""What reads data, by its settings: all that is to be held of it, or what stays in its file."""


def read_data(settings: DataConfig) -> Splits:
    """The data; before a large file is read, a line of the log says so, at level INFO.

    Raises:
        UserError: see :func:`ppl_vae.data.load`.
    """
    return split(read_named(settings), settings)


def load(settings: "DataConfig | Path | str | Any" = "digits", y: Any = None, **named: object) -> Splits:
    """Read, split and binarize a data set; number its labels 0, 1, 2, ..., so that each costs what one costs.

    Args:
        settings: the configuration; or just a name or path; or the data: an array or a tensor of observations, ``(N,
            *event)``, a sparse matrix, a frame of pandas, polars or pyarrow, an AnnData, a data set of torch or of
            Hugging Face.
        y: labels beside an array, numbers or names of classes, ``(N,)``.
        named: fields of :class:`DataConfig` by name, in place of the settings': ``binarization="static"``; ``columns``
            may be a mapping, ``{"age": "real"}``.

    Raises:
        UserError: see :func:`ppl_vae.data.read_source`; too few observations to split; or no such setting.
    """
    is_named = isinstance(settings, DataConfig | Path | str)
    read = reader_for(settings, y)
    if isinstance(settings, Path | str):
        settings = DataConfig(data=str(settings))
    elif not is_named:
        settings = DataConfig()
    named = {name: columns_said(value) if isinstance(value, Mapping) else value for name, value in named.items()}
    settings = checked(changed(settings, named))
    found = split(read(settings), settings)
    return found if is_named else found._replace(settings=None)


def reader_for(data: "DataConfig | Path | str | Any", y: Any = None) -> Read:
    """What reads the data that :func:`load` is given.

    Raises:
        UserError: it is nothing that data is made of, or has its labels itself.
    """
    frame, is_named = is_frame(data), isinstance(data, DataConfig | Path | str)
    reader = None if frame or is_named else reader_of(data, y)
    if reader is not None:
        return lambda settings: reader(settings.reading)
    if y is not None:
        raise UserError("`y` is for arrays; a file, a frame or a data set has its labels itself (`label_column`).")
    if frame:
        return lambda settings: frame_source(data, settings.reading)
    if is_named:
        return read_named
    raise _no_name(data)


def read_named(settings: DataConfig) -> Observations | Far:
    """What the settings name, not yet split; see :func:`read_data`."""
    path = Path(settings.data)
    if current().is_first and path.is_file() and (size := path.stat().st_size) > _LARGE:
        _log.info("data     reading %s, %.0f MiB", path, size / 2**20)
    return read_source(settings.data, settings.data_root, settings.reading)


def split(source: Observations | Far, settings: DataConfig) -> Splits:
    """Split and binarize data that was read, and number its labels.

    Raises:
        UserError: there are too few observations to split.
    """
    parts = _far(source, settings) if isinstance(source, Far) else _held(source, settings)
    found = parts.source
    class_names = tuple(found.class_names[label] for label in parts.classes) if found.class_names else ()
    for part in parts.datasets:
        part.names = Names(found.columns, class_names or parts.classes)
    train, *held_out = parts.datasets
    validation, test = (part if len(part) else None for part in held_out)
    return Splits(
        train=train,
        validation=validation,
        test=test,
        num_classes=len(parts.classes),
        layout=found.layout,
        alphabet=found.alphabet,
        classes=parts.classes,
        class_names=class_names,
        columns=found.columns,
        kinds=found.kinds,
        condition_names=found.condition_names,
        scale=found.scale,
        binarization=parts.binarization,
        notes=found.notes,
        warnings=_warnings(settings, *map(len, parts.datasets)),
        settings=settings,
    )


class _Parts(NamedTuple):
    """Data that has been split.

    Args:
        source: what it is.
        datasets: for training, validation and testing.
        classes: the labels that there are, from the smallest up.
        binarization: what became of grey levels.
    """

    source: Observations
    datasets: list[Dataset]
    classes: tuple[int, ...]
    binarization: Binarization


def _held(source: Observations, settings: DataConfig) -> _Parts:
    """All of it held."""
    order = torch.randperm(len(source.x), generator=torch.Generator().manual_seed(settings.data_seed))
    num_test = 0 if source.test_x is not None else round(len(order) * settings.test_fraction)
    num_validation = (
        0 if source.validation_x is not None else round((len(order) - num_test) * settings.validation_fraction)
    )
    test, validation, train = order.tensor_split((num_test, num_test + num_validation))
    if len(train) == 0:
        raise UserError(
            f"{len(order)} observations are too few to leave any for training; lower the validation and test fractions."
        )
    (y, test_y), classes = _numbered(source.y, source.test_y)
    source = source._replace(y=y, test_y=test_y)
    if settings.binarization == "auto":
        suits = "none" if source.kinds else suiting(source.values(), source.layout)
        settings = replace(settings, binarization=suits)
    own_validation = (
        None if source.validation_x is None else source._replace(x=source.validation_x, y=None, mask=None, c=None)
    )
    own_test = None if source.test_x is None else source._replace(x=source.test_x, y=source.test_y, mask=None, c=None)
    splits: list[Dataset] = []
    first = 0
    for part, rows in ((source, train), (own_validation or source, validation), (own_test or source, test)):
        chosen = rows if part is source else torch.arange(len(part.x))
        splits.append(_part(part, chosen, settings, first))
        first += len(chosen)
    return _Parts(source, splits, classes, settings.binarization)


def _far(far: Far, settings: DataConfig) -> _Parts:
    """The training rows left in their file."""
    (y,), classes = _numbered(far.y)
    how = Split(settings.test_fraction, settings.validation_fraction, settings.data_seed)
    parts = split_far(far._replace(y=y), how, settings.reading.memory, settings.binarization)
    datasets: list[Dataset] = [parts.train, parts.validation, parts.test]
    return _Parts(parts.found, datasets, classes, parts.binarization)


def _no_name(value: object) -> UserError:
    """The error for what :func:`load` is given in place of a name, with what makes a data set of it."""
    kind = type(value).__name__
    arrays = any(hasattr(value, name) for name in ("to_numpy", "shape")) or isinstance(value, list | tuple)
    advice = f"of a {kind} make an array: load(numpy.array(x), y)." if arrays else f"not a {kind}."
    return UserError(f"load takes the name or path of a data set, or arrays; {advice}")


def _numbered(*labels: Tensor | None) -> tuple[list[Tensor | None], tuple[int, ...]]:
    """Labels replaced by their places among all that there are, and those."""
    known = [y for y in labels if y is not None]
    if not known:
        return list(labels), ()
    classes = torch.cat(known).unique()
    return [None if y is None else torch.searchsorted(classes, y) for y in labels], tuple(classes.tolist())


def _warnings(settings: DataConfig, num_train: int, num_validation: int, num_test: int) -> tuple[str, ...]:
    parts = (("validation", settings.validation_fraction, num_validation), ("test", settings.test_fraction, num_test))
    missing = " and ".join(f"no {name}" for name, share, rows in parts if share and not rows)
    if num_train < _FEW:
        rows = f"{num_train} training observation{'s' * (num_train != 1)}{f', {missing} split' if missing else ''}"
        return (f"{rows}: too few to learn anything from{' or to test on' if missing else ''}.",)
    return (f"{missing} split: its share of {num_train} observations is less than one.",) if missing else ()


def _part(source: Observations, rows: torch.Tensor, settings: DataConfig, first: int) -> Dataset:
    y, mask, c = (None if each is None else each[rows] for each in (source.y, source.mask, source.c))
    binarization = settings.binarization if source.layout == "plain" else "none"  # sequences are bits already
    return binarized(source.x[rows], y, binarization, settings.data_seed, first, source.scale, mask, c)
