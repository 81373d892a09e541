"""The importance bound streams over its samples: its memory is that of one call, however many there are."""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# The peak of a process's resident memory, which the kernel counts and which no allocation escapes, in MiB; it never
# falls, so all are taken in one process, from the smallest. (Not ru_maxrss: a process inherits it from who started it.)
SCRIPT = """
    import json
    import re
    from importlib import import_module
    from pathlib import Path

    import torch

    from ppl_vae.data import Dataset
    from ppl_vae.evaluation import importance_bound
    from tests.pairs import amortized, oracle, simulate

    torch.set_num_threads(1)
    model = oracle(20, 10)
    data = Dataset(simulate(model, 3))
    guide = amortized(model, data.x)

    def peak(num_samples):
        assert importance_bound(model, guide, data, num_samples).values.isfinite().all()
        (kibibytes,) = re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
        return int(kibibytes) / 2**10

    found = [peak(100), peak(20_000), peak(200_000)]
    module = import_module("ppl_vae.programs.log_weights")
    module._CALL_ELEMENTS = module._CALL_DRAWS = 2**62  # all of the weights in one call
    print(json.dumps([*found, peak(200_000)]))
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peaks are read from Linux's /proc")
def test_memory_of_the_importance_bound_does_not_grow_with_k() -> None:
    """100 samples fill no call, 20,000 fill two, 200,000 fill nineteen and hold no more; all at once they would."""
    command = [sys.executable, "-c", textwrap.dedent(SCRIPT)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    few, some, many, at_once = json.loads(found.stdout)
    assert some - few < 150
    assert many - some < 100
    assert at_once - many > 300
