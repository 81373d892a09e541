"""What was sampled from a pair: arrays by name, which draw themselves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ppl_vae.data.info import DataInfo
from ppl_vae.predictive.rendering import files_of
from ppl_vae.predictive.tidy import Axes, tidy
from ppl_vae.runtime.shown import Columned, Columns, as_html

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Samples(Columned):
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
        axes: what rows of its table run over; see :func:`ppl_vae.predictive.tidy.tidy`.
        along: other columns of it, over the first of the axes, such as labels.
        table: another table in its place.
    """

    arrays: Mapping[str, Tensor]
    info: DataInfo
    what: str
    draw: "Callable[[str], Figure]" = field(repr=False)
    words: tuple[str, ...] = ()
    sequences: Mapping[str, Tensor] = field(default_factory=dict)
    beside: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    axes: Axes = field(default_factory=dict, repr=False)
    along: "Mapping[str, NDArray[Any]]" = field(default_factory=dict, repr=False)
    table: Columned | None = field(default=None, repr=False)

    def __getitem__(self, name: str) -> Tensor:
        return self.arrays[name]

    @property
    def shapes(self) -> str:
        """Names and shapes of the arrays, in a line."""
        return ", ".join(f"{name} {tuple(value.shape)}" for name, value in self.arrays.items())

    def __str__(self) -> str:
        return "\n".join([f"arrays   {self.shapes}", *self.words])

    def columns(self) -> Columns:
        """A row for each draw, or for each step of a walk: which it is, its latents, means and draws of x."""
        if self.table is not None:
            return self.table.columns()
        return tidy(self.axes, self.arrays, self.info.names, self.info.event_shape, self.along)

    def _repr_html_(self) -> str:
        """Names and shapes of the arrays."""
        return as_html([{"array": name, "shape": str(tuple(value.shape))} for name, value in self.arrays.items()])

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
