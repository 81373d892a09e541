"""Labels held against how many classes a program knows: it is asked, by watching what it reads as it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from ppl_vae.programs.batch import UNSEEN, Batch
from ppl_vae.runtime.errors import UserError

_reads: ContextVar[list[int] | None] = ContextVar("_reads", default=None)


def note_classes(num_classes: int) -> None:
    """Called where labels are read as one of so many classes; it looks at no label, which would wait for the device."""
    reads = _reads.get()
    if reads is not None:
        reads.append(num_classes)


@contextmanager
def held_to_classes(name: str, batch: Batch) -> Iterator[None]:
    """Hold the labels of a batch against the classes that a program reads in the block.

    Args:
        name: of the program, for the message.
        batch: what it is run on.

    Raises:
        UserError: a label is none of them.
    """
    found: list[int] = []
    token = _reads.set(found)
    try:
        yield
    finally:
        _reads.reset(token)
    if not found or batch.y is None:
        return
    wrong = ((batch.y < 0) | (batch.y >= min(found))).nonzero().flatten()
    if len(wrong):
        row, label = int(batch.index[wrong[0]]) % UNSEEN, int(batch.y[wrong[0]])
        raise UserError(f"y is {label} in row {row}, and {name} knows the classes 0 to {min(found) - 1}; correct it.")
