"""Commands that are worth killing: how each is begun, how it goes on, and what it comes to."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppl_vae.runtime import checkpoint

_SMALL = ("--hidden", "16", "--latent-dim", "2")


class Job(NamedTuple):
    """A command.

    Args:
        arguments: what follows ``ppl-vae``, without ``--out``.
        outcome: from its folder, once it has ended, to what has to be the same however often it was stopped.
        resumes: whether it goes on by ``train --resume``; else by the same command.
        again: whether it may be given again once all is done.
    """

    arguments: tuple[str, ...]
    outcome: Callable[[Path], object]
    resumes: bool = False
    again: bool = True

    def command(self, out: Path) -> list[object]:
        """The command that begins it in this folder, or goes on with what is there."""
        if self.resumes and (out / "checkpoint.pt").exists():
            return ["train", "--resume", out]
        return [*self.arguments, "--out", out]


def _weights(run: Path) -> str:
    state = checkpoint.load(run / "checkpoint.pt")
    digest = hashlib.sha256()
    for part in ("model", "guide"):
        for name, tensor in sorted(state[part].items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
    assert (run / "report.html").stat().st_size > 1000, "no report"
    return digest.hexdigest()


def _classifier(run: Path) -> str:
    with np.load(run / "baseline.npz", allow_pickle=False) as arrays:
        return hashlib.sha256(b"".join(arrays[name].tobytes() for name in sorted(arrays))).hexdigest()


def _table(folder: Path) -> object:
    rows = json.loads((folder / "table.json").read_text())["rows"]
    return [
        {name: value for name, value in row["figures"].items() if "seconds" not in name} | {"guide": row["guide"]}
        for row in rows
    ]


JOBS = {
    "train": Job(("train", *_SMALL, "--epochs", "60"), _weights, resumes=True),
    "film": Job(("train", *_SMALL, "--epochs", "20", "--film"), _weights, resumes=True),
    "patience": Job(("train", *_SMALL, "--epochs", "40", "--patience", "5"), _weights, resumes=True),
    "rows": Job(
        ("train", *_SMALL, "--epochs", "20", "--guide", "mean-field", "--binarization", "static"),
        _weights,
        resumes=True,
    ),
    "baseline": Job(("baseline", "mixture", "--dims", "20"), _classifier, again=False),
    "compare": Job(
        ("compare", *_SMALL, "--epochs", "10", "--guides", "amortized", "mean-field", "--seeds", "1", "--limit", "50"),
        _table,
    ),
}
