"""What models and baselines generate, side by side."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from ppl_vae import figures
from ppl_vae.data.conditions import means_of
from ppl_vae.data.dataset import Dataset
from ppl_vae.data.info import DataInfo
from ppl_vae.data.labels import MOST_LABELS
from ppl_vae.predictive.draws import label_sheet, prior_predictive
from ppl_vae.predictive.rendering import images_of, shown_of, shows_means, takes_labels
from ppl_vae.predictive.samples import Samples
from ppl_vae.programs.holes import with_gaps
from ppl_vae.runtime.errors import UserError

if TYPE_CHECKING:
    from ppl_vae.baselines.bayes import BayesClassifier


class Generator(NamedTuple):
    """Something that observations are drawn from, each function from torch's own generator.

    Args:
        plain: ``num`` draws from p(x), ``(num, *event)``.
        by_label: ``num`` draws from p(x | y) for each of these labels, ``(labels, num, *event)``.
        shows_means: whether what is drawn is shown by its mean, without noise.
    """

    plain: Callable[[int], Tensor]
    by_label: Callable[[Tensor, int], Tensor]
    shows_means: bool = True

    def sheet(self, rows: int, columns: int, labels: Tensor | None = None) -> Tensor:
        """Draws ``(rows, columns, *event)``; with labels, a row for each of them.

        Raises:
            UserError: of a model, it needs labels, or it reads none.
        """
        if labels is not None:
            return self.by_label(labels, columns)
        sheet: Tensor = self.plain(rows * columns).unflatten(0, (rows, columns))
        return sheet


def of_baseline(classifier: "BayesClassifier", info: DataInfo) -> Generator:
    """A Bayes classifier as a generator: E[x | t], t its principal components."""

    def by_label(labels: Tensor, num: int) -> Tensor:
        return torch.stack([classifier.sample(num, label).means for label in info.labels_of(labels).tolist()])

    return Generator(lambda num: classifier.sample(num).means, by_label)


def of_model(model: nn.Module, info: DataInfo) -> Generator:
    """A trained model as a generator: E[x | z], z from its prior; of sequence models draws of x itself."""

    def plain(num: int) -> Tensor:
        if takes_labels(model, info):
            raise UserError("a conditional model has no p(y) to draw labels from; say `by_label`.")
        shown, _ = shown_of(model, info, prior_predictive(model, info.event_shape, num, c=means_of(info.conditions)))
        return shown

    def by_label(labels: Tensor, num: int) -> Tensor:
        if not takes_labels(model, info):
            raise UserError("its model takes no labels; leave `by_label` out.")
        return label_sheet(model, info.event_shape, labels, num, means_of(info.conditions))

    return Generator(plain, by_label, shows_means(model, info))


def labels_in(data: Dataset) -> Tensor:
    """The numbers of the labels that a sheet has rows for: those of the data, at most 50.

    Raises:
        UserError: the data has none.
    """
    if data.y is None:
        raise UserError("`by_label`: this data has no labels.")
    labels: Tensor = data.y.unique()
    return labels[:MOST_LABELS]


def generators(
    sheets: Mapping[str, Tensor],
    data: Dataset,
    info: DataInfo,
    labels: Tensor | None = None,
    *,
    all_means: bool = True,
) -> Samples:
    """Sheets of draws below data: arrays data, and means_k of sheet k.

    Args:
        sheets: by name, each ``(rows, columns, *event)``, see :meth:`Generator.sheet`.
        data: whose first observations stand above, those of each label where there are labels.
        info: of the training data.
        labels: numbers of the labels of the rows, or None.
        all_means: whether all of them are means; of some, draws of x itself.
    """
    rows, columns = next(iter(sheets.values())).shape[:2]
    above = _first(data, rows, columns, labels)
    names = [] if labels is None else [str(label) for label in info.shown(labels)]
    drawn = "p(x)" if labels is None else f"p(x | y), a row for each label y from {names[0]} to {names[-1]}"
    what = (
        f"Data, and draws from {drawn}, without the noise of pixels: E[x | latents], or of baselines E[x | principal "
        "components]."
    )
    blocks = {"data": above, **{name: sheet.cpu() for name, sheet in sheets.items()}}
    return Samples(
        {"data": above, **{f"means_{k}": sheet.cpu() for k, sheet in enumerate(sheets.values())}},
        info,
        what if all_means else f"{what} Of sequence models draws of x itself.",
        lambda caption: figures.blocks(
            dict(zip(blocks, images_of(info, *blocks.values()), strict=True)), names, caption
        ),
        axes={"label": names, "draw": range(columns)} if names else {"row": range(rows), "column": range(columns)},
    )


def _first(data: Dataset, rows: int, columns: int, labels: Tensor | None) -> Tensor:
    """The first observations, or the first of each label, ``(rows, columns, *event)``; NaN where there are no more."""
    if labels is None:
        chosen: Sequence[Tensor] = torch.arange(min(len(data), rows * columns), device=data.device).split(columns)
    else:
        assert data.y is not None
        chosen = [(data.y == label).nonzero().flatten()[:columns] for label in labels]
    shown = torch.full((rows, columns, *data.event_shape), torch.nan)
    for row, places in enumerate(chosen):
        shown[row, : len(places)] = with_gaps(data.values(places), None if data.mask is None else data.mask[places])
    return shown
