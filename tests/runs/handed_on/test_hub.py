"""A run on the Hub opens as what it is, offline too; what is no run of ours is refused before it is downloaded."""

import builtins
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import ppl_vae
from ppl_vae import UserError, push_to_hub
from ppl_vae.runs.handed_on import judging
from ppl_vae.runs.handed_on.address import Address, address_of
from ppl_vae.runtime.folders import locked
from tests.fits import assert_same, weights
from tests.hub import TOKEN, Hub, Repository, standing_in
from tests.runs.handed_on.test_packing import STORED, UNFIT, contents

CARD = """---
library_name: ppl_vae
tags:
- pyro
---

# A card

    run = pv.open("mine")  # this folder

from safetensors.torch import load_file

weights = load_file("mine/model.safetensors")  # of both
"""


@pytest.fixture(scope="module")
def _server() -> Iterator[Hub]:
    with standing_in() as hub:
        yield hub


@pytest.fixture
def hub(_server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    _server.repositories, _server.failing = {}, None
    _server.asked.clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_ENDPOINT", _server.url)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return _server


@pytest.fixture
def run(tmp_path: Path) -> Path:
    run = Path(shutil.copytree(STORED, tmp_path / "mine"))
    (run / "figures").mkdir()
    (run / "figures" / "training.svg").write_text("<svg/>")
    (run / "report.html.0123456789ab.partial").write_text("half")
    (run / "README.md").write_text(CARD)
    return run


def downloads(hub: Hub) -> list[str]:
    return [each for each in hub.asked if "/resolve/" in each and each.startswith("GET")]


def cached(run: Path) -> list[Path]:
    return [file for file in (run.parent / "cache").rglob("*") if file.is_file()]


# --- Addresses --------------------------------------------------------------------------------------------------------


def test_addresses() -> None:
    assert address_of("hf://me/mine") == address_of(Path("hf://me/mine")) == Address("me/mine", "main")
    assert address_of("hf://me/mine@refs/pr/1") == Address("me/mine", "refs/pr/1")
    assert str(address_of(Path("hf://me/mine@v1"))) == "hf://me/mine@v1"
    assert address_of("runs/mine") is None
    assert address_of(Path("/hf:/me")) is None


@pytest.mark.parametrize(
    "words",
    [
        *("", "mine", "me/", "/mine", "me/mine/more", "../mine", "me/..", "me/.mine", "me/mine@", "me/mi ne", "é/x"),
        *("me/a--b", "me/mine@a\nb", "me/mine?x=1", "me/mine@" + 201 * "x", "me/" + 97 * "x"),
    ],
)
def test_what_is_no_address_is_refused_and_nobody_asked(hub: Hub, words: str) -> None:
    for act in (lambda: ppl_vae.open(f"hf://{words}"), lambda: push_to_hub("runs/mine", words)):
        with pytest.raises(UserError, match="is no address on the Hub"):
            act()
    assert hub.asked == []


# --- Pushed, and opened -----------------------------------------------------------------------------------------------


def test_what_is_pushed_is_what_opens(hub: Hub, run: Path) -> None:
    pushed = push_to_hub(run, "me/digits", license="mit")
    files = hub.repositories["me/digits"].files
    assert str(pushed) == f"pushed   hf://me/digits (7 files, commit {pushed.commit[:8]}), {hub.url}/me/digits"
    whole = {name: data for name, data in contents(run).items() if not name.endswith(".partial")}
    card = files["README.md"].decode()
    assert {**files, "README.md": b""} == {**whole, "README.md": b"", ".gitattributes": files[".gitattributes"]}
    front, body = card.removeprefix("---\n").split("\n---\n")
    assert yaml.safe_load(front) == {"library_name": "ppl_vae", "tags": ["pyro"], "license": "mit"}
    first, imports, last = body.strip().split("\n\n", 1)[1].split("\n\n")
    assert first == '    run = pv.open("hf://me/digits")'
    assert imports == "from huggingface_hub import hf_hub_download\nfrom safetensors.torch import load_file"
    assert last == 'weights = load_file(hf_hub_download("me/digits", "model.safetensors"))  # of both'
    assert (run / "README.md").read_text() == CARD
    opened = ppl_vae.open("hf://me/digits", "cpu")
    assert opened.run.path.name == "digits"
    assert contents(opened.run.path) == {name: data for name, data in files.items() if name != ".gitattributes"}
    assert_same(weights(*opened.pair), weights(*ppl_vae.open(STORED, "cpu").pair))
    assert not any(file.is_symlink() for file in opened.run.path.rglob("*"))


def test_a_card_is_made_where_there_is_none_and_one_without_front_matter_gets_it(hub: Hub, run: Path) -> None:
    (run / "README.md").write_text("# Mine\n")
    push_to_hub(run, "me/a")
    assert hub.repositories["me/a"].files["README.md"] == b"---\nlibrary_name: ppl_vae\n---\n\n# Mine\n"
    (run / "README.md").unlink()
    push_to_hub(run, "me/b")
    assert b'`ppl_vae.open("hf://me/b")`' in hub.repositories["me/b"].files["README.md"]


def test_it_is_downloaded_once_and_opens_offline(hub: Hub, run: Path, caplog: pytest.LogCaptureFixture) -> None:
    commit = push_to_hub(run, "me/digits").commit
    first = ppl_vae.open("hf://me/digits", "cpu").run.path
    assert len(downloads(hub)) == 7
    assert ppl_vae.open(f"hf://me/digits@{commit}", "cpu").run.path == first
    hub.asked.clear()
    assert ppl_vae.open(f"hf://me/digits@{commit}", "cpu").run.path == first  # a commit is what it was
    assert hub.asked == []
    hub.failing = 503
    with caplog.at_level("INFO", "ppl_vae"):
        assert ppl_vae.open("hf://me/digits", "cpu").run.path == first
    assert f"no answer from the Hub; opened as it was last downloaded, commit {commit[:8]}" in caplog.text
    with pytest.raises(UserError, match=r"does not answer now .*; try again later"):
        ppl_vae.open("hf://me/digits@v1")


def test_a_later_push_replaces_what_was_there_and_the_old_stays_in_the_history(hub: Hub, run: Path) -> None:
    old = push_to_hub(run, "me/digits").commit
    before = ppl_vae.open("hf://me/digits", "cpu").run.path
    shutil.rmtree(run / "figures")
    (run / "notes.txt").write_text("later")
    push_to_hub(ppl_vae.open(run, "cpu"), "hf://me/digits")
    after = ppl_vae.open("hf://me/digits", "cpu").run.path
    assert after != before
    assert sorted(contents(after)) == sorted({*contents(before), "notes.txt"} - {"figures/training.svg"})
    assert ppl_vae.open(f"hf://me/digits@{old}", "cpu").run.path == before


def test_what_has_been_changed_in_the_cache_stays_and_is_not_what_opens(hub: Hub, run: Path) -> None:
    push_to_hub(run, "me/digits")
    there = ppl_vae.open("hf://me/digits", "cpu").run.path
    (there / "samples").mkdir()  # as a command leaves them
    assert ppl_vae.open("hf://me/digits", "cpu").run.path == there
    (there / "config.yaml").write_text("mine")
    again = ppl_vae.open("hf://me/digits", "cpu").run.path
    assert again != there
    assert (there / "config.yaml").read_text() == "mine"
    (again / "metrics.csv").unlink()
    (again / "metrics.csv").symlink_to(run / "metrics.csv")
    assert ppl_vae.open("hf://me/digits", "cpu").run.path not in (there, again)


def test_a_run_of_the_hub_is_packed_but_not_written_in(hub: Hub, run: Path, tmp_path: Path) -> None:
    push_to_hub(run, "me/digits")
    packed = ppl_vae.pack("hf://me/digits", tmp_path / "a.zip")
    assert len(ppl_vae.open(packed.path, "cpu").history) == 34
    with pytest.raises(UserError, match=r"hf://me/digits is on the Hub, .* pack it \(ppl-vae pack hf://me/digits\)"):
        ppl_vae.runs.run.Run.open(Path("hf://me/digits"))
    with pytest.raises(UserError, match=r"ppl_vae\.push_to_hub\(run, 'OWNER/NAME'\) takes a run to the Hub"):
        ppl_vae.pack(run, "hf://me/digits")


# --- What is not pushed -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("change", "words"), UNFIT)
def test_what_nobody_could_open_is_not_pushed(hub: Hub, run: Path, change: Callable[[Path], None], words: str) -> None:
    change(run)
    with pytest.raises(UserError, match=words):
        push_to_hub(run, "me/digits")
    assert hub.asked == []


def test_a_run_that_is_being_written_is_not_pushed(hub: Hub, run: Path) -> None:
    with locked(run), pytest.raises(UserError, match="another process is writing there"):
        push_to_hub(run, "me/digits")


def test_nothing_else_is_overwritten_and_nothing_becomes_public_unasked(hub: Hub, run: Path) -> None:
    other = hub.repositories["me/bert"] = Repository()
    other.commit({"config.json": b"{}", "README.md": b"# BERT"})
    with pytest.raises(UserError, match="hf://me/bert holds something else than a run"):
        push_to_hub(run, "me/bert")
    assert other.files == {"config.json": b"{}", "README.md": b"# BERT"}
    hub.repositories["me/open"] = Repository(private=False)
    with pytest.raises(UserError, match="hf://me/open is there, and public; make it private on its page"):
        push_to_hub(run, "me/open", private=True)
    push_to_hub(run, "me/closed", private=True)
    assert hub.repositories["me/closed"].private
    with pytest.raises(UserError, match="a run is pushed to the branch main; leave '@v1' out"):
        push_to_hub(run, "me/closed@v1")


def test_who_may_not_and_what_the_hub_refuses(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"hf://me/digits: .*\"license\" must be one of"):
        push_to_hub(run, "me/digits", license="wrong")
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(UserError, match=r"hf://me/digits: the Hub does not know you; log in by 'hf auth login'"):
        push_to_hub(run, "me/digits")
    assert push_to_hub(run, "me/digits", token=TOKEN).address == "hf://me/digits"
    for status, words in ((403, "you may not do that there"), (429, "try again later"), (418, "the Hub refuses")):
        hub.failing = status
        with pytest.raises(UserError, match=words) as caught:
            push_to_hub(run, "me/digits", token=TOKEN)
        assert "\n" not in str(caught.value)


# --- What is not opened -----------------------------------------------------------------------------------------------


def test_what_is_not_there_or_may_not_be_seen(hub: Hub, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push_to_hub(run, "me/digits", private=True)
    with pytest.raises(UserError, match="hf://me/digits@v2: the repository has no revision 'v2'; name a branch"):
        ppl_vae.open("hf://me/digits@v2")
    monkeypatch.delenv("HF_TOKEN")
    for name in ("me/digits", "me/nothing"):
        with pytest.raises(UserError, match="there is no such repository, or it is private and you may not see it"):
            ppl_vae.open(f"hf://{name}")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        UserError, match=r"hf://me/digits: the Hub cannot be reached .*; see whether there is a network"
    ):
        ppl_vae.open("hf://me/digits")
    assert cached(run) == []


def test_without_the_library_it_says_what_to_install(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("huggingface_hub"):
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    for act in (lambda: ppl_vae.open("hf://me/digits"), lambda: push_to_hub(run, "me/digits")):
        with pytest.raises(UserError, match=r"is not installed; pip install 'ppl_vae\[hub\]'"):
            act()


HOSTILE: dict[str, tuple[dict[str, bytes], str]] = {
    "up": ({"../evil": b"x"}, "'../evil' in it leads out of its folder"),
    "absolute": ({"/tmp/evil": b"x"}, "leads out"),
    "windows": ({"C:\\evil": b"x"}, "leads out"),
    "a line": ({"evil\nppl-vae: all is well": b"x"}, "leads out"),
    "twice": ({"Config.yaml": b"x"}, "a name is in it twice"),
    "a file for a folder": ({"figures": b"x"}, "a name is in it twice"),
    "many": ({f"{number}": b"" for number in range(judging.MOST_FILES)}, r"it holds 10,00\d files, more than 10,000"),
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_what_others_have_put_there_is_refused_before_it_is_downloaded(hub: Hub, run: Path, what: str) -> None:
    push_to_hub(run, "me/digits")
    repository = hub.repositories["me/digits"]
    files, words = HOSTILE[what]
    repository.commit({**repository.files, **files})
    with pytest.raises(UserError, match=words) as caught:
        ppl_vae.open("hf://me/digits")
    assert str(caught.value).startswith("hf://me/digits: refused, ")
    assert "\n" not in str(caught.value)
    assert (downloads(hub), cached(run)) == ([], [])


def test_too_many_bytes_no_size_and_no_run_are_refused(hub: Hub, run: Path) -> None:
    push_to_hub(run, "me/digits")
    sizes: dict[str, Any] = hub.repositories["me/digits"].sizes
    for size, words in ((2**33, r"its files have 8\.0 GiB, more than 4 GiB"), (None, "how large they are")):
        sizes["numbers.json"] = size
        with pytest.raises(UserError, match=words):
            ppl_vae.open("hf://me/digits")
    hub.repositories["me/bert"] = Repository()
    with pytest.raises(UserError, match=r"hf://me/bert holds no run \(it has no config\.yaml\)"):
        ppl_vae.open("hf://me/bert")
    assert (downloads(hub), cached(run)) == ([], [])


def test_what_is_not_as_it_is_listed_is_not_kept(hub: Hub, run: Path) -> None:
    """As when a file came cut, or another than was judged."""
    push_to_hub(run, "me/digits")
    hub.repositories["me/digits"].sizes["numbers.json"] = 5
    with pytest.raises(UserError, match="hf://me/digits: "):
        ppl_vae.open("hf://me/digits")
    assert cached(run) == []


def test_a_link_in_git_comes_as_the_small_file_that_it_is(hub: Hub, run: Path) -> None:
    push_to_hub(run, "me/digits")
    repository = hub.repositories["me/digits"]
    repository.commit({**repository.files, "figures/secret.png": b"/etc/passwd"})  # what the Hub has of a link
    opened = ppl_vae.open("hf://me/digits", "cpu").run.path
    assert not (opened / "figures/secret.png").is_symlink()
    assert (opened / "figures/secret.png").read_text() == "/etc/passwd"


def test_what_is_kept_of_a_revision_may_be_damaged(hub: Hub, run: Path) -> None:
    push_to_hub(run, "me/digits")
    first = ppl_vae.open("hf://me/digits", "cpu").run.path
    kept = first.parents[1] / "revisions" / "main.json"
    for damage in ("", "[]", '["x", [[1]]]', "{}"):
        kept.write_text(damage)
        assert ppl_vae.open("hf://me/digits", "cpu").run.path == first
    assert json.loads(kept.read_text())[0] == first.parent.name
