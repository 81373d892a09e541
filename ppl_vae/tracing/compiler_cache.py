"""The folder in which torch's compiler keeps what it has compiled.

torch makes it whenever an optimizer is made, whether anything is compiled or not, and names it after the user. Where
there is no place for it, or nobody knows the user, only compiling is to be left.
"""

import getpass
import os
import tempfile
from importlib import import_module
from pathlib import Path

_NAME = "TORCHINDUCTOR_CACHE_DIR"


def cache_folder() -> Path:
    """Where it is, or will be."""
    return Path(os.environ.get(_NAME) or Path(tempfile.gettempdir(), f"torchinductor_{getpass.getuser()}"))


def secure_compiler_cache() -> str | None:
    """See that torch can be used, with its compiler or without it; before the first optimizer is made.

    Returns:
        why nothing can be compiled, and what to set; None where it can.
    """
    try:
        getpass.getuser()  # torch asks too
        folder = cache_folder()
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK | os.X_OK):
            return None
        why = f"{folder} cannot be written; set {_NAME} to a folder that can be"
    except OSError as error:
        where = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
        why = f"{where}; set {_NAME} to a folder that can be written"
    except KeyError:
        why = "the user's number has no name; set LOGNAME to one"
    _import_without_a_place()
    return f"torch's compiler has no place for its cache: {why}"


def _import_without_a_place() -> None:
    """torch looks for the folder once, as it imports this module; afterwards it is asked for by the compiler only."""
    before, place = {name: os.environ.get(name) for name in (_NAME, "LOGNAME")}, tempfile.tempdir
    try:
        os.environ[_NAME] = tempfile.tempdir = str(Path(__file__).parent)  # one that is there; nothing is written
        os.environ.setdefault("LOGNAME", "nobody")
        import_module("torch._dynamo")
    finally:
        tempfile.tempdir = place
        for name, word in before.items():
            os.environ.pop(name, None)
            if word is not None:
                os.environ[name] = word
