"""Checkpoints: written in one piece or not at all, read without ever running code from the file."""

import os
import pickle
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from ppl_vae.errors import UserError, reason

State = dict[str, Any]

# In every file of ours, so that anybody else's is known at once. Raise it when the layout changes.
_FORMAT = "ppl_vae checkpoint 1"


def save(path: Path, state: State) -> None:
    """Write a checkpoint atomically: a crash at any moment leaves the old file or the new one, both whole.

    Args:
        path: replaced if it exists.
        state: tensors, numbers, strings, None, and lists and dictionaries of them.
    """
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save({**state, "format": _FORMAT}, file)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)


def load(path: Path, device: torch.device | str = "cpu") -> State:
    """Read a checkpoint.

    Args:
        path: written by :func:`save`.
        device: where its tensors go.

    Raises:
        UserError: missing, damaged, not one of ours, or holding anything but plain data.
    """
    if not path.is_file():
        raise UserError(f"{path}: no checkpoint there; name a run directory that 'ppl-vae train' wrote.")
    try:
        with zipfile.ZipFile(path) as archive:  # torch does not look at the checksums
            damaged = archive.testzip()
        if damaged is not None:
            raise UserError(f"{path}: damaged checkpoint ({damaged} has changed); restore it or train again.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols that we do not write
            state = torch.load(path, map_location=device, weights_only=True)
    except UserError:
        raise
    except pickle.UnpicklingError:
        raise UserError(
            f"{path}: refused, it holds Python objects that could run code; it is no checkpoint of ours."
        ) from None
    except Exception as error:  # a damaged file can raise anything
        raise UserError(f"{path}: damaged checkpoint ({reason(error)}); restore it or train again.") from None
    if not isinstance(state, dict) or state.get("format") != _FORMAT:
        raise UserError(
            f"{path}: not a checkpoint of this version of ppl_vae; train again, or use the version that wrote it."
        )
    return state
