"""A run of the Hub, of anybody's hands, in the user's cache: all of it is judged by the Hub's list of its files first.

Each commit has a folder of its own there, so that it is downloaded once. A folder in which somebody has changed a file
stays as it is, and the commit gets another one. What a branch or a tag was when it was last asked for is kept beside
them: it opens without a network too.
"""

import hashlib
import json
import logging
import re
import shutil
import tempfile
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from ppl_vae.runs.handed_on.address import Address, NoAnswerError, hub_asked
from ppl_vae.runs.handed_on.judging import fault_of
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import make_folder, write_text, writing
from ppl_vae.runtime.folders import cache_of, in_cache

_CHUNK = 2**20
_OF_GIT = ".gitattributes"  # the Hub puts it into every repository; it is no file of the run
_SECONDS = 30.0  # that the Hub has to answer

_log = logging.getLogger(__name__)


class _File(NamedTuple):
    """A file as the Hub lists it: its name, its size, and the digest of its contents, as git has it or by SHA-256."""

    name: str
    size: int
    digest: str


class _Snapshot(NamedTuple):
    """A commit: its files."""

    commit: str
    files: tuple[_File, ...]


@in_cache()
def fetched(address: Address) -> Path:
    """The folder of a run that is on the Hub.

    Args:
        address: of its repository.

    Returns:
        the run directory, in ``ppl_vae/hub`` of the user's cache (``$XDG_CACHE_HOME`` or ``~/.cache``).

    Raises:
        UserError: there is no such repository or revision, or it may not be read; it holds no run; a name in it leads
            out of its folder, or is there twice; it has more than 4 GiB or 10,000 files, of which none is downloaded
            then; the Hub cannot be reached, and the run has not been downloaded before.
    """
    home = cache_of("hub") / address.repository
    kept = home / "revisions" / f"{quote(address.revision, safe='')}.json"
    known = _read(kept)
    snapshot = known if known and address.is_fixed else _asked(address, known)
    _judge(address, snapshot)
    for number in count(1):
        place = home / (snapshot.commit if number == 1 else f"{snapshot.commit}-{number}")
        run = place / address.repository.partition("/")[2]
        if not place.exists():
            _download(address, snapshot, place, run.name)
        if _is_as_listed(run, snapshot):
            if snapshot != known:
                make_folder(kept.parent)
                write_text(kept, json.dumps(snapshot))
            return run
    raise AssertionError  # one of them is free


def _read(kept: Path) -> _Snapshot | None:
    """What a revision was when it was last asked for."""
    try:
        commit, files = json.loads(kept.read_bytes())
        return _Snapshot(commit, tuple(_File(*each) for each in files))
    except (OSError, ValueError, TypeError):
        return None


def _asked(address: Address, known: _Snapshot | None) -> _Snapshot:
    """What a revision is now; where the Hub gives no answer, what it was."""
    try:
        with hub_asked(address) as hub:
            found = hub.model_info(address.repository, revision=address.revision, files_metadata=True, timeout=_SECONDS)
    except NoAnswerError:
        if known is None:
            raise
        _log.info("%s: no answer from the Hub; opened as it was last downloaded, commit %s", address, known.commit[:8])
        return known
    files = []
    for each in found.siblings or []:
        lfs = each.lfs and each.lfs.sha256
        size = each.lfs.size if each.lfs else each.size
        files.append(_File(each.rfilename, size, f"sha256 {lfs}" if lfs else f"git {each.blob_id}"))
    return _Snapshot(str(found.sha), tuple(sorted(each for each in files if each.name != _OF_GIT)))


def _judge(address: Address, snapshot: _Snapshot) -> None:
    names = {each.name for each in snapshot.files}
    if not re.fullmatch("[0-9a-f]{40}", snapshot.commit) or any(type(each.size) is not int for each in snapshot.files):
        fault: str | None = "the Hub says of no commit which files it has, and how large they are"
    else:
        fault = fault_of([(each.name, each.size) for each in snapshot.files])
    if fault:
        raise UserError(f"{address}: refused, {fault}; have the run pushed anew by ppl_vae.push_to_hub.")
    if "config.yaml" not in names:
        raise UserError(f"{address} holds no run (it has no config.yaml); name one that ppl_vae.push_to_hub pushed.")


def _download(address: Address, snapshot: _Snapshot, place: Path, name: str) -> None:
    """Download all files into a new folder, which is there when it is whole; somebody may have been faster."""
    make_folder(place.parent, parents=True)
    with writing(place):
        partial = Path(tempfile.mkdtemp(prefix="partial-", dir=place.parent))
        try:
            with hub_asked(address) as hub:
                commit, into = snapshot.commit, partial / name
                hub.snapshot_download(
                    address.repository, revision=commit, local_dir=into, ignore_patterns=[_OF_GIT], tqdm_class=_bar()
                )
            shutil.rmtree(partial / name / ".cache", ignore_errors=True)  # its notes on what it has downloaded
            if not _is_as_listed(partial / name, snapshot):
                raise UserError(f"{address}: what came is not what the Hub lists; try again.")
            try:
                partial.rename(place)
            except OSError:
                if not place.exists():
                    raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def _bar() -> Any:
    """The library's own bar, on a terminal only: that of a whole snapshot shows everywhere."""
    from huggingface_hub.utils import tqdm

    class OnTerminal(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **settings: Any) -> None:
            super().__init__(*args, **{**settings, "disable": None})

    return OnTerminal


def _is_as_listed(run: Path, snapshot: _Snapshot) -> bool:
    """Whether what was downloaded is there as it was; files that a command has put beside it are no matter."""
    return all(_has(run / each.name, each) for each in snapshot.files)


def _has(path: Path, file: _File) -> bool:
    if path.is_symlink() or not path.is_file() or path.stat().st_size != file.size:
        return False
    kind, _, digest = file.digest.partition(" ")
    found = hashlib.sha256() if kind == "sha256" else hashlib.sha1(f"blob {file.size}\0".encode())
    with path.open("rb") as contents:
        while chunk := contents.read(_CHUNK):
            found.update(chunk)
    return found.hexdigest() == digest
