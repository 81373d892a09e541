"""Three at once, once over; ``python -m tests.soak.together`` does it ten times, with MNIST."""

import numpy as np
import pytest

from tests.soak.together import together


@pytest.mark.slow
def test_three_runs_at_once_are_three_runs(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "bits.npz", x=rng.random((400, 4, 4)) < 0.5, y=rng.integers(0, 3, 400))
    wrong = []
    assert together(2, tmp_path, ["--data", "bits.npz"], 2, wrong.append) == 6
    assert not wrong
    assert {path.name for path in (tmp_path / "runs").iterdir()} == {f"bits-{number}" for number in range(1, 7)}
