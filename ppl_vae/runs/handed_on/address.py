"""``hf://owner/name@revision``: where a run is on the Hugging Face Hub; and how the Hub is asked."""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ppl_vae.runtime.errors import UserError, reason

if TYPE_CHECKING:
    from huggingface_hub import HfApi

_NAME = r"[A-Za-z0-9_](?:[\w.-]{0,94}[A-Za-z0-9_])?"
_COMMIT = r"[0-9a-f]{40}"
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)
_LOG_IN = "log in by 'hf auth login', or set HF_TOKEN"


class Address(NamedTuple):
    """Of a repository on the Hub.

    Args:
        repository: its owner and its name, ``owner/name``.
        revision: a branch, a tag or a commit.
    """

    repository: str
    revision: str = "main"

    def __str__(self) -> str:
        return f"hf://{self.repository}" + ("" if self.revision == "main" else f"@{self.revision}")

    @property
    def is_fixed(self) -> bool:
        """Whether it names a commit, whose files are always the same."""
        return re.fullmatch(_COMMIT, self.revision) is not None


class NoAnswerError(UserError):
    """The Hub cannot be reached, or fails."""


def address_of(run: Path | str) -> Address | None:
    """The address on the Hub that a run is named by; None for a path.

    Args:
        run: as it was named; that of a ``Path`` has lost a stroke, ``hf:/owner/name``.

    Raises:
        UserError: it begins as one, and is none.
    """
    begins = re.match(r"hf:(/+|$)", str(run))
    return parsed(str(run)[begins.end() :]) if begins else None


def parsed(words: str) -> Address:
    """The address ``owner/name`` or ``owner/name@revision``.

    Raises:
        UserError: it is none.
    """
    repository, at, revision = words.partition("@")
    plain = re.fullmatch(rf"{_NAME}/{_NAME}", repository, re.ASCII) and not re.search(r"--|\.\.", repository)
    if not plain or (at and not re.fullmatch(r"[\w./+-]{1,200}", revision, re.ASCII)):
        raise UserError(
            f"'{words}' is no address on the Hub; write hf://OWNER/NAME, or hf://OWNER/NAME@REVISION with a branch, "
            "a tag or a commit."
        )
    return Address(repository, revision or "main")


@contextmanager
def hub_asked(address: Address, token: str | None = None) -> Iterator["HfApi"]:
    """The Hub, inside the block; what it refuses, and that it cannot be reached, become one line.

    Args:
        address: what it is asked about.
        token: whose rights are taken; None for those of the user who is logged in, if any.

    Raises:
        NoAnswerError: it cannot be reached, or fails.
        UserError: huggingface_hub is not installed; the Hub refuses.
    """
    try:
        from huggingface_hub import HfApi, errors
    except ImportError:
        how_to = "pip install 'ppl_vae[hub]'"
        raise UserError(
            f"{address}: the Hub is reached by huggingface_hub, which is not installed; {how_to}."
        ) from None
    try:
        # What is set now; the library's own default is as it was set when it was imported.
        yield HfApi(endpoint=os.environ.get("HF_ENDPOINT") or None, token=token, library_name="ppl_vae")
    except UserError:
        raise
    except errors.GatedRepoError:
        raise UserError(f"{address}: its owner lets in who asks on its page; ask there, and {_LOG_IN}.") from None
    except errors.RepositoryNotFoundError:
        raise UserError(
            f"{address}: there is no such repository, or it is private and you may not see it; check the name, or "
            f"{_LOG_IN}."
        ) from None
    except errors.RevisionNotFoundError:
        raise UserError(
            f"{address}: the repository has no revision '{address.revision}'; name a branch, a tag or a commit of it."
        ) from None
    except errors.HfHubHTTPError as error:
        raise _refused(address, error) from None
    except ValueError as error:  # of the library itself, of what it will not send: several lines
        why = " ".join(str(error).split())
        raise UserError(f"{address}: refused by huggingface_hub ({reason(ValueError(why))}).") from None
    except Exception as error:  # of several libraries below it
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise
        raise NoAnswerError(
            f"{address}: the Hub cannot be reached ({reason(error)}); see whether there is a network, or name a run "
            "directory or a zip."
        ) from None


def _refused(address: Address, error: "Exception") -> UserError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return UserError(f"{address}: the Hub does not know you; {_LOG_IN}.")
    if status == 403:
        return UserError(f"{address}: you may not do that there; name a repository of your own, or {_LOG_IN}.")
    if status is None or status >= 500 or status == 429:
        return NoAnswerError(f"{address}: the Hub does not answer now ({reason(error)}); try again later.")
    return UserError(f"{address}: the Hub refuses ({reason(error)}).")
