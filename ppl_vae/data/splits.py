"""Training, validation and test data, split by a seed."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field

from ppl_vae.data.binarization import Binarization
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.files.how import Reading, columns_from
from ppl_vae.data.sources import canonical, names_file
from ppl_vae.programs.layout import Layout
from ppl_vae.runtime.config import Count, CountOrZero, Seed, config
from ppl_vae.runtime.errors import UserError, unknown_name

Fraction = Annotated[float, Field(ge=0, lt=1)]
_Side = Annotated[int, Field(ge=2, le=4096)]


@config
class DataConfig:
    """Which data, split and binarized how."""

    data: str = "digits"
    """digits (embedded), mnist, fashion-mnist, kmnist, emnist, or a path: a folder of images, in it a folder for each
    class where labelled; .csv, .tsv or .parquet, a table; .h5ad, cells by genes; .npz with x and, where labelled, y
    (numbers or names of classes), or a sparse one; .npy of x alone; .txt, a sequence a line; .json of pieces of music,
    which are lists of steps, which are lists of MIDI notes."""
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
    integer_scale: CountOrZero | None = None
    """What integers in an .npz or .npy are divided by: 0 where they are counts or codes, which stay as they are, 255 of
    8-bit images, 16 of 17 levels; by default what the numbers look like, and what the likelihood takes."""
    data_memory: Count = 2048
    """MiB that data may take in memory. Of a larger .npy or .npz (not compressed), the training rows stay in the file
    and are read in windows, a 16th of this each; of validation and test data no more than that is held out."""

    columns: str | None = None
    """What columns of a table are, where the guess is wrong: age=real,city=category,id=drop. Kinds are real, count,
    bit, category, drop; * names all others: age=real,*=drop."""
    label_column: str | None = None
    """The column of a table, or of an .h5ad's obs, that holds the labels; by default there are none."""
    unlabelled_as: str | None = None
    """What rows are called whose label is not known, as unknown: a class of their own; by default they are refused."""
    condition_columns: str | None = None
    """Columns of a table that hold conditions, as age,dose: they leave x, and a conditional model is given them."""
    layer: str | None = None
    """The layer of an .h5ad that is read, such as counts; by default X."""

    @property
    def reading(self) -> Reading:
        """How a file is to be read.

        Raises:
            UserError: what is said of columns is no list of them.
        """
        columns = columns_from(self.columns) if self.columns else {}
        conditions = tuple(filter(None, map(str.strip, (self.condition_columns or "").split(","))))
        memory = self.data_memory * 2**20
        sizes = self.image_size, memory, self.integer_scale
        return Reading(columns, self.label_column, self.layer, *sizes, conditions, self.unlabelled_as)

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
        condition_names: what the conditions are called; none where they have no names.
        scale: what a file's integers are divided by; see :mod:`ppl_vae.data.arrays`.
        binarization: what became of the grey levels.
        notes: what was decided in reading it, a line each.
        warnings: why nothing will come of it, a line or none.
        settings: what it was read by; None of data that was given, not named.
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
    condition_names: tuple[str, ...] = ()
    settings: DataConfig | None = None

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
            if split.y is None:
                return split
            return split.replace(y=labels[split.y], names=split.names._replace(labels=()))

        return self._replace(
            train=part(self.train),
            validation=self.validation and part(self.validation),
            test=self.test and part(self.test),
            num_classes=num_classes,
            classes=tuple(range(num_classes)),
            class_names=(),
        )

    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of a SHA-256 over every split's x, y, mask and c, the alphabet, and the
        classes unless they are 0, 1, 2, ..."""
        digest = hashlib.sha256(self.alphabet.encode())
        if self.classes != tuple(range(self.num_classes)):
            digest.update(f"classes {self.classes}".encode())
        for split in (self.train, self.validation, self.test):
            if split is not None:
                split.add_to(digest)
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


def splits_of(data: "Splits | Dataset") -> Splits:
    """What :func:`ppl_vae.load` gives, as it is; or a data set of one's own, all of it to train on, on the CPU.

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
