"""``ppl-vae pack``, and commands on what it packs."""

import json
import zipfile

import pytest


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_packed_run_is_read_as_its_directory_is(cli, trained, tmp_path):
    status, out, err = cli("pack", trained, "--to", tmp_path / "run.zip")
    assert (status, err) == (0, "")
    assert out.startswith(f"packed   {tmp_path / 'run.zip'} (")
    found = []
    for run in (trained, tmp_path / "run.zip"):
        status, out, err = cli("evaluate", run, "--limit", "20", "--num-samples", "5", "--json")
        assert (status, err) == (0, "")
        found.append(json.loads(out))
    assert found[0] == found[1]
    assert cli("sample", tmp_path / "run.zip", "prior", "--num-samples", "3", "--out", tmp_path / "x.npz")[0] == 0


def test_mistakes_are_one_line_and_exit_2(cli, trained, tmp_path):
    archive = tmp_path / "run.zip"
    assert cli("pack", trained, "--to", archive)[0] == 0
    with zipfile.ZipFile(archive, "a") as changed:
        changed.writestr("../evil", b"")
    for arguments, words in (
        (("pack", trained, "--to", archive), "run.zip exists; choose another name."),
        (("pack", tmp_path), "is no run directory"),
        (("pack", archive), "is packed, and what writes"),
        (("evaluate", archive), "run.zip: refused, '../evil' in it leads out of its folder"),
        (("report", archive), "is packed, and what writes"),
        (("train", "--resume", archive), "is packed, and what writes in a run needs its folder; unzip it"),
    ):
        status, out, err = cli(*arguments)
        assert (status, out, err.count("\n")) == (2, "", 1), arguments
        assert words in err
    assert not (tmp_path.parent / "evil").exists()
