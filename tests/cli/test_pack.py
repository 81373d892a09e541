"""``ppl-vae pack``, and commands on what it packs."""

import json
import zipfile
from pathlib import Path

import pytest

from tests.hub import TOKEN, standing_in


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
        (("pack", trained, "--private"), "--private and --license are for --to hf://OWNER/NAME."),
        (("pack", trained, "--to", "hf://nobody"), "'nobody' is no address on the Hub; write hf://OWNER/NAME"),
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


def test_a_run_of_the_hub_is_read_as_its_directory_is(cli, trained, tmp_path, monkeypatch):
    run = "hf://me/digits"
    few = ("--limit", "20", "--num-samples", "5", "--json")
    with standing_in() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        status, out, err = cli("pack", trained, "--to", run, "--private", "--license", "mit")
        assert (status, err) == (0, "")
        assert out.startswith("pushed   hf://me/digits (")
        assert hub.repositories["me/digits"].private
        here, there = cli("evaluate", trained, *few), cli("evaluate", run, *few)
        assert here == there
        assert here[0] == 0
        sampled = cli("sample", f"{run}@main", "prior", "--num-samples", "3", "--out", tmp_path / "x.npz")
        assert (sampled[0], sampled[2]) == (0, "")
        monkeypatch.delenv("HF_TOKEN")
        for arguments, words in (
            (("evaluate", "hf://me/nothing"), "hf://me/nothing: there is no such repository, or it is private"),
            (("evaluate", f"{run}@v2"), "there is no such repository, or it is private"),
            (
                ("report", run),
                "is on the Hub, and what writes in a run needs its folder; pack it (ppl-vae pack hf://me/",
            ),
            (("train", "--resume", run), "is on the Hub, and what writes in a run needs its folder"),
            (("pack", trained, "--to", run), "hf://me/digits: the Hub does not know you; log in"),
        ):
            status, out, err = cli(*arguments)
            assert (status, out, err.count("\n")) == (2, "", 1), arguments
            assert words in err
    status, out, err = cli("evaluate", run, *few)  # nobody answers now
    assert (status, out) == (0, here[1])
    assert err.startswith("hf://me/digits: no answer from the Hub; opened as it was last downloaded, commit ")
    status, out, err = cli("evaluate", "hf://me/another")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "the Hub cannot be reached" in err
    monkeypatch.chdir(tmp_path)
    assert cli("pack", run)[:2] == (0, f"packed   digits.zip ({_files_of('digits.zip')})\n")


def _files_of(archive):
    with zipfile.ZipFile(archive) as packed:
        size = sum(1 for _ in packed.namelist())
    return f"{size} files, {Path(archive).stat().st_size / 1e6:.1f} MB"
