"""Training, validation and test data, split by a seed."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
from pydantic import Field

from ppl_vae.data.dataset import Binarization, Dataset, as_tensor, binarized, suiting
from ppl_vae.data.files.how import Reading, columns_from, columns_said
from ppl_vae.data.files.tables import is_frame
from ppl_vae.data.sources import Source, canonical, frame_source, names_file, read_source
from ppl_vae.programs.layout import Layout
from ppl_vae.runtime.config import Seed, changed, checked, config
from ppl_vae.runtime.errors import UserError, unknown_name

Fraction = Annotated[float, Field(ge=0, lt=1)]
_Side = Annotated[int, Field(ge=2, le=4096)]

# Fewer training rows than this are an oversight, or a trial of something else.
_FEW = 10
# Rows that are made float at a time.
_HASHED = 2**12


@config
class DataConfig:
    """Which data, split and binarized how."""

    data: str = "digits"
    """digits (embedded), mnist, fashion-mnist, kmnist, emnist, or a path: a folder of images, in it a folder for each
    class where labelled; .csv, .tsv or .parquet, a table; .npz with x and, where labelled, y (numbers or names of
    classes); .txt, a sequence a line; .json of pieces of music, which are lists of steps, which are lists of MIDI
    notes."""
    data_root: Path = Path("data")
    """Folder of torchvision's data sets; they are downloaded into it once."""
    binarization: Binarization = "auto"
    """How grey levels become bits: drawn anew at every visit, drawn once, cut at 1/2, or left as they are; auto is
    dynamic for those that are mostly dark or bright, and none for photographs, colours, bits and all else."""
    validation_fraction: Fraction = 0.1
    """Share of the training data held out for early stopping, for data without a part for that; 0 for none."""
    test_fraction: Fraction = 0.2
    """Share held out for testing, for data without a test set of its own."""
    data_seed: Seed = 0
    """Seed of the splits and of static binarization."""
    image_size: _Side | None = None
    """Height and width in pixels to which a folder's images are brought, cut to the square in their middle; by default
    images of one size stay as they are, and others get the shortest side among them, at most 64."""

    columns: str | None = None
    """What columns of a table are, where the guess is wrong: age=real,city=category,id=drop. Kinds are real, count,
    bit, category, drop."""
    label_column: str | None = None
    """The column of a table that holds the labels; by default there are none."""

    @property
    def reading(self) -> Reading:
        """How a file is to be read.

        Raises:
            UserError: what is said of columns is no list of them.
        """
        return Reading(columns_from(self.columns) if self.columns else {}, self.label_column, self.image_size)

    def absolute(self) -> "DataConfig":
        """The same with absolute paths, good from any working directory, and the name as the table has it."""
        data = str(Path(self.data).absolute()) if names_file(self.data) else canonical(self.data)
        return replace(self, data=data, data_root=Path(self.data_root).absolute())


class Splits(NamedTuple):
    """The parts of a data set, their rows numbered on from training to test.

    Args:
        train: what the parameters are fitted to.
        validation: for early stopping, or None.
        test: for evaluation, or None.
        num_classes: how many labels there are in all parts; 0 without labels.
        layout: how an observation is laid out.
        alphabet: the characters of text; empty for all else.
        classes: the labels as the data has them, from the smallest up; y holds their places in it, 0, 1, 2, ...
        class_names: what the classes are called, in their order; none where they have no names.
        columns: what the columns of a table are called, likewise.
        kinds: what each column of a table holds, a :data:`ppl_vae.data.kinds.Column`: a category takes a column for
            each of its values, side by side and named ``column=value``. None where the numbers say what they are.
        scale: what a file's integers are divided by; see :mod:`ppl_vae.data.arrays`.
        binarization: what became of the grey levels.
        notes: what was decided in reading it, a line each.
        warnings: why nothing will come of it, a line or none.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    num_classes: int
    layout: Layout = "plain"
    alphabet: str = ""
    classes: tuple[int, ...] = ()
    scale: int = 1
    binarization: Binarization = "none"
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = ((name, getattr(self, name)) for name in ("train", "validation", "test"))
        sizes = ", ".join(f"{name} {len(part):,}" if part else f"no {name}" for name, part in parts)
        labels = f"{self.num_classes} labels" if self.num_classes else "no labels"
        return f"Splits({sizes}: rows of shape {self.train.event_shape}, {self.layout}, {labels})"

    @property
    def holes(self) -> bool:
        """Whether numbers of x are missing in any part."""
        return any(part is not None and part.mask is not None for part in (self.train, self.validation, self.test))

    def unseen(self) -> tuple[int, ...]:
        """Those of the classes that no training datapoint has."""
        if self.train.y is None:
            return ()
        counts = self.train.y.bincount(minlength=self.num_classes)
        return tuple(label for label, count in zip(self.classes, counts.tolist(), strict=True) if not count)

    def unnumbered(self) -> "Splits":
        """The same with each label for its own number, as runs of earlier versions know them."""
        labels, num_classes = torch.tensor(self.classes, dtype=torch.long), max(self.classes, default=-1) + 1

        def part(split: Dataset) -> Dataset:
            return split if split.y is None else split.replace(y=labels[split.y])

        return self._replace(
            train=part(self.train),
            validation=self.validation and part(self.validation),
            test=self.test and part(self.test),
            num_classes=num_classes,
            classes=tuple(range(num_classes)),
            class_names=(),
        )

    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of a SHA-256 over every split's x and y, the alphabet, and the classes
        unless they are 0, 1, 2, ..."""
        digest = hashlib.sha256(self.alphabet.encode())
        if self.classes != tuple(range(self.num_classes)):
            digest.update(f"classes {self.classes}".encode())
        for split in (self.train, self.validation, self.test):
            if split is None:
                continue
            for rows in torch.arange(len(split)).split(_HASHED):
                digest.update(split.values(rows).numpy().data)
            for tensor in (split.y, split.mask):
                if tensor is not None:
                    digest.update(tensor.numpy().data)
        return digest.hexdigest()[:16]

    def get(self, name: str) -> Dataset:
        """The split of that name: train, validation or test.

        Raises:
            UserError: it is none of them, or empty in this run.
        """
        if name not in (parts := ("train", "validation", "test")):
            raise unknown_name("split", name, parts)
        split: Dataset | None = getattr(self, name)
        if split is None:
            raise UserError(
                f"this data has no {name} split (its fraction is 0, or it has too few rows); use `split` train."
            )
        return split


def load(settings: "DataConfig | Path | str | Any" = "digits", **named: object) -> Splits:
    """Read, split and binarize a data set; number its labels 0, 1, 2, ..., so that each costs what one costs.

    Args:
        settings: the configuration; or just a name or path; or a frame of pandas, polars or pyarrow.
        named: fields of :class:`DataConfig` by name, in place of the settings': ``binarization="static"``; ``columns``
            may be a mapping, ``{"age": "real"}``.

    Raises:
        UserError: see :func:`ppl_vae.data.read_source`; too few observations to split; or no such setting.
    """
    frame = settings if is_frame(settings) else None
    if isinstance(settings, Path | str):
        settings = DataConfig(data=str(settings))
    elif frame is not None:
        settings = DataConfig()
    elif not isinstance(settings, DataConfig):
        raise _no_name(settings)
    named = {name: columns_said(value) if isinstance(value, Mapping) else value for name, value in named.items()}
    settings = checked(changed(settings, named))
    if frame is None:
        source = read_source(settings.data, settings.data_root, settings.reading)
    else:
        source = frame_source(frame, settings.reading)
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
    source, classes = _numbered(source)
    if settings.binarization == "auto":
        suits = "none" if source.kinds else suiting(source.values(), source.layout)
        settings = replace(settings, binarization=suits)
    own_validation = None if source.validation_x is None else source._replace(x=source.validation_x, y=None, mask=None)
    own_test = None if source.test_x is None else source._replace(x=source.test_x, y=source.test_y, mask=None)
    splits, first = [], 0
    for part, rows in ((source, train), (own_validation or source, validation), (own_test or source, test)):
        chosen = rows if part is source else torch.arange(len(part.x))
        splits.append(_part(part, chosen, settings, first))
        first += len(chosen)
    return Splits(
        train=splits[0],
        validation=splits[1] if len(splits[1]) else None,
        test=splits[2] if len(splits[2]) else None,
        num_classes=len(classes),
        layout=source.layout,
        alphabet=source.alphabet,
        classes=classes,
        class_names=tuple(source.class_names[label] for label in classes) if source.class_names else (),
        columns=source.columns,
        kinds=source.kinds,
        scale=source.scale,
        binarization=settings.binarization,
        notes=source.notes,
        warnings=_warnings(settings, *map(len, splits)),
    )


def _no_name(value: object) -> UserError:
    """The error for what :func:`load` is given in place of a name, with what makes a data set of it."""
    kind = type(value).__name__
    arrays = any(hasattr(value, name) for name in ("to_numpy", "shape")) or isinstance(value, list | tuple)
    advice = f"of a {kind} make ppl_vae.Dataset({as_tensor('x', value)}, y)." if arrays else f"not a {kind}."
    return UserError(f"load takes the name or path of a data set; {advice}")


def splits_of(data: "Splits | Dataset") -> Splits:
    """What :func:`load` gives, as it is; or a data set of one's own, all of it to train on, on the CPU.

    Args:
        data: of a data set, labels are the classes 0, 1, 2, ... up to the largest that there is.

    Raises:
        UserError: it is neither, it has no rows, or a label is negative.
    """
    if isinstance(data, Splits):
        return data
    if isinstance(data, str | Path | DataConfig):
        raise UserError(f"`data` is a {type(data).__name__}, the name of data; pass ppl_vae.load(...) of it.")
    if not isinstance(data, Dataset):
        raise UserError(
            f"`data` is a {type(data).__name__}; give what ppl_vae.load returns, or a ppl_vae.Dataset(x, y) of tensors."
        )
    if not len(data):
        raise UserError("the data has no rows; give at least one datapoint.")
    data = data.to(torch.device("cpu"))
    if data.y is not None and data.y.min() < 0:
        raise UserError(f"y holds {int(data.y.min())}; it must hold integer classes 0, 1, 2, ....")
    num_classes = 0 if data.y is None else int(data.y.max()) + 1
    return Splits(data, None, None, num_classes, classes=tuple(range(num_classes)))


def _numbered(source: Source) -> tuple[Source, tuple[int, ...]]:
    """The same with its labels replaced by their places among all that there are, and those."""
    labels = [y for y in (source.y, source.test_y) if y is not None]
    if not labels:
        return source, ()
    classes = torch.cat(labels).unique()
    y, test_y = (None if y is None else torch.searchsorted(classes, y) for y in (source.y, source.test_y))
    return source._replace(y=y, test_y=test_y), tuple(classes.tolist())


def _warnings(settings: DataConfig, num_train: int, num_validation: int, num_test: int) -> tuple[str, ...]:
    parts = (("validation", settings.validation_fraction, num_validation), ("test", settings.test_fraction, num_test))
    missing = " and ".join(f"no {name}" for name, share, rows in parts if share and not rows)
    if num_train < _FEW:
        rows = f"{num_train} training observation{'s' * (num_train != 1)}{f', {missing} split' if missing else ''}"
        return (f"{rows}: too few to learn anything from{' or to test on' if missing else ''}.",)
    return (f"{missing} split: its share of {num_train} observations is less than one.",) if missing else ()


def _part(source: Source, rows: torch.Tensor, settings: DataConfig, first: int) -> Dataset:
    y = None if source.y is None else source.y[rows]
    binarization = settings.binarization if source.layout == "plain" else "none"  # sequences are bits already
    mask = None if source.mask is None else source.mask[rows]
    return binarized(source.x[rows], y, binarization, settings.data_seed, first, source.scale, mask)
