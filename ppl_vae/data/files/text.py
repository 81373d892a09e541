"""Text as data: a file of lines, each of them a sequence of characters."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from ppl_vae.data.codecs import encode_text
from ppl_vae.runtime.errors import UserError, reason

# A line is one sequence and one latent: beyond these it is prose, which wants to be cut up first.
_LONGEST = 1000
_LARGEST_ALPHABET = 1000
_MOST_NUMBERS = 2**29  # of the padded array, 2 GiB
_MOST_BYTES = 2**30  # every character takes two of those numbers or more, and four bytes or fewer


def read_lines(path: Path) -> list[str]:
    """The lines of a file that are not empty, in their order.

    Raises:
        UserError: there is no such file, it is not UTF-8, has no line, one that is too long, or a control character.
    """
    if not path.is_file():
        raise UserError(f"{path}: no such file; give the path of a .txt with one sequence per line.")
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise UserError(f"{path}: {size / 2**30:.1f} GiB of text, at most 1 GiB is accepted; use fewer lines.")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path}: not a readable text ({reason(error)}); save it as UTF-8.") from None
    lines = text.split("\n")
    for number, line in enumerate(lines, start=1):
        if len(line) > _LONGEST:
            raise UserError(
                f"{path}: line {number} has {len(line)} characters, at most {_LONGEST} are accepted; split it."
            )
        if not line.isprintable():
            odd = next(character for character in line if not character.isprintable())
            raise UserError(f"{path}: line {number} holds {odd!r}, which cannot be printed; remove it.")
    found = [line for line in lines if line]
    if not found:
        raise UserError(f"{path}: the file has no lines; put one sequence on each line.")
    return found


def alphabet_of(lines: Sequence[str]) -> str:
    """The characters of the lines, in their order as numbers."""
    return "".join(sorted(set("".join(lines))))


def encoded_lines(path: Path, lines: Sequence[str], alphabet: str, length: int) -> Tensor:
    """The lines of a file as sequences, ``(len(lines), length, 1 + V)``; see :mod:`ppl_vae.programs.layout`.

    Raises:
        UserError: a line is longer or holds another character, or all of them are too much for memory.
    """
    if len(alphabet) > _LARGEST_ALPHABET:
        raise UserError(f"{path}: {len(alphabet)} kinds of characters, at most {_LARGEST_ALPHABET} are accepted.")
    numbers = len(lines) * length * (1 + len(alphabet))
    if numbers > _MOST_NUMBERS:
        raise UserError(
            f"{path}: {len(lines)} lines of up to {length} characters of {len(alphabet)} kinds are "
            f"{4 * numbers / 2**30:.0f} GiB; take fewer or shorter lines."
        )
    foreign = set("".join(lines)) - set(alphabet)
    for line in lines:
        if len(line) > length:
            raise UserError(f"{path}: '{line[:40]}' has {len(line)} characters, the longest known has {length}.")
        if foreign and not foreign.isdisjoint(line):
            odd = min(foreign & set(line))
            raise UserError(f"{path}: '{line[:40]}' holds {odd!r}, which is not in the run's alphabet: {alphabet}")
    return encode_text(lines, alphabet, length)
