"""The pair of an estimator: made for its X, trained, and asked about rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ppl_vae.data import Binarization, Dataset, Splits
from ppl_vae.data.checks import advice_on
from ppl_vae.data.info import DataInfo, example
from ppl_vae.guides.unseen import guide_for
from ppl_vae.inference.fitting import InferConfig
from ppl_vae.predictive.draws import prior_predictive
from ppl_vae.predictive.rendering import takes_labels
from ppl_vae.programs.density import has_density
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.rows import tables_of
from ppl_vae.registry.build import build_pair, settled
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.registry.suited import data_for, suited
from ppl_vae.runtime.device import device_of
from ppl_vae.runtime.errors import UserError, warned
from ppl_vae.runtime.interrupt import Interrupted, inside_more
from ppl_vae.runtime.seeding import preserved, seeded, stream
from ppl_vae.sklearn.given import Labels
from ppl_vae.sklearn.parameters import Configs
from ppl_vae.sklearn.readings import bounds, decoded, means
from ppl_vae.sklearn.rows import Rows, data_of, with_own_bits
from ppl_vae.training import FitConfig, fit
from ppl_vae.training.config import loss_in_words
from ppl_vae.training.earlier import Earlier
from ppl_vae.training.metrics import History


@dataclass(eq=False)
class Fitted:
    """A pair that was made for an estimator's X. Torch's generators are after every method what they were before it.

    It is pickled as what it was made by and the numbers in it, and is made again from those, so that the classes of a
    user's file need not be there before.

    Args:
        model: p(x, z).
        guide: q(z | x).
        settings: of the pair, as they were chosen and set.
        info: of X.
        binarization: what became of grey levels.
        asked: what was set of it, and how its data was to be read.
        seed: of all that is drawn.
        label_counts: how often each label was seen, ``(labels,)``; ``(0,)`` if the model reads none.
        earlier: what training has come to.
        history: its epochs.
    """

    model: nn.Module
    guide: nn.Module
    settings: PairConfig
    info: DataInfo
    binarization: Binarization
    asked: Configs
    seed: int
    label_counts: NDArray[np.float64]
    earlier: Earlier = field(default_factory=Earlier)
    history: History = field(default_factory=History)

    @classmethod
    def begun(
        cls, configs: Configs, x: NDArray[np.generic], y: Labels | None = None, num_classes: int = 0
    ) -> tuple[Self, Splits]:
        """A new pair, not yet trained, and the data to train it on.

        Args:
            configs: what the estimator is set to.
            x: ``(N, *event)``, NaN where a number is missing.
            y: labels below ``num_classes``, ``(N,)``; None without any.
            num_classes: how many labels there are.

        Raises:
            UserError: a setting is out of its range, nothing in the pair reads it, or the pair cannot be made for x.
        """
        with preserved():
            splits = data_for(configs.data, configs.pair, x, y).unnumbered()
            splits = splits._replace(num_classes=num_classes, classes=tuple(range(num_classes)))
            if (shape := splits.train.event_shape) != x.shape[1:]:
                raise UserError(f"`event_shape` {x.shape[1:]} has channels first; give {shape}, and rows in its order.")
            info = DataInfo.of(splits)
            settings = settled(suited(configs.pair, splits, configs.data.binarization).pair.absolute(), info)
            pair = build_pair(settings, info, splits.train, configs.fit.seed)
            configs.fit.refuse_unread(*pair)
            for words in advice_on(splits.train, *pair):
                warned(words)
            counts = np.zeros(num_classes if takes_labels(pair.model, info) else 0)
        return cls(*pair, settings, info, splits.binarization, configs, configs.fit.seed, counts), splits

    def data_of(self, x: NDArray[np.generic], y: Labels | None) -> Dataset:
        """Rows to train on, read as those of :meth:`begun` and in the order in which they would have come there.

        Raises:
            UserError: the guide has rows for those that it was made for, and reads no others.
        """
        if tables_of(self.guide):
            raise UserError("partial_fit is for a `guide` that reads x, as amortized; this one has a row for each x.")
        data = data_of(x, self.info, self.binarization, None if y is None else torch.from_numpy(y))
        data = data.take(torch.randperm(len(data), generator=torch.Generator().manual_seed(self.seed)))
        return with_own_bits(data, self.seed) if self.binarization == "static" else data

    def train(self, data: Dataset, validation: Dataset | None, config: FitConfig, *, progress: bool) -> None:
        """Go on training, to the last of the epochs that the settings name.

        Raises:
            Interrupted: it was stopped, and ``history`` has the epochs that are done: whoever asks for a fit in a cross
                validation would take what was cut short for a whole one.
        """
        pair = self.model, self.guide
        try:
            with inside_more():
                self.history = fit(*pair, data, validation, config, earlier=self.earlier, progress=progress)
        except Interrupted:
            of_point = not has_density(self.guide, data.probe())
            self.history = History(self.earlier.history, config.kl_warmup, of_point, loss_in_words(config, of_point))
            self._count(data, validation)
            raise
        self._count(data, validation)

    def _count(self, *parts: Dataset | None) -> None:
        """Take in how often labels are there."""
        for part in parts:
            if part is not None and part.y is not None and len(self.label_counts):
                self.label_counts = self.label_counts + np.bincount(part.y.cpu(), minlength=len(self.label_counts))

    @property
    def label_prior(self) -> NDArray[np.float64]:
        """p(y), ``(labels,)``."""
        found: NDArray[np.float64] = self.label_counts / max(1.0, self.label_counts.sum())
        return found

    @property
    def latents(self) -> Latents:
        """Those of the model."""
        return Latents.of(self.model, example(self.info, device_of(self.model)))

    @property
    def num_latents(self) -> int:
        """How many numbers of them there are for a row."""
        return sum(int(np.prod(site.shape)) for site in self.latents.sites)

    def means(self, x: NDArray[np.generic], num_samples: int) -> NDArray[np.float64]:
        """E_q[z] of each row, ``(N, num_latents)``; of a model that reads labels averaged over p(y | x), which takes
        ``num_samples`` draws."""
        rows, guide = self._read(x)
        found: NDArray[np.float64] = means(self.model, guide, rows, [site.name for site in self.latents.sites]).numpy()
        if len(self.label_counts):
            found = found * np.exp(_normalised(self._joint(rows, guide, num_samples)))[:, :, None]
        averaged: NDArray[np.float64] = found.sum(1)
        return averaged

    def bounds(self, x: NDArray[np.generic], num_samples: int) -> NDArray[np.float64]:
        """An importance bound on log p(x) of each row, ``(N,)``, in nats; of a model that reads labels Σ_y p(y) of
        those on p(x | y)."""
        return np.asarray(np.logaddexp.reduce(self._joint(*self._read(x), num_samples), axis=1))

    def posterior(self, x: NDArray[np.generic], num_samples: int) -> NDArray[np.float64]:
        """log p(y | x) by Bayes' rule, ``(N, labels)``, of ``num_samples`` draws for each bound on log p(x | y)."""
        return _normalised(self._joint(*self._read(x), num_samples))

    def decoded(self, z: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """E[x | z], ``(n, features)``, in the units of X, of z ``(n, num_latents)``; of a model that reads labels
        averaged over p(y)."""
        sites = self.latents.sites
        parts = torch.from_numpy(z.astype(np.float64)).split([int(np.prod(site.shape)) for site in sites], dim=1)
        latents = {site.name: part.reshape(-1, *site.shape) for site, part in zip(sites, parts, strict=True)}
        return self._in_units(decoded(self.model, latents, self.info.event_shape, torch.tensor(self.label_prior)))

    def drawn(self, num: int, seed: int, y: Labels | None = None) -> NDArray[np.float64]:
        """x ~ p(x), or ~ p(x | y), ``(num, features)``, in the units of X; without y a model that reads labels is given
        those of p(y)."""
        device = device_of(self.model)
        with seeded(stream(seed, "sample"), device):
            labels = None
            if len(self.label_counts):
                drawn = torch.tensor(self.label_prior).multinomial(num, replacement=True)
                labels = (drawn if y is None else torch.from_numpy(y)).to(device)
            return self._in_units(prior_predictive(self.model, self.info.event_shape, num, labels).x)

    def _in_units(self, x: Tensor) -> NDArray[np.float64]:
        found: NDArray[np.float64] = x.detach().cpu().double().flatten(1).numpy() * max(1, self.info.scale)
        return found

    def _read(self, x: NDArray[np.generic]) -> tuple[Rows, nn.Module]:
        """Rows as the pair reads them, and a guide with an answer to them."""
        with preserved():
            data = data_of(x, self.info, self.binarization)
            rows = Rows.of(data, self.seed, len(self.label_counts)).to(device_of(self.model))
            return rows, guide_for(self.model, self.guide, rows.data, InferConfig(infer_seed=self.seed))

    def _joint(self, rows: Rows, guide: nn.Module, num_samples: int) -> NDArray[np.float64]:
        """Bounds on log p(x), ``(N, 1)``, or on log p(x, y) for each label, ``(N, labels)``."""
        with np.errstate(divide="ignore"):  # of a label that was announced and never seen
            prior = np.log(self.label_prior) if len(self.label_counts) else np.zeros(1)
        found: NDArray[np.float64] = bounds(self.model, guide, rows, num_samples).numpy() + prior
        return found

    def __getstate__(self) -> dict[str, Any]:
        made = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("model", "guide")}
        return made | {"weights": (_weights(self.model), _weights(self.guide))}

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        vars(self).update({name: value for name, value in state.items() if name != "weights"})
        self.model, self.guide = build_pair(self.settings, self.info, None, self.seed)
        for program, weights in zip((self.model, self.guide), state["weights"], strict=True):
            program.load_state_dict(weights)
            program.eval()


def _normalised(joint: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = joint - np.logaddexp.reduce(joint, axis=1, keepdims=True)
    return found


def _weights(program: nn.Module) -> dict[str, Any]:
    return {name: value.cpu() if isinstance(value, Tensor) else value for name, value in program.state_dict().items()}
