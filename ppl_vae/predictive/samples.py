"""What was sampled from a pair: arrays by name, which draw themselves."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import Tensor

from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.rendering import files_of
from ppl_vae.runtime.shown import Row, Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True, eq=False)
class Samples(Shown):
    """Arrays by name, and a picture of them.

    Args:
        arrays: by name; ``samples["x"]`` is one of them.
        info: of the data that the pair was trained on.
        what: is to be seen in the picture, a sentence.
        draw: the picture, under a caption.
        words: what else there is to say, a line each.
        sequences: of text, music or a table with named columns, what is written as such; see
            :func:`ppl_vae.predictive.rendering.files_of`.
        beside: other files, by the ends of their names.
    """

    arrays: Mapping[str, Tensor]
    info: DataInfo
    what: str
    draw: "Callable[[str], Figure]" = field(repr=False)
    words: tuple[str, ...] = ()
    sequences: Mapping[str, Tensor] = field(default_factory=dict)
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    @property
    def shapes(self) -> str:
        """Names and shapes of the arrays, in a line."""
        return ", ".join(f"{name} {tuple(value.shape)}" for name, value in self.arrays.items())

    def __str__(self) -> str:
        return "\n".join([f"arrays   {self.shapes}", *self.words])

    def rows(self) -> Sequence[Row]:
        """A row for each array: its name, its shape."""
        return [{"array": name, "shape": str(tuple(value.shape))} for name, value in self.arrays.items()]

    def figure(self, title: str = "") -> "Figure":
        """The picture.

        Args:
            title: what the caption begins with, such as a run's name.
        """
        what = self.what[0].upper() + self.what[1:]
        return self.draw(f"{title}. {what}" if title else what)

    def files(self, stem: str) -> dict[str, bytes]:
        """Text, music or tables as files by name, which begin with the stem; none of anything else."""
        return files_of(self.info, stem, self.sequences) | {f"{stem}{end}": data for end, data in self.beside.items()}
