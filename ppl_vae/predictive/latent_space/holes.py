"""Empty places between points of a plane: an autoencoder leaves many among its codes, a VAE ought to leave few."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SHARE = 0.9


def empty_places(codes: ArrayLike, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The largest discs without a code in them whose centres lie among the codes, the largest first.

    "Among" is inside the convex hull of the nine in ten codes that are nearest to their median: the few at the fringe
    span what is not between anything. A place is held by three codes, which its disc touches: its centre is a vertex
    of the codes' Voronoi diagram. (A larger empty disc, held by two, may be centred on the hull's border.) Discs are
    taken greedily, none overlapping one that was taken before.

    Args:
        codes: ``(N, 2)``, at least three that are not on one line.
        count: K, how many discs, at least 1; fewer where there are no more.

    Returns:
        centres ``(K, 2)`` and radii ``(K,)``.

    Raises:
        ValueError: codes that are not finite, of another shape, or all on one line, or that hold no place between
            them; a count below 1.
    """
    from scipy.spatial import Delaunay, KDTree, QhullError, Voronoi  # type: ignore[import-untyped]  # here: it takes a while

    points = np.asarray(codes, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2 or not np.isfinite(points).all():
        raise ValueError(f"codes must be finite, of shape (N, 2); got {points.shape}.")
    if count < 1:
        raise ValueError(f"`num_places` must be at least 1, got {count}.")
    try:
        distances = np.linalg.norm(points - np.median(points, axis=0), axis=1)
        inner = points[np.argsort(distances, kind="stable")[: max(3, math.ceil(_SHARE * len(points)))]]
        triangles, vertices = Delaunay(inner), Voronoi(points).vertices
    except (QhullError, ValueError):
        raise ValueError("empty places need 3 codes or more that are not on one line.") from None
    candidates = vertices[triangles.find_simplex(vertices) >= 0]
    if not len(candidates):
        raise ValueError("these codes leave no empty place between them.")
    nearest, _ = KDTree(points).query(candidates)
    chosen: list[int] = []
    for each in np.argsort(-nearest, kind="stable"):
        apart = np.linalg.norm(candidates[chosen] - candidates[each], axis=1)
        if (apart >= nearest[chosen] + nearest[each]).all():
            chosen.append(int(each))
        if len(chosen) == count:
            break
    return candidates[chosen], nearest[chosen]
