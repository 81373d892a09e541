"""What an estimator is given, held to what scikit-learn asks of it: rows, labels, a random state."""

import math
from numbers import Integral
from typing import Any

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_consistent_length, check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import column_or_1d, validate_data

from ppl_vae.runtime.config import Count, in_range

Labels = NDArray[np.int64]


def rows_in(
    estimator: BaseEstimator, x: ArrayLike, event_shape: tuple[int, ...] | None = None, *, begin: bool = False
) -> NDArray[np.generic]:
    """Rows, NaN where a number is missing.

    Args:
        estimator: that keeps how many features there are, and their names.
        x: ``(N, features)``.
        event_shape: of an observation, where it is no vector.
        begin: whether these say how many features there are; then at least two rows.

    Returns:
        ``(N, *event_shape)``, whatever numbers they are.

    Raises:
        ValueError: they are no such rows.
    """
    if isinstance(x, np.ma.MaskedArray):
        x = np.ma.filled(x.astype(np.float64), np.nan)  # what is masked is missing; others forget the mask
    least = 2 if begin else 1
    found: NDArray[np.generic] = validate_data(
        estimator, x, reset=begin, ensure_all_finite="allow-nan", ensure_min_samples=least
    )
    if found.dtype == object:
        try:
            found = found.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"X holds what is no number ({error}); encode categories first, by OneHotEncoder for instance."
            ) from None
    if event_shape is None:
        return found
    if not isinstance(event_shape, tuple | list) or not all(isinstance(each, Integral) for each in event_shape):
        raise ValueError(f"`event_shape` is {event_shape!r}; it must be a tuple of whole numbers, as (8, 8).")
    if math.prod(event_shape) != found.shape[1]:
        raise ValueError(f"`event_shape` {tuple(event_shape)} does not hold {found.shape[1]} features.")
    return found.reshape(len(found), *event_shape)


def labels_in(y: ArrayLike | None, rows: NDArray[np.generic]) -> NDArray[Any]:
    """Classes of rows, ``(N,)``, for a model that reads them.

    Raises:
        ValueError: they are no classes.
    """
    if y is None:
        raise ValueError("VAE requires y to be passed, but the target y is None: this `model` reads classes.")
    found: NDArray[Any] = column_or_1d(y, warn=True)
    check_consistent_length(rows, found)
    classes_in(found)  # refuses what has no order
    check_classification_targets(found)
    return found


def classes_in(y: ArrayLike) -> NDArray[Any]:
    """The classes among labels, in order, each once.

    Raises:
        ValueError: they are of several types, such as names and None, and have no order.
    """
    try:
        return np.unique(np.asarray(y))
    except TypeError:
        kinds = sorted({type(each).__name__ for each in np.asarray(y, dtype=object).ravel()})
        raise ValueError(f"y holds labels of several types, {' and '.join(kinds)}; give all of one type.") from None


def known_classes(known: NDArray[Any], classes: ArrayLike | None) -> NDArray[Any]:
    """The classes of an earlier call, where a later one names the same or none.

    Raises:
        ValueError: it names others.
    """
    if classes is not None and not np.array_equal(classes_in(classes), known):
        raise ValueError(
            f"`classes` are those of the first call, {', '.join(map(str, known))}; leave them out, or fit anew."
        )
    return known


def numbers_of(y: NDArray[Any], classes: NDArray[Any]) -> Labels:
    """The places of labels among the classes, which are in order.

    Raises:
        ValueError: one is none of them.
    """
    strange = y[~np.isin(y, classes)]
    if len(strange):
        raise ValueError(f"y holds {strange.tolist()[0]!r}; the classes are {', '.join(map(str, classes))}.")
    found: Labels = np.searchsorted(classes, y).astype(np.int64)
    return found


@in_range
def draws_in(num_samples: Count) -> int:
    """Draws of z for a bound.

    Raises:
        UserError: it is no number of them.
    """
    return num_samples


def seed_of(random_state: int | RandomState | None) -> int:
    """A seed: a whole number is the seed itself, all else is drawn from.

    Raises:
        ValueError: it is no random state.
    """
    generator = check_random_state(random_state)
    return int(random_state) if isinstance(random_state, int | np.integer) else int(generator.randint(2**31 - 1))
