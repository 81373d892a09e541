"""The image sets that torchvision knows: read from a folder, downloaded into it once."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ppl_vae.errors import UserError

# Ours -> torchvision's class and what its constructor needs besides root, train and download.
_SETS: dict[str, tuple[str, dict[str, str]]] = {
    "mnist": ("MNIST", {}),
    "fashion-mnist": ("FashionMNIST", {}),
    "kmnist": ("KMNIST", {}),
    # "balanced": 47 classes of equal size, letters that look alike in both cases merged (Cohen et al. 2017).
    "emnist": ("EMNIST", {"split": "balanced"}),
}
NAMES = tuple(_SETS)


def read(name: str, root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training and test images and labels of a set.

    Args:
        name: one of ``NAMES``.
        root: torchvision's data folder; ``root/MNIST/raw`` holds MNIST.

    Returns:
        x ``(N, 28, 28)``, float32 in [0, 1], y ``(N,)``, int64, and the same two of the test set.

    Raises:
        UserError: torchvision cannot be imported, or the set is neither in the folder nor to be downloaded.
    """
    train, test = _open(name, root, train=True), _open(name, root, train=False)
    return _images(name, train.data), train.targets.long(), _images(name, test.data), test.targets.long()


def _open(name: str, root: Path, *, train: bool) -> Any:
    try:
        import torchvision  # only here: it must match torch's build, and the embedded data needs none of it
    except (ImportError, RuntimeError, OSError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"torchvision does not load ({reason}); install torch and torchvision together, from the same index, "
            "or use --data digits or an .npz."
        ) from None
    class_name, options = _SETS[name]
    try:
        return getattr(torchvision.datasets, class_name)(root=str(root), train=train, download=True, **options)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{name} is not in '{root}' and could not be downloaded there ({reason}); "
            "pass --data-root FOLDER where FOLDER/" + class_name + "/raw holds its files."
        ) from None


def _images(name: str, data: Tensor) -> Tensor:
    x = data.to(torch.float32) / 255
    return x.mT.contiguous() if name == "emnist" else x  # EMNIST's files hold the images transposed
