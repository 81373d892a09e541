"""Whether two tensors are the same, where a NaN may be one of their numbers."""

from torch import Tensor


def same_numbers(one: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape and type, and the same numbers; unlike ``torch.equal``, NaN equals NaN."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    return bool(((one == other) | ((one != one) & (other != other))).all())
