"""A run packed into one file opens as what it is; what is no run of ours is refused before anything is unpacked."""

import shutil
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import ppl_vae
from ppl_vae import UserError, pack
from ppl_vae.runs.handed_on import judging
from ppl_vae.runs.handed_on.unpacking import unpacked
from ppl_vae.runtime.folders import locked
from tests.fits import assert_same, weights

STORED = Path(__file__).parents[1] / "formats" / "3"


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    run = Path(shutil.copytree(STORED, tmp_path / "mine"))
    (run / "figures").mkdir()
    (run / "figures" / "training.svg").write_text("<svg/>")
    (run / "report.html.0123456789ab.partial").write_text("half")
    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def cached(run: Path) -> list[str]:
    return sorted(file.name for file in (run.parent / "cache").rglob("*"))


def test_what_is_packed_is_what_opens(run: Path) -> None:
    packed = pack(run)
    assert packed.path == run.with_name("mine.zip")
    assert str(packed) == f"packed   {packed.path} (6 files, {packed.path.stat().st_size / 1e6:.1f} MB)"
    whole = contents(run)
    del whole["report.html.0123456789ab.partial"]
    shutil.rmtree(run)
    opened = ppl_vae.open(str(packed.path), "cpu")
    assert opened.run.path.name == "mine"
    assert contents(opened.run.path) == whole
    assert len(opened.history) == 34
    assert_same(weights(*opened.pair), weights(*ppl_vae.open(STORED, "cpu").pair))
    assert opened.data.test is not None  # the digits are there everywhere
    again = ppl_vae.open(packed.path, "cpu")
    assert again.run.path == opened.run.path
    assert len(list((packed.path.parent / "cache/ppl_vae/runs").iterdir())) == 1


def test_the_same_run_gives_the_same_bytes_and_nothing_is_overwritten(run: Path, tmp_path: Path) -> None:
    first, second = pack(run, tmp_path / "a.zip"), pack(ppl_vae.open(run, "cpu"), str(tmp_path / "b.zip"))
    assert first.path.read_bytes() == second.path.read_bytes()
    with pytest.raises(UserError, match=r"a\.zip exists"):
        pack(run, tmp_path / "a.zip")
    assert first.path.read_bytes() == second.path.read_bytes()


def test_what_has_been_changed_in_the_cache_stays_and_is_not_what_opens(run: Path) -> None:
    packed = pack(run).path
    there = unpacked(packed)
    (there / "config.yaml").write_text("mine")
    (there / "notes.txt").write_text("mine too")
    again = unpacked(packed)
    assert again != there
    assert contents(again)["config.yaml"] == (run / "config.yaml").read_bytes()
    assert (there / "config.yaml").read_text() == "mine"
    assert unpacked(packed) == again


def test_an_archive_of_another_program_s_opens_too(run: Path, tmp_path: Path) -> None:
    shutil.make_archive(str(tmp_path / "flat"), "zip", run)  # without a folder in it
    shutil.make_archive(str(tmp_path / "deep"), "zip", run.parent, "mine")
    with zipfile.ZipFile(tmp_path / "deep.zip", "a") as archive:
        archive.writestr("__MACOSX/mine/._config.yaml", b"")
    for name in ("flat", "deep"):
        assert len(ppl_vae.open(tmp_path / f"{name}.zip", "cpu").history) == 34


def test_a_run_named_by_a_dot_is_packed_beside_itself(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run)
    assert pack(".").path == run.with_name("mine.zip")
    monkeypatch.chdir(run / "figures")
    run.with_name("mine.zip").unlink()
    assert pack("..").path == run.with_name("mine.zip")


@pytest.mark.parametrize("to", [".", "..", "x.tar", "x", ".zip"])
def test_what_would_not_open_by_its_name_is_not_written(run: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    before = contents(run.parent)
    with pytest.raises(UserError, match=r"name a file that ends in \.zip"):
        pack(run, to)
    assert contents(run.parent) == before


@pytest.mark.parametrize("to", ["mine/a.zip", "mine/figures/a.zip", "also/a.zip"])
def test_no_zip_is_made_inside_the_run(run: Path, to: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(run.parent)
    Path("also").symlink_to(run)
    with pytest.raises(UserError, match=r"a\.zip is inside the run"):
        pack(run, to)
    assert not list(run.rglob("*.zip"))


@pytest.mark.parametrize("given", [None, 3, Path])
def test_what_is_no_path_is_refused_in_words(run: Path, given: Any, tmp_path: Path) -> None:
    for call in (ppl_vae.open, pack, lambda what: ppl_vae.push_to_hub(what, "me/mine")):
        with pytest.raises(UserError, match=r"is (None|an int|the class Path); give a path"):
            call(given)
    if given is not None:
        with pytest.raises(UserError, match=r"`to` is (an int|the class Path); give a path"):
            pack(run, given)


def test_files_are_packed_a_piece_at_a_time_to_the_same_bytes(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run / "notes.txt").write_text("".join(f"{number} lines of mine\n" for number in range(150_000)))
    with zipfile.ZipFile(run.parent / "whole.zip", "w") as archive:
        for file in sorted(each for each in run.rglob("*") if each.is_file() and each.suffix != ".partial"):
            entry = zipfile.ZipInfo(f"mine/{file.relative_to(run).as_posix()}")
            text = file.suffix in (".yaml", ".csv", ".json", ".md", ".svg", ".txt")
            entry.compress_type = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, file.read_bytes())
    monkeypatch.setattr(Path, "read_bytes", None)  # which takes as much memory as the file is long
    packed = pack(run).path
    monkeypatch.undo()
    assert packed.read_bytes() == (run.parent / "whole.zip").read_bytes()


# --- What is no run, or cannot be packed ------------------------------------------------------------------------------


def linked(run: Path) -> None:
    (run / "figures" / "secret.png").symlink_to("/etc/passwd")


def to_a_folder(run: Path) -> None:
    (run / "more").symlink_to("/etc")


def untrained(run: Path) -> None:
    (run / "checkpoint.pt").unlink()


def without_weights(run: Path) -> None:
    (run / "model.safetensors").unlink()


def of_nothing(run: Path) -> None:
    (run / "config.yaml").unlink()


UNFIT = [
    (linked, "secret.png is a link or no file, and cannot be packed"),
    (to_a_folder, "more is a link"),
    (untrained, "no checkpoint there"),
    (without_weights, "missing or damaged"),
    (of_nothing, "is no run directory"),
]


@pytest.mark.parametrize(("change", "words"), UNFIT)
def test_what_nobody_could_open_is_not_packed(run: Path, change: Callable[[Path], None], words: str) -> None:
    change(run)
    with pytest.raises(UserError, match=words):
        pack(run)
    assert not list(run.parent.glob("*.zip*"))


def test_a_run_that_is_being_written_is_not_packed(run: Path) -> None:
    with locked(run), pytest.raises(UserError, match="another process is writing there"):
        pack(run)


def test_it_says_what_it_needs_beside_it(run: Path) -> None:
    record = (run / "config.yaml").read_text()
    there = record.replace("data: digits", "data: /data/cells.npz").replace("files: {}", "files: {/code/mine.py: 0a1b}")
    (run / "config.yaml").write_text(there)
    assert pack(run).needs == (
        "the code in /code/mine.py; without it the run does not open",
        "its data, /data/cells.npz, for what looks at data: say by `data` where that is",
    )
    (run / "config.yaml").write_text(record.replace("data: digits", "data: mnist"))
    assert pack(run, run.parent / "b.zip").needs == ("mnist for what looks at data: say by `data_root` where that is",)


def test_without_its_data_it_samples_and_says_what_is_missing(run: Path) -> None:
    record = run / "config.yaml"
    record.write_text(record.read_text().replace("data: digits", "data: /nowhere/cells.npz"))
    opened = ppl_vae.open(pack(run).path, "cpu")
    drawn = ppl_vae.prior_predictive(opened.model, opened.event_shape, num_samples=3)
    assert drawn is not None
    with pytest.raises(UserError, match=r"its data is not at '/nowhere/cells\.npz'; say by `data` where it is now"):
        opened.split("test")


def test_without_its_code_it_says_so(run: Path) -> None:
    record = run / "config.yaml"
    record.write_text(record.read_text().replace("model: vae", "model: /nowhere/mine.py:Mine"))
    with pytest.raises(UserError, match=r"runs the code of '/nowhere/mine\.py', which is not there"):
        ppl_vae.open(pack(run).path, "cpu")


# --- Archives of other hands ------------------------------------------------------------------------------------------


def with_entry(name: str, data: bytes = b"x", mode: int = 0) -> Callable[[zipfile.ZipFile], None]:
    def add(archive: zipfile.ZipFile) -> None:
        entry = zipfile.ZipInfo("placeholder")
        entry.filename, entry.external_attr = name, mode << 16
        archive.writestr(entry, data)

    return add


def many(archive: zipfile.ZipFile) -> None:
    for number in range(judging.MOST_FILES):
        archive.writestr(f"mine/{number}", b"")


def zeros(archive: zipfile.ZipFile) -> None:
    archive.writestr("mine/zeros", bytes(60 * 2**20), zipfile.ZIP_DEFLATED)


def odd_packing(archive: zipfile.ZipFile) -> None:
    archive.writestr("mine/odd", b"x" * 1000, zipfile.ZIP_LZMA)


def another_run(archive: zipfile.ZipFile) -> None:
    archive.writestr("other/config.yaml", b"")


HOSTILE = {
    "up": (with_entry("../evil"), "'../evil' in it leads out of its folder"),
    "up later": (with_entry("mine/../../evil"), "leads out"),
    "absolute": (with_entry("/tmp/evil"), "leads out"),
    "windows": (with_entry("C:/evil"), "leads out"),
    "windows up": (with_entry("mine\\..\\..\\evil"), "leads out"),
    "here": (with_entry("mine/./evil"), "leads out"),
    "empty": (with_entry("mine//evil"), "leads out"),
    "a line": (with_entry("mine/evil\nppl-vae: all is well"), "leads out"),
    "a link": (with_entry("mine/link", b"/etc/passwd", stat.S_IFLNK | 0o777), "'mine/link' in it is a link or no file"),
    "a pipe": (with_entry("mine/pipe", b"", stat.S_IFIFO | 0o666), "is a link or no file"),
    "twice": (with_entry("mine/Config.yaml"), "a name is in it twice"),
    "a file for a folder": (with_entry("mine/figures"), "a name is in it twice"),
    "many": (many, r"it holds 10,00\d files, more than 10,000"),
    "a bomb": (zeros, "it unpacks to more than 200 times its size"),
    "odd packing": (odd_packing, "packed in a way that runs are not"),
    "two runs": (another_run, "holds several runs"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_an_archive_of_other_hands_is_refused_in_one_line_and_nothing_unpacked(run: Path, what: str) -> None:
    packed = pack(run).path
    change, words = HOSTILE[what]
    with zipfile.ZipFile(packed, "a") as archive:
        change(archive)
    with pytest.raises(UserError, match=words) as caught:
        ppl_vae.open(packed)
    assert str(caught.value).startswith(str(packed))
    assert "\n" not in str(caught.value)
    assert not [name for name in cached(run) if name not in ("ppl_vae", "runs")]
    assert not (run.parent / "evil").exists()


def test_a_bomb_that_lies_of_its_size_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an archive says of itself is all that it may be; the limit in bytes, by a small one."""
    packed = pack(run).path
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr("mine/zeros", bytes(5000), zipfile.ZIP_DEFLATED)
    data = packed.read_bytes()
    packed.write_bytes(data.replace((5000).to_bytes(4, "little"), (50).to_bytes(4, "little")))
    with pytest.raises(UserError, match="no packed run, or a damaged one"):
        ppl_vae.open(packed)
    assert not [name for name in cached(run) if name not in ("ppl_vae", "runs")]
    packed.write_bytes(data)
    monkeypatch.setattr(judging, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match=r"its files have 0\.0 GiB, more than"):
        ppl_vae.open(packed)


DAMAGE: dict[str, Any] = {
    "cut": lambda data: data[: len(data) // 2],
    "flipped": lambda data: data[:20_000] + bytes(255 - byte for byte in data[20_000:20_100]) + data[20_100:],
    "cut at its end": lambda data: data[: len(data) * 9 // 10],  # where an archive inside it may be whole
    "text": lambda _: b"this is no archive",
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_archive_is_refused_in_one_line(run: Path, how: str) -> None:
    packed = pack(run).path
    packed.write_bytes(DAMAGE[how](packed.read_bytes()))
    with pytest.raises(UserError, match=r"no packed run, or a damaged one|damaged, its beginning or its end") as caught:
        ppl_vae.open(packed)
    assert "\n" not in str(caught.value)
    assert not [name for name in cached(run) if name not in ("ppl_vae", "runs")]


def test_a_cache_that_cannot_be_written_says_how_another_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(run).path
    monkeypatch.setenv("XDG_CACHE_HOME", str(packed))
    with pytest.raises(UserError, match=r"cannot write .* XDG_CACHE_HOME names another folder") as caught:
        ppl_vae.open(packed)
    assert "\n" not in str(caught.value)


def test_an_archive_that_is_not_there(run: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.zip does not exist"):
        ppl_vae.open(run.parent / "gone.zip")


def test_weights_in_it_are_held_to_their_digest(run: Path) -> None:
    """An archive may be whole and its run damaged."""
    packed = pack(run).path
    with zipfile.ZipFile(packed) as old:
        files = {name: old.read(name) for name in old.namelist()}
    files["mine/model.safetensors"] = files["mine/model.safetensors"][:-1] + b"\x77"
    with zipfile.ZipFile(packed, "w") as new:
        for name, data in files.items():
            new.writestr(name, data)
    with pytest.raises(UserError, match="not of the same moment"):
        ppl_vae.open(packed, torch.device("cpu").type)
