"""Comparisons whose workers need no start: what they do is done in this process."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch


def _work_off(function: Callable[..., Any], calls: Any, workers: int, advance: Callable[[], object]) -> list[Any]:
    results = []
    for arguments in calls:
        results.append(function(*arguments))
        advance()
    return results


@contextmanager
def without_workers() -> Iterator[None]:
    """Inside the block ``compare`` starts none."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ppl_vae.runs.comparison.work_off", _work_off)
        yield
    torch.set_num_threads(threads)
