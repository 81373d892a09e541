"""Run directories: what was run, with which versions, and what came of it.

config.yaml        the resolved configuration, what was known of the data, versions
metrics.csv        a row for each epoch
model.safetensors  the weights that it opens with: model.NAME and guide.NAME (see ppl_vae/runtime/weights.py)
checkpoint.pt      all else that training goes on from: optimizer, history, … (see ppl_vae/runtime/checkpoint.py)
figures/           pictures
README.md          what whoever gets it has to know of it (see ppl_vae/reports/ending/card.py)
report.html        all of it on one page (see ppl_vae/reports/report.py)
"""

import csv
import io
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

import torch

from ppl_vae.data import DataConfig
from ppl_vae.data.info import DataInfo
from ppl_vae.registry.build import Pair, build_pair, unread_parts
from ppl_vae.registry.pair_config import AUTO, PairConfig, refuse_unknown
from ppl_vae.registry.trust import check_trusted, hashes_of
from ppl_vae.runs.record import RunDirectory, is_baseline, versions
from ppl_vae.runtime import checkpoint
from ppl_vae.runtime.config import config, to_plain
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import append_text, write_text
from ppl_vae.runtime.untrusted import Found
from ppl_vae.training import FitConfig
from ppl_vae.training.config import loss_in_words
from ppl_vae.training.metrics import EpochMetrics, History
from ppl_vae.training.resume import check_history, check_outcome, load_weights


@config
class TrainConfig:
    """Everything that decides the outcome of a run."""

    data: DataConfig = field(default_factory=DataConfig)
    """The data."""
    pair: PairConfig = field(default_factory=lambda: PairConfig(model=AUTO, likelihood=AUTO, net=AUTO))
    """The pair."""
    fit: FitConfig = field(default_factory=FitConfig)
    """The fit."""

    @property
    def in_words(self) -> str:
        """The pair as captions name it, and what was left out of its loss."""
        dropped = {"nothing": "", "kl": ", no KL in the loss", "reconstruction": ", no reconstruction in the loss"}
        return self.pair.in_words + dropped[self.fit.drop]


@config
class Record:
    """What ``config.yaml`` holds."""

    config: TrainConfig
    info: DataInfo
    versions: dict[str, str] = field(default_factory=versions)
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 by path of the users' files that parts of the pair came from."""
    chosen: tuple[str, ...] = ()
    """Names of the settings that nobody had set, and that were chosen by the data."""

    @classmethod
    def of(cls, settings: TrainConfig, info: DataInfo, chosen: tuple[str, ...] = ()) -> "Record":
        """The record of a run that is made, or goes on, now."""
        return cls(settings, info, files=hashes_of(*settings.pair.parts.values()), chosen=chosen)

    @property
    def asked(self) -> TrainConfig:
        """The settings as they were set: what was chosen by the data is to be chosen again."""
        unset: dict[str, Any] = {name: AUTO for name in self.chosen if name in ("model", "likelihood", "net")}
        data: dict[str, Any] = {name: AUTO for name in self.chosen if name == "binarization"}
        pair = replace(self.config.pair, **unset)
        return replace(self.config, pair=pair, data=replace(self.config.data, **data))


@dataclass(frozen=True)
class Run(RunDirectory[Record]):
    """A run directory of 'ppl-vae train'."""

    record_type = Record
    command = "ppl-vae train"

    @property
    def checkpoint(self) -> Path:
        """The file that training goes on from."""
        return self.path / "checkpoint.pt"

    @property
    def weights(self) -> Path:
        """The file of safetensors with the weights; a run of an earlier version has them in its checkpoint."""
        return self.path / "model.safetensors"

    @classmethod
    def open(cls, path: Path | str) -> Self:
        """Read what a directory records.

        Raises:
            UserError: it is no run, or its ``config.yaml`` is damaged.
        """
        if is_baseline(Path(path)):
            raise UserError(f"{path} is a baseline, which has no latents; name a run that 'ppl-vae train' wrote.")
        return super().open(path)

    @classmethod
    def plain(cls, record: Record) -> dict[str, Any]:
        """A record as it is written: of the parts of a pair those that it reads."""
        plain = to_plain(record)
        for kind in unread_parts(record.config.pair, record.info):
            del plain["config"]["pair"][kind]
        return plain

    def load_pair(self, device: torch.device, *, trust: bool = False) -> Pair:
        """The trained pair, in evaluation mode; with early stopping, the best epoch's weights.

        Args:
            device: where it goes.
            trust: run the files that it names as parts of its pair, whether they have been run before or not.

        Raises:
            UserError: the checkpoint is missing, damaged, or of another pair; or a file that is not trusted.
        """
        check_trusted(self.path, self.record.config.pair.parts.values(), self.record.files, trust)
        settings = self.record.config  # with its seed: a constructor may draw what is in no state_dict
        try:
            refuse_unknown(settings.pair)
        except UserError as error:
            raise UserError(f"{self.path / 'config.yaml'}: {error}") from None
        pair = build_pair(settings.pair, self.record.info, train=None, seed=settings.fit.seed)
        check_outcome(self.checkpoint, checkpoint.outline(self.checkpoint), *pair)  # sizes before contents
        weights = check_outcome(self.checkpoint, checkpoint.load(self.checkpoint), *pair)
        load_weights(self.checkpoint, pair.model, weights["model"])
        load_weights(self.checkpoint, pair.guide, weights["guide"])
        return Pair(pair.model.to(device).eval(), pair.guide.to(device).eval())

    def history(self, of_point: bool = False) -> History:
        """The metrics of all epochs up to the checkpoint; whether they are of a point only the guide can tell."""
        rows = check_history(Found(self.checkpoint, checkpoint.outline(self.checkpoint)).entry("history"))
        fit = self.record.config.fit
        return History(rows, fit.kl_warmup, of_point, loss_in_words(fit, of_point))

    def write_metrics(self, rows: Iterable[EpochMetrics]) -> None:
        """Begin ``metrics.csv`` anew with these rows."""
        names = [column.name for column in fields(EpochMetrics)]
        write_text(self.path / "metrics.csv", _as_csv([names, *(asdict(row).values() for row in rows)]))

    def append_metrics(self, row: EpochMetrics) -> None:
        """Add one epoch to ``metrics.csv``."""
        append_text(self.path / "metrics.csv", _as_csv([asdict(row).values()]))


def _as_csv(rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()
