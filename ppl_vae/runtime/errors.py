"""Errors that the user can mend: one sentence on what is wrong, one on what to do."""

import errno
import os
import re
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Iterable
from difflib import get_close_matches

_WITHIN = ("ppl_vae", "torch", "contextlib")  # whose decorators stand between
_PLENTY = 8 * 2**30  # of address space; torch with CUDA takes 3.2 GiB of it before anything is done
_LONGEST_REASON = 500  # characters of somebody else's words in one line of ours


class UserError(Exception):
    """Bad input. The command line prints the message on one line and exits with status 2."""


class PictureWarning(UserWarning):
    """A picture lacks something. The command line prints the first one of a command, on one line."""


def warned(message: str) -> None:
    """Warn in Python's own way, of the line that called the library: what its functions call where nobody has said how
    to warn."""
    frame, level = sys._getframe(1), 2
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in _WITHIN:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level - 1)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is not in a table, with the nearest one that is."""
    names = sorted(known)
    near = nearest(name, names)
    hint = f"did you mean '{near}'?" if near else "choose one of them."
    return UserError(f"unknown {kind} '{name}' (known: {', '.join(names)}); {hint}")


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name whose initials this is (``lr``, ``learning_rate``), or that is spelt most like it, if any is;
    small and capital letters are alike."""
    alike = {each.casefold(): each for each in sorted(known, reverse=True)}
    meant = [each for words, each in alike.items() if name.casefold() == "".join(word[:1] for word in words.split("_"))]
    if len(name) > 1 and len(meant) == 1:
        return meant[0]
    near = get_close_matches(name.casefold(), sorted(alike), n=1, cutoff=0.5)
    return alike[near[0]] if near else None


def as_given(value: object) -> str:
    """What somebody has given where something else is wanted, in words: ``None``, ``the class VAE``, ``an int``."""
    if value is None:
        return "None"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    name = type(value).__name__
    return f"a{'n' if name[0] in 'aeiouAEIO' else ''} {name}"


def reason(error: BaseException) -> str:
    """What somebody else's error says, on one line."""
    try:
        said = str(error).strip()
    except Exception:  # an exception of anybody's own may not even be able to say what it is
        said = ""
    # Pyro puts the site on a line of its own, before what is wrong with it.
    said = re.sub(r"^(Error while computing .*:)\n", r"\1 ", said)
    first_line = textwrap.shorten(said.split("\n")[0].strip().removesuffix(":"), _LONGEST_REASON, placeholder=" …")
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is not enough memory, as Python's, the system's or torch's."""
    return isinstance(error, MemoryError) or says(error, errno.ENOMEM, "out of memory|allocate")


def says(error: BaseException, number: int, words: str) -> bool:
    """Whether it is the system's error of that number, or one of torch's or Python's in such words."""
    if isinstance(error, OSError):
        return error.errno == number
    return isinstance(error, RuntimeError | ImportError) and bool(re.search(words, str(error)))


def in_words(error: BaseException, interrupted: bool) -> tuple[str, int]:
    """What to say of what a command has raised, and its exit status; what only a bug can raise is raised again.

    Args:
        error: that ended it.
        interrupted: whether a signal has come.
    """
    if isinstance(error, KeyboardInterrupt):
        return (str(error.args[0]) if error.args else "interrupted"), 130
    if interrupted:  # a library has made something else of it
        return "interrupted", 130
    if isinstance(error, UserError):
        return str(error), 2
    if is_out_of_memory(error):
        return "out of memory; take smaller batches, fewer samples or datapoints, or a smaller model.", 2
    if says(error, errno.EAGAIN, "start new thread"):
        return "the system starts no more threads or processes (ulimit -u); end others, or set OMP_NUM_THREADS=1.", 2
    if isinstance(error, OSError):
        what = f"cannot read or write {os.fsdecode(error.filename)}" if error.filename else "a file or device failed"
        return f"{what}: {error.strerror or error}", 2
    raise error


def refuse_too_little_memory() -> None:
    """See that a memory limit leaves room for torch: where it does not, loading torch can abort the whole process.

    Whether it does is tried in another process, for a small limit only: it takes as long as the import.

    Raises:
        UserError: it does not.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    if limit == resource.RLIM_INFINITY or limit > _PLENTY:
        return
    tried = subprocess.run([sys.executable, "-c", "import torch"], capture_output=True, text=True)
    if tried.returncode and any(word in tried.stderr for word in ("map segment", "bad_alloc", "emory")):
        raise UserError(
            f"the memory limit of {limit / 2**30:.1f} GiB (ulimit -v) is too small to load torch; raise it, "
            f"{_PLENTY / 2**30:.0f} GiB are enough."
        )
