"""Fresh processes."""

import json
import sys
import time

import pytest

from ppl_vae.bench import first_steps, processes, startup
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.sizes import SIZES
from ppl_vae.runtime.errors import UserError


@pytest.mark.slow
def test_a_start_is_measured(monkeypatch):
    monkeypatch.setattr(startup, "STARTS", {"by hand": "handwritten"})
    clock = Clock("cpu", repeats=1, seconds=1.0, steps=None, report=lambda what: None)
    started = time.perf_counter()
    starts = startup.measure_starts(SIZES["digits"], clock)
    assert 0 < starts["by hand"]["first_step"] < time.perf_counter() - started
    assert 50 < starts["by hand"]["peak"] < 5_000


@pytest.mark.slow
def test_a_rival_starts_without_us():
    """Its import time and memory are its own."""
    code = f"""
import runpy, sys
sys.argv = ["", "handwritten", "0", "cpu", "1", {json.dumps(json.dumps(SIZES["digits"]._asdict()))}]
sys.path.insert(0, "")
runpy.run_path({first_steps.__file__!r}, run_name="__main__")
print(sorted(name for name in sys.modules if name.startswith("ppl_vae")), "pyro" in sys.modules, "jax" in sys.modules)
"""
    last = processes.run([sys.executable, "-c", code]).splitlines()[-1]
    ours = ["ppl_vae", *(f"ppl_vae.bench{name}" for name in ("", ".contenders", ".handwritten"))]
    assert last == f"{[*ours, 'ppl_vae.bench.minibatches', 'ppl_vae.bench.sizes']} False False"


def test_a_process_that_fails_is_one_line():
    with pytest.raises(
        UserError, match=r"^a process of the benchmark failed \(ValueError: no\); leave it out"
    ) as caught:
        processes.run([sys.executable, "-c", "raise ValueError('no')"])
    assert "\n" not in str(caught.value)
