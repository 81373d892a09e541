"""The first epoch, eager and by auto, in processes of their own."""

import pytest

from ppl_vae.bench import first_epoch
from ppl_vae.bench.settings import Clock
from ppl_vae.bench.table import as_markdown

CLOCK = Clock("cpu", repeats=2, seconds=1.0, steps=None, report=lambda what: None)


def test_processes_take_turns_and_each_cold_start_has_a_cache_of_its_own(monkeypatch, tmp_path):
    seen = []

    def start(engine, data_root, device, cache):
        seen.append((engine, cache))
        return {"first_epoch": float(len(seen)), **({"compiling": 20.0} if engine == "auto" else {})}

    monkeypatch.setattr(first_epoch, "_start", start)
    result = first_epoch.measure_first_epoch(tmp_path, CLOCK)
    assert [engine for engine, _ in seen] == ["eager", "auto", "auto"] * 2
    assert [len({cache for _, cache in seen[begin : begin + 3]}) for begin in (0, 3)] == [1, 1]
    assert seen[0][1] != seen[3][1]
    assert result["seconds"]["auto, cold cache"] == {"first_epoch": 3.5, "compiling": 20.0}
    assert result["ratios"]["auto, cold cache/eager"] == pytest.approx({"median": 1.625, "min": 1.25, "max": 2.0})
    table = as_markdown({"first-epoch": result, "machine": {}, "command": "ppl-vae bench"})
    assert "| 1.62 | 1.25–2.00 |" in " ".join(table.split())


@pytest.mark.slow
def test_auto_is_eager_until_its_first_epoch_has_ended(shared_data):
    result = first_epoch.measure_first_epoch(shared_data, CLOCK._replace(repeats=1))
    assert all(0 < said["first_epoch"] < 120 for said in result["seconds"].values())
    assert set(result["seconds"]["eager"]) == {"first_epoch"}
    assert result["seconds"]["auto, warm cache"]["compiling"] < result["seconds"]["auto, cold cache"]["compiling"]
