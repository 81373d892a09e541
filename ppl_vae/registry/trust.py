"""Whose code a run may run: users' files that this user has named in training here, or has consented to.

A run names parts of its pair by file, and opening it runs them. Each file that was trusted is remembered by its
SHA-256, a line each, in ``ppl_vae/trusted`` of the user's own state folder (``$XDG_STATE_HOME`` or ``~/.local/state``).
A file is the source that is named: what it imports is not looked at.
"""

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from ppl_vae.registry.files import file_of, has_run, source_hash
from ppl_vae.runtime.errors import UserError, reason

_log = logging.getLogger(__name__)


def hashes_of(*names: str) -> dict[str, str]:
    """SHA-256 by path of the users' files among these names of parts, as far as they are there."""
    files = [file for name in names if (file := file_of(name)) and file.is_file()]
    return {str(file): source_hash(file) for file in files}


def remember(files: Mapping[str, str]) -> None:
    """Trust these files from now on; where that cannot be written down, the log says so."""
    known = _known()
    lines = [f"{digest}  {file!a}\n" for file, digest in files.items() if digest not in known]
    if not lines:
        return
    try:
        store = _store()
        store.parent.mkdir(parents=True, exist_ok=True)
        with store.open("a", encoding="ascii") as out:
            out.write("".join(lines))  # at once, so that two processes do not mix theirs
    except (OSError, RuntimeError) as error:  # of no home at all
        _log.warning("which files you trust could not be stored (%s).", reason(error))


def check_trusted(run: Path, names: Iterable[str], recorded: Mapping[str, str], consent: bool) -> None:
    """See that the code of a run may be run; the log says if it is another than the run was trained with.

    Args:
        run: the run directory, for the messages.
        names: of the parts of its pair.
        recorded: the hashes of their files when it was trained, by path.
        consent: whether the user consents; what is consented to is remembered.

    Raises:
        UserError: a file is not there; or it is not trusted, and there is no consent.
    """
    paths, known = [path for name in names if (path := file_of(name))], _known()
    files = {str(path): source_hash(path) for path in paths if path.is_file()}
    for path in paths:
        if str(path) not in files:
            of_hash = f" (SHA-256 {recorded[str(path)]})" if str(path) in recorded else ""
            raise UserError(
                f"{run} runs the code of '{path}'{of_hash}, which is not there; put it back, or name in "
                f"{run / 'config.yaml'} where it is."
            )
    changed = {file for file, digest in files.items() if recorded.get(file, digest) != digest}
    for file, digest in files.items():
        if not (consent or digest in known or has_run(Path(file))):
            since = ", and it has changed since the run was trained" if file in changed else ""
            raise UserError(
                f"{run} runs the code of '{file}' (SHA-256 {digest}), which you have not run before{since}; read it, "
                "then add `trust`."
            )
    if consent:
        remember(files)
    for file in sorted(changed):
        _log.warning("'%s' has changed since %s was trained with it.", file, run)


def _store() -> Path:
    named = os.environ.get("XDG_STATE_HOME", "")
    home = Path(named) if Path(named).is_absolute() else Path.home() / ".local" / "state"
    return home / "ppl_vae" / "trusted"


def _known() -> set[str]:
    """The hashes of all files that are trusted."""
    try:
        return {line.partition(" ")[0] for line in _store().read_text(encoding="ascii", errors="replace").splitlines()}
    except (OSError, RuntimeError):
        return set()
