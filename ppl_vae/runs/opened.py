"""A run opened for use: its pair on a device, and the data it was trained on."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from torch import nn

from ppl_vae.data import DataConfig, Dataset, Splits
from ppl_vae.data.info import DataInfo, example
from ppl_vae.estimates.estimate import Origin
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.density import has_density
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import Pair
from ppl_vae.registry.files import names_file
from ppl_vae.runs.handed_on.address import address_of
from ppl_vae.runs.handed_on.fetching import fetched
from ppl_vae.runs.handed_on.unpacking import unpacked
from ppl_vae.runs.opening import Opening
from ppl_vae.runs.run import Run, TrainConfig
from ppl_vae.runtime.config import Count, in_range
from ppl_vae.runtime.device import choose_device
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.files import path_given
from ppl_vae.training.config import final_kl_weight
from ppl_vae.training.metrics import History

SplitName = Literal["test", "validation", "train"]


def split_shown(pair: Pair, splits: Splits) -> Literal["train", "test"]:
    """The split that reports, pictures and films are of: the test data where there is any, but for a per-datapoint
    guide, which knows its training data only; fitting rows to others takes longer than a report should."""
    return "train" if tables_of(pair.guide) or splits.test is None else "test"


def refuse_unlike(runs: Sequence[tuple[Path, DataConfig, str]]) -> None:
    """See that runs were trained on the same data, split alike.

    Args:
        runs: path, settings of the data and its fingerprint, of each.

    Raises:
        UserError: they were not; the message says what differs.
    """
    first, settings, fingerprint = runs[0]
    for path, others, found in runs[1:]:
        if found != fingerprint:
            differing = [
                f"`{each.name}` {getattr(settings, each.name)} and {getattr(others, each.name)}"
                for each in fields(DataConfig)
                if each.name != "data_root" and getattr(settings, each.name) != getattr(others, each.name)
            ]
            why = ", ".join(differing) or "its files have changed in between"
            raise UserError(f"{first} and {path} were trained on unlike data ({why}); name runs on the same one.")


AS_RECORDED = Opening()


class OpenedRun(NamedTuple):
    """A trained pair and where it came from.

    Args:
        run: its directory and record.
        pair: as it was learned, in evaluation mode.
        device: where it is.
        opening: where its data is now.
    """

    run: Run
    pair: Pair
    device: torch.device
    opening: Opening = AS_RECORDED

    def __repr__(self) -> str:
        return f"OpenedRun({self.run.path}: {self.settings.in_words}, on {Path(self.settings.data.data).name})"

    @property
    def model(self) -> nn.Module:
        """p(x, z), in evaluation mode."""
        return self.pair.model

    @property
    def guide(self) -> nn.Module:
        """q(z | x), in evaluation mode."""
        return self.pair.guide

    @property
    def data(self) -> Splits:
        """The data it was trained on, split as it was then, on the CPU.

        Raises:
            UserError: it is not there or has changed.
        """
        return self.opening.read(self.run.path, self.info, self.run.record.config.data)

    @property
    def settings(self) -> TrainConfig:
        """What was trained on what, and how."""
        return self.run.record.config

    @property
    def history(self) -> History:
        """The metrics of every epoch up to the checkpoint."""
        return self.run.history(self.is_point)

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one observation."""
        return self.run.record.info.event_shape

    @property
    def info(self) -> DataInfo:
        """What the pair knows of its data."""
        return self.run.record.info

    @property
    def is_point(self) -> bool:
        """Whether the guide puts a latent at a point, as that of a plain autoencoder."""
        return not has_density(self.pair.guide, self.example)

    @property
    def example(self) -> Batch:
        """Two datapoints of the right shape and no particular value."""
        return example(self.info, self.device)

    @property
    def in_words(self) -> str:
        """The pair as pictures of several runs name it."""
        config = self.run.record.config
        if not self.is_point or names_file(config.pair.guide) or config.fit.drop == "reconstruction":
            return config.in_words
        return "autoencoder" if final_kl_weight(config.fit) == 0 else "autoencoder, codes drawn to 0"

    @in_range
    def split(self, name: str, limit: Count | None = None) -> Dataset:
        """The first rows of a split of the run's own data, on the run's device.

        Raises:
            UserError: a limit below 1; the data is not there or has changed, or the split is empty.
        """
        return self.data.get(name).head(limit).to(self.device)

    def answered(self, split: SplitName | None = None) -> SplitName:
        """The split to take, of those that the guide has an answer to: of a per-datapoint guide its training data.

        Args:
            split: what is asked for; None for the test data, or what the guide has an answer to.

        Raises:
            UserError: the guide has none to that split.
        """
        if not tables_of(self.pair.guide):
            return split or "test"
        if split not in (None, "train"):
            raise UserError("this run's guide has a q for its training data only; use `split` train.")
        return "train"

    def origin(self, split: str) -> Origin:
        """Where the datapoints of a split come from, for the protocol of an estimate."""
        config, info = self.run.record.config.data, self.info
        binarization = config.binarization if info.layout == "plain" else "none"
        return Origin(config.data, info.fingerprint, split, binarization, config.data_seed)


def opened(
    path: Path | str,
    device: str = "auto",
    *,
    data: Path | str | None = None,
    data_root: Path | str | None = None,
    trust: bool = False,
) -> OpenedRun:
    """Open a run: ``run.model``, ``run.guide``, ``run.data``, ``run.settings``, ``run.history``.

    Args:
        path: of a run directory, of a zip by :func:`ppl_vae.pack`, or the address of one by
            :func:`ppl_vae.push_to_hub`, ``hf://owner/name`` or ``hf://owner/name@revision``; these two go into the
            user's cache.
        device: where to compute, ``auto`` or a device's name.
        data: where its data is now, if that has moved.
        data_root: where the folder of torchvision's data sets is now, if that has moved.
        trust: run the files that it names as parts of its pair, though they have not been run here before.

    Raises:
        UserError: it is no run, it is damaged, its code is not trusted, or the device is not there; the Hub does not
            have it, does not let it be read, or cannot be reached.
    """
    root = None if data_root is None else Path(data_root)
    return open_run(path, device, Opening(None if data is None else str(data), root, trust))


def open_run(path: Path | str, device: str, opening: Opening = AS_RECORDED) -> OpenedRun:
    """Open a run.

    Args:
        path: of a run directory, or of a packed one, or its address on the Hub.
        device: where to compute, ``auto`` or a device's name.
        opening: where its data is now, and whether its own code may run.

    Raises:
        UserError: it is no run, it is damaged, its code is not trusted, or the device is not there.
    """
    chosen = choose_device(device)
    path = path_given("path", path)
    if address := address_of(path):
        path = fetched(address)
    elif path.is_file() and path.suffix == ".zip":
        path = unpacked(path)
    run = Run.open(path)
    return OpenedRun(run, run.load_pair(chosen, trust=opening.trust), chosen, opening)
