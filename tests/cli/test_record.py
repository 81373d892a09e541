"""What a run directory records is read only at a sensible length, and removed only by the process that made it."""

import os

import pytest

from ppl_vae import UserError
from ppl_vae.data.info import DataInfo
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.runs.record import is_baseline
from ppl_vae.runs.run import Record, Run, TrainConfig


def test_a_record_beyond_all_measure_is_not_read(tmp_path):
    (tmp_path / "config.yaml").write_text("baseline: gaussian\n" + "# filler\n" * 2**17)
    assert not is_baseline(tmp_path)
    with pytest.raises(UserError, match=r"config\.yaml: damaged, it is too long for a record"):
        Run.open(tmp_path)


@pytest.mark.parametrize("forked", [False, True])
def test_a_forked_child_removes_nothing_of_its_parents(tmp_path, monkeypatch, forked):
    record = Record.of(TrainConfig(pair=PairConfig()), DataInfo((3, 4), 0, 20, "0" * 16))
    path = tmp_path / "run"

    def fails():
        with Run.created(record, path):
            if forked:
                monkeypatch.setattr(os, "getpid", lambda: -1)
            raise RuntimeError("in the child")

    with pytest.raises(RuntimeError, match="in the child"):
        fails()
    assert path.exists() == forked
