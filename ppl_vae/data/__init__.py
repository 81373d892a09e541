"""Data: where observations come from, how they are split, how grey levels become bits."""

from ppl_vae.data.dataset import Binarization, Dataset, binarized
from ppl_vae.data.sources import SOURCES, Source, read_source
from ppl_vae.data.splits import DataConfig, Splits, load

__all__ = [
    "SOURCES",
    "Binarization",
    "DataConfig",
    "Dataset",
    "Source",
    "Splits",
    "binarized",
    "load",
    "read_source",
]
