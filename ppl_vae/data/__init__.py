"""Data: where observations come from, how they are split, how grey levels become bits."""

from ppl_vae.data.arrays import Observations
from ppl_vae.data.binarization import Binarization, binarized
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.loading import load
from ppl_vae.data.sources import SOURCES, read_source
from ppl_vae.data.splits import DataConfig, Splits

__all__ = [
    "SOURCES",
    "Binarization",
    "DataConfig",
    "Dataset",
    "Observations",
    "Splits",
    "binarized",
    "load",
    "read_source",
]
