"""Weights as safetensors: named tensors in a file that any reader of the format takes, and that can run nothing.

How they are packed is the format's affair (https://huggingface.co/docs/safetensors); ours is the digest among its
metadata, by which a checkpoint knows the weights that it belongs to.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load, save
from torch import Tensor

from ppl_vae.runtime.files import write_bytes

_DIGEST = "digest"
_LONGEST_HEAD = 100_000_000  # bytes: what the format allows
# What the format calls the types that all its versions hold.
_TYPES = {
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
    **{"I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8},
    "BOOL": torch.bool,
}


def can_hold(value: object) -> bool:
    """Whether the format holds a value: a dense tensor of real numbers, whole numbers or truths."""
    if not isinstance(value, Tensor) or value.is_nested or value.layout is not torch.strided:
        return False
    return value.dtype in _TYPES.values()


def on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies as the format takes them: numbers in order, none in another's memory."""
    return {
        name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor.detach()) for name, tensor in weights.items()
    }


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and numbers of weights that are :func:`on_cpu`."""
    digest = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def write(path: Path, weights: dict[str, Tensor], digest: str) -> None:
    """Write them in one piece or not at all; see :func:`ppl_vae.runtime.files.whole`.

    Args:
        path: replaced if it exists.
        weights: by name, :func:`on_cpu`.
        digest: of them.
    """
    write_bytes(path, save(weights, {"format": "pt", _DIGEST: digest}))


def read(path: Path, device: torch.device | str = "cpu") -> tuple[dict[str, Tensor], str]:
    """Read them.

    Returns:
        the weights by name, and the digest of what was read.

    Raises:
        OSError, SafetensorError: it is not there, or not of the format.
    """
    weights = load(path.read_bytes())
    digest = digest_of(weights)
    return {name: tensor.to(device) for name, tensor in weights.items()}, digest


def outline(path: Path) -> tuple[dict[str, Tensor], str]:
    """Read names, types and shapes alone; the tensors are on the meta device.

    The format's own reader takes no path that is not UTF-8; of the file this is the head, in JSON, after its length.

    Returns:
        the same as :func:`read`, but the digest is the one that the file says of itself.

    Raises:
        OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError: as :func:`read`; or a type that no
            weights of ours have.
    """
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > min(_LONGEST_HEAD, path.stat().st_size):
            raise ValueError("its head is longer than it may be")
        head = json.loads(file.read(length))
    digest = head.pop("__metadata__", {}).get(_DIGEST, "")
    return {
        name: torch.empty(of["shape"], dtype=_TYPES[of["dtype"]], device="meta") for name, of in head.items()
    }, digest
