"""The arrays of a baseline's file, which may come from other hands: held to what they have to be before any is used."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

FORMAT = "ppl_vae baseline 1"
ARRAYS = ("weights", "means", "covariances")  # of each class

_ROUNDING = 1e-6  # in a sum of probabilities, an inner product of directions, a symmetric pair

Array = NDArray[np.generic]


def check_state(arrays: Mapping[str, Array]) -> None:
    """See that arrays are those of a classifier; see :class:`ppl_vae.baselines.bayes.BayesClassifier`.

    Raises:
        ValueError: the array's name, and what is wrong with it.
    """
    kind = _array(arrays, "format")
    if kind.dtype.kind != "U" or kind.shape or str(kind) != FORMAT:
        raise ValueError(f"its format is not '{FORMAT}'")
    labels = _array(arrays, "labels", np.int64, (None,))
    if not len(labels) or labels[0] < 0 or (np.diff(labels) <= 0).any():
        raise ValueError("labels are not ascending from 0 or more")
    expected = {"format", "noise", "labels", "prior", "center", "basis"}
    expected |= {f"{name}_{number}" for name in (*ARRAYS, "converged") for number in range(len(labels))}
    if unknown := sorted(arrays.keys() - expected):
        raise ValueError(f"it has an array '{unknown[0]}', which no baseline has")
    _probabilities(arrays, "prior", len(labels))
    center = _numbers(arrays, "center", None)
    basis = _numbers(arrays, "basis", (center.size, None))
    dims = basis.shape[1]
    if not 1 <= dims <= center.size or np.abs(basis.T @ basis - np.eye(dims)).max() > _ROUNDING:
        raise ValueError("basis has columns that are not orthonormal")
    if _numbers(arrays, "noise", ()) <= 0:
        raise ValueError("noise is no variance above 0")
    for number in range(len(labels)):
        _check_class(arrays, number, dims)


def _check_class(arrays: Mapping[str, Array], number: int, dims: int) -> None:
    count = len(_probabilities(arrays, f"weights_{number}", None))
    _numbers(arrays, f"means_{number}", (count, dims))
    name = f"covariances_{number}"
    covariances = _numbers(arrays, name, (count, dims, dims))
    scale = np.abs(covariances).max()
    if np.abs(covariances - covariances.mT).max() > _ROUNDING * scale:
        raise ValueError(f"{name} are not symmetric")
    try:
        np.linalg.cholesky(covariances)
    except np.linalg.LinAlgError:
        raise ValueError(f"{name} are not positive definite") from None
    _array(arrays, f"converged_{number}", np.bool_, ())


def _probabilities(arrays: Mapping[str, Array], name: str, count: int | None) -> NDArray[np.float64]:
    found = _numbers(arrays, name, (count,))
    if not len(found) or (found < 0).any() or abs(found.sum() - 1) > _ROUNDING:
        raise ValueError(f"{name} are no probabilities, with sum 1")
    return found


def _numbers(arrays: Mapping[str, Array], name: str, shape: tuple[int | None, ...] | None) -> NDArray[np.float64]:
    found = _array(arrays, name, np.float64, shape)
    if not np.isfinite(found).all():
        raise ValueError(f"{name} holds NaN or infinity")
    return found


def _array(
    arrays: Mapping[str, Array], name: str, dtype: type | None = None, shape: tuple[int | None, ...] | None = None
) -> NDArray[np.float64]:
    """An array of that type and shape, in which None is any size; of any shape for None."""
    if name not in arrays:
        raise ValueError(f"it has no array '{name}'")
    found = arrays[name]
    if dtype and found.dtype != np.dtype(dtype):
        raise ValueError(f"{name} is {found.dtype}, not {np.dtype(dtype)}")
    if shape is not None:
        fits = len(shape) == found.ndim and all(
            want in (None, size) for want, size in zip(shape, found.shape, strict=True)
        )
        if not fits:
            wanted = "(" + ", ".join("N" if size is None else str(size) for size in shape) + ")"
            raise ValueError(f"{name} has shape {found.shape}, not {wanted}")
    return found  # type: ignore[return-value]  # what else it may be is asked for nothing but its type and text
