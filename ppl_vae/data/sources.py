"""Where observations come from: a name in a table, or the path of a user's ``.npz``."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ppl_vae.data import torchvision_sets
from ppl_vae.data.npz import read_npz
from ppl_vae.errors import unknown_name


class Source(NamedTuple):
    """Data as it comes.

    Args:
        x: grey levels in [0, 1], ``(N, *event)``, float32.
        y: integer labels, ``(N,)``, or None.
        test_x: the set's own test observations, or None where it has none.
        test_y: their labels, or None.
    """

    x: Tensor
    y: Tensor | None
    test_x: Tensor | None = None
    test_y: Tensor | None = None


def digits(_root: Path) -> Source:
    """The 1,797 handwritten digits that scikit-learn carries: 8 × 8 pixels, 17 grey levels, no download."""
    from sklearn.datasets import load_digits  # slow to import, and only this source needs it

    images, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(images.astype(np.float32) / 16).reshape(-1, 8, 8)
    return Source(x, torch.from_numpy(labels.astype(np.int64)))


def _torchvision(name: str, root: Path) -> Source:
    return Source(*torchvision_sets.read(name, root))


SOURCES: dict[str, Callable[[Path], Source]] = {
    "digits": digits,
    **{name: partial(_torchvision, name) for name in torchvision_sets.NAMES},
}


def read_source(name: str, root: Path) -> Source:
    """Read a data set.

    Args:
        name: a key of ``SOURCES``, or a path that ends in ``.npz``.
        root: the folder where torchvision's sets are, or are downloaded to.

    Raises:
        UserError: unknown name, or a file that cannot be used.
    """
    if name.endswith(".npz"):
        return Source(*read_npz(Path(name)))
    if name not in SOURCES:
        raise unknown_name("data set", name, [*SOURCES, "path/to/file.npz"])
    return SOURCES[name](root)
