"""What has to be said of a run that comes from elsewhere: where its data is now, and that its own code may run."""

from dataclasses import replace
from pathlib import Path

from ppl_vae.data import DataConfig, Splits
from ppl_vae.data.files.how import DROP, OTHERS, WORDS, columns_said
from ppl_vae.data.info import DataInfo
from ppl_vae.data.loading import read_data
from ppl_vae.data.sources import names_file, reads
from ppl_vae.data.streaming.streamed import Streamed
from ppl_vae.data.tables.schema import columns_of
from ppl_vae.data.torchvision_sets import NAMES, folder_of
from ppl_vae.runtime.config import config
from ppl_vae.runtime.errors import UserError

_ALL = 2**29  # MiB


@config
class Opening:
    """How a run directory is opened; part of every command that reads a run and its data."""

    data: str | None = None
    """Where the run's data is now, if it has moved: a path in place of the recorded one. It must be the same data."""
    data_root: Path | None = None
    """Where the folder of torchvision's data sets is now, if that has moved."""
    trust: bool = False
    """Run the files that the run names as parts of its pair, though they have not been run here before."""

    def read(self, run: Path, info: DataInfo, recorded: DataConfig) -> Splits:
        """The data of a run, as :func:`read_again`; a folder that is named now is one to download into too."""
        data = recorded.data if self.data is None else self.data
        data_root = recorded.data_root if self.data_root is None else self.data_root
        settings = replace(recorded, data=data, data_root=data_root)
        return read_again(run, info, settings, download=self.data_root is not None)


def _taken_for(info: DataInfo) -> dict[str, str]:
    """What the columns of a run's table were taken for, and that it knew no others."""
    return {OTHERS: DROP} | {each.name: WORDS[each.kind] for each in columns_of(info.columns, info.column_kinds)}


def read_again(run: Path, info: DataInfo, settings: DataConfig, *, download: bool = False) -> Splits:
    """The data of a run.

    Args:
        run: the run directory, for the messages.
        info: what it records of its data.
        settings: with the places of now.
        download: whether a set of torchvision's that is not in its folder is to be downloaded there.

    Raises:
        UserError: the data is not there, or it is other data than the run's.
    """
    if names_file(settings.data) and not Path(settings.data).exists():
        raise UserError(f"{run}: its data is not at '{settings.data}'; say by `data` where it is now.")
    if settings.data in NAMES and not download and not any(folder_of(settings.data, settings.data_root).glob("*")):
        folder = folder_of(settings.data, Path("FOLDER"))
        raise UserError(
            f"{run}: {settings.data} is not in '{settings.data_root}'; pass `data_root` FOLDER where {folder} holds "
            "its files."
        )
    # As it was decided then, by whatever rule.
    if info.columns and info.column_kinds and reads(settings.data, "columns"):
        settings = replace(settings, columns=columns_said({**settings.reading.columns, **_taken_for(info)}))
    elif info.scale != 1 and reads(settings.data, "integer_scale"):
        settings = replace(settings, integer_scale=info.scale)
    splits = read_data(settings)
    if info.num_classes > splits.num_classes:  # of a version that took a label for its own number
        splits = splits.unnumbered()
    if isinstance(splits.train, Streamed) and info.num_data != len(splits.train):  # of a version that held all it read
        splits = read_data(replace(settings, data_memory=_ALL))
    if info.labels != splits.classes or not info.is_of(splits):
        raise UserError(
            f"the data '{settings.data}' is not what {run} was trained on; say by `data` where that is, or train again."
        )
    return splits
