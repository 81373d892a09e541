"""The image sets that torchvision knows: read from a folder, downloaded into it once."""

import contextlib
from pathlib import Path
from typing import Any

from torch import Tensor

from ppl_vae.runtime.errors import UserError, reason

# Ours -> torchvision's class and what its constructor needs besides root, train and download.
_SETS: dict[str, tuple[str, dict[str, str]]] = {
    "mnist": ("MNIST", {}),
    "fashion-mnist": ("FashionMNIST", {}),
    "kmnist": ("KMNIST", {}),
    # "balanced": 47 classes of equal size, letters that look alike in both cases merged (Cohen et al. 2017).
    "emnist": ("EMNIST", {"split": "balanced"}),
}
NAMES = tuple(_SETS)
CLASS_NAMES = {
    "fashion-mnist": (
        *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),  # the sounds of the ten signs
    "emnist": tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
}
"""What the labels 0, 1, 2, ... are called, where they are not the digits."""


def folder_of(name: str, root: Path) -> Path:
    """Where the files of a set are, in torchvision's data folder."""
    return root / _SETS[name][0] / "raw"


def read(name: str, root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images and labels of a set.

    Args:
        name: one of ``NAMES``.
        root: torchvision's data folder; ``root/MNIST/raw`` holds MNIST.

    Returns:
        x ``(N, 28, 28)``, uint8 from 0 to 255, y ``(N,)``, int64, and the same two of the test set.

    Raises:
        UserError: torchvision cannot be imported, or the set is neither in the folder nor to be downloaded.
    """
    train, test = _open(name, root, train=True), _open(name, root, train=False)
    for part in (train, test):
        if len(part.data) != len(part.targets) or part.data.shape[1:] != train.data.shape[1:]:
            raise UserError(
                f"{name} in '{root}' is damaged: images {tuple(part.data.shape)}, {len(part.targets)} labels."
            )
    return _images(name, train.data), train.targets.long(), _images(name, test.data), test.targets.long()


def _open(name: str, root: Path, *, train: bool) -> Any:
    try:
        import torchvision  # only here: it must match torch's build, and the embedded data needs none of it
    except Exception as error:  # a build that does not match torch's can raise anything
        raise UserError(
            f"torchvision does not load ({reason(error)}); install torch and torchvision together, from one index, "
            "or use `data` digits or an .npz."
        ) from None
    class_name, options = _SETS[name]
    folder = folder_of(name, root)
    there = folder.is_dir() and any(folder.iterdir())
    made = [each for each in (folder, *folder.parents) if not each.exists()]  # if it comes to nothing, removed again
    try:
        return getattr(torchvision.datasets, class_name)(root=str(root), train=train, download=True, **options)
    except BaseException as error:  # no file, no network, a damaged file, or a Ctrl-C
        for empty in made:
            with contextlib.suppress(OSError):
                empty.rmdir()
        if not isinstance(error, Exception):
            raise
        if there:
            raise UserError(f"{name} in '{folder}' is damaged or incomplete ({reason(error)}); replace it.") from None
        raise UserError(
            f"{name} is not in '{root}' and could not be downloaded there ({reason(error)}); "
            f"pass `data_root` FOLDER where FOLDER/{class_name}/raw holds its files."
        ) from None


def _images(name: str, data: Tensor) -> Tensor:
    return data.mT.contiguous() if name == "emnist" else data  # EMNIST's files hold the images transposed
