"""A short soak; ``python -m tests.soak`` is the long one."""

import pytest

from tests.soak.kills import killed, references, signalled
from tests.soak.mutations import mutated


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_written_by_what_is_refused(tmp_path):
    wrong = []
    mutated(60, tmp_path, 1, wrong.append)
    known = references(tmp_path / "references")
    killed(12, tmp_path, known, 1, wrong.append)
    signalled(8, tmp_path, known, 1, wrong.append)
    assert not wrong
