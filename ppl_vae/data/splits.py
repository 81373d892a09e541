"""Training, validation and test data, split by a seed."""

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from pydantic import Field

from ppl_vae.config import Seed, checked, config
from ppl_vae.data.dataset import Binarization, Dataset, binarized
from ppl_vae.data.sources import Source, names_file, read_source
from ppl_vae.errors import UserError
from ppl_vae.layout import Layout

Fraction = Annotated[float, Field(ge=0, lt=1)]


@config
class DataConfig:
    """Which data, split and binarized how."""

    data: str = "digits"
    """digits (embedded), mnist, fashion-mnist, kmnist, emnist, or a path: .npz with x and, where labelled, y; .txt, a
    sequence a line; .json of pieces of music, which are lists of steps, which are lists of MIDI notes."""
    data_root: Path = Path("data")
    """Folder of torchvision's data sets; they are downloaded into it once."""
    binarization: Binarization = "dynamic"
    """How grey levels become bits: drawn anew at every visit, drawn once, cut at 1/2, or left as they are."""
    validation_fraction: Fraction = 0.1
    """Share of the training data held out for early stopping, for data without a part for that; 0 for none."""
    test_fraction: Fraction = 0.2
    """Share held out for testing, for data without a test set of its own."""
    data_seed: Seed = 0
    """Seed of the splits and of static binarization."""

    def absolute(self) -> "DataConfig":
        """The same with absolute paths, good from any working directory."""
        data = str(Path(self.data).absolute()) if names_file(self.data) else self.data
        return replace(self, data=data, data_root=self.data_root.absolute())


class Splits(NamedTuple):
    """The parts of a data set, their rows numbered on from training to test.

    Args:
        train: what the parameters are fitted to.
        validation: for early stopping, or None.
        test: for evaluation, or None.
        num_classes: one more than the largest label; 0 without labels.
        layout: how an observation is laid out.
        alphabet: the characters of text; empty for all else.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset | None
    num_classes: int
    layout: Layout = "plain"
    alphabet: str = ""

    def fingerprint(self) -> str:
        """The first 16 hexadecimal digits of a SHA-256 over every split's x and y, and the alphabet."""
        digest = hashlib.sha256(self.alphabet.encode())
        for split in (self.train, self.validation, self.test):
            for tensor in (split.x, split.y) if split else ():
                digest.update(b"" if tensor is None else tensor.numpy().tobytes())
        return digest.hexdigest()[:16]

    def get(self, name: str) -> Dataset:
        """The split of that name.

        Raises:
            UserError: it is empty in this run.
        """
        split: Dataset | None = getattr(self, name)
        if split is None:
            raise UserError(
                f"this data has no {name} split (its fraction is 0, or it has too few rows); use --split train."
            )
        return split


def load(settings: DataConfig | Path | str = "digits") -> Splits:
    """Read, split and binarize a data set.

    Args:
        settings: the configuration, or just a name or path with everything else at its default.

    Raises:
        UserError: see :func:`ppl_vae.data.read_source`; or too few observations to split.
    """
    if not isinstance(settings, DataConfig):
        settings = DataConfig(data=str(settings))
    settings = checked(settings)
    source = read_source(settings.data, settings.data_root)
    order = torch.randperm(len(source.x), generator=torch.Generator().manual_seed(settings.data_seed))
    num_test = 0 if source.test_x is not None else round(len(order) * settings.test_fraction)
    num_validation = (
        0 if source.validation_x is not None else round((len(order) - num_test) * settings.validation_fraction)
    )
    test, validation, train = order.tensor_split((num_test, num_test + num_validation))
    if len(train) == 0:
        raise UserError(f"{len(order)} observations leave none to train on; lower the validation and test fractions.")
    labels = [y.max() for y in (source.y, source.test_y) if y is not None]
    own_validation = None if source.validation_x is None else source._replace(x=source.validation_x, y=None)
    own_test = None if source.test_x is None else source._replace(x=source.test_x, y=source.test_y)
    splits, first = [], 0
    for part, rows in ((source, train), (own_validation or source, validation), (own_test or source, test)):
        chosen = rows if part is source else torch.arange(len(part.x))
        splits.append(_part(part, chosen, settings, first))
        first += len(chosen)
    return Splits(
        train=splits[0],
        validation=splits[1] if len(splits[1]) else None,
        test=splits[2] if len(splits[2]) else None,
        num_classes=int(max(labels)) + 1 if labels else 0,
        layout=source.layout,
        alphabet=source.alphabet,
    )


def _part(source: Source, rows: torch.Tensor, settings: DataConfig, first: int) -> Dataset:
    y = None if source.y is None else source.y[rows]
    binarization = settings.binarization if source.layout == "plain" else "none"  # sequences are bits already
    return binarized(source.x[rows], y, binarization, settings.data_seed, first)
