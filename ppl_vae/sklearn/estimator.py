"""A pair as an estimator of scikit-learn."""

from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, Self

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_array
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from ppl_vae.data import Binarization, Splits
from ppl_vae.objectives.named import ObjectiveName
from ppl_vae.runtime.config import Count, in_range
from ppl_vae.runtime.errors import UserError
from ppl_vae.runtime.interrupt import Interrupted
from ppl_vae.sklearn.fitted import Fitted
from ppl_vae.sklearn.given import Labels, classes_in, draws_in, known_classes, labels_in, numbers_of, rows_in, seed_of
from ppl_vae.sklearn.learned import Learned
from ppl_vae.sklearn.parameters import Configs, WithSettings, asks_for_labels, configs, refuse_changed
from ppl_vae.svi import OptimizerConfig
from ppl_vae.training import FitConfig

_Floats = NDArray[np.floating[Any]]

_STOPPED = "fit was stopped after {} of {} epochs; the estimator keeps what it has learned, and partial_fit goes on"


def _reads_labels(self: Any) -> bool:
    """Whether the pair does, or where there is none yet, the one to come."""
    return asks_for_labels(getattr(self, "settings_", self).model)


def _as_given(found: _Floats, like: NDArray[np.generic]) -> _Floats:
    """In the precision that it was asked in."""
    return found.astype(np.float32) if like.dtype == np.float32 else found


class VAE(ClassNamePrefixFeaturesOutMixin, TransformerMixin, Learned, WithSettings):  # type: ignore[misc]
    """A variational autoencoder, any pair of a model p(x, z) and a guide q(z | x), as a scikit-learn estimator.

    ``transform`` is the mean of q(z | x), ``inverse_transform`` the mean of x at z, ``score_samples`` a lower bound on
    log p(x) in nats and ``score`` its mean; of two scores the larger is better, where both are of the same X and
    likelihood. With a guide that reads x all of them are functions of a row: what has to be drawn for it is drawn from
    a seed made of ``random_state`` and its own numbers. What nobody sets is chosen by the numbers in X, as ``ppl-vae
    train`` chooses; rows need not be standardised, and NaN is a number that is missing, learned around.

    A model of x given its class, ``model="conditional"``, is fitted with y and becomes a classifier by Bayes' rule: the
    bounds on log p(x | y) under each class stand for what they bound, p(y) is how often each class was seen, and
    ``predict_proba`` is what they come to. As far as a bound is as loose under one class as under another that cancels.
    Whatever is said of a row without its class is then averaged over p(y | x), and of z over p(y).

    Args:
        model: The generative program p(x, z), by its name or as ``path/to/file.py:Class``.
        guide: The variational program q(z | x): where its parameters come from, and behind a colon its family, what q
            is; as ``amortized:full-rank``. A per-datapoint guide has no encoder, so that q is fitted to new rows, the
            model frozen, with noise that is another for each set of rows.
        likelihood: What the decoder's output means; auto is what suits X.
        prior: p(z).
        net: Of encoder and decoder: mlp, or conv for images (``event_shape``); auto is what suits X.
        latent_dim: Size of z; None for what the model has by default.
        hidden: Widths of the hidden layers, from x upwards; None for what networks have by default.
        event_shape: Shape of an observation, of which a row of X is the numbers in C's order: ``(8, 8)``,
            ``(32, 32, 3)``; None for rows that are vectors.
        binarization: How grey levels become bits; auto is what suits X and the likelihood.
        epochs: Passes over X.
        batch_size: Rows in a step.
        learning_rate: Step size of Adam.
        objective: What to maximise.
        patience: Stop after this many epochs without a better validation bound and keep the best weights; 0 for all
            epochs, on all of X.
        validation_fraction: Share of X that is held out for that, if ``patience`` is above 0.
        num_samples: Draws of z for each bound of ``score_samples``: the more, the tighter.
        random_state: Of splits, weights, training and later draws. A whole number is the seed of ``ppl-vae train``.
        verbose: Whether to show a progress bar.
        settings: Any other setting of the pair or of :class:`ppl_vae.FitConfig`, by its name: ``kl_warmup=10``,
            ``noise_scale="decoder"``; and ``integer_scale``, what integers in X are divided by.

    Attributes:
        model_: p(x, z), trained.
        guide_: q(z | x), trained.
        settings_: the pair as it was chosen and set.
        info_: what is known of the X that was fitted.
        history_: the metrics of every epoch.
        class_prior_: p(y) of each of ``classes_``, how often each was seen.
        n_iter_: epochs so far.
        n_features_in_: numbers in a row.
        feature_names_in_: what a frame calls them, where X was one.
        classes_: the labels, in order; only of a model that reads them.
    """

    def __init__(
        self,
        *,
        model: str = "vae",
        guide: str = "amortized:diagonal",
        likelihood: str = "auto",
        prior: str = "standard-normal",
        net: Literal["auto", "mlp", "conv"] = "auto",
        latent_dim: int | None = None,
        hidden: tuple[int, ...] | None = None,
        event_shape: tuple[int, ...] | None = None,
        binarization: Binarization = "auto",
        epochs: int = FitConfig.epochs,
        batch_size: int = FitConfig.batch_size,
        learning_rate: float = OptimizerConfig.learning_rate,
        objective: ObjectiveName = "elbo",
        patience: int = 0,
        validation_fraction: float = 0.1,
        num_samples: int = 100,
        random_state: int | RandomState | None = None,
        verbose: bool | int = False,
        **settings: Any,
    ) -> None:
        self.model, self.guide, self.likelihood, self.prior, self.net = model, guide, likelihood, prior, net
        self.latent_dim, self.hidden, self.event_shape = latent_dim, hidden, event_shape
        self.binarization, self.epochs, self.batch_size, self.verbose = binarization, epochs, batch_size, verbose
        self.learning_rate, self.objective, self.patience = learning_rate, objective, patience
        self.validation_fraction, self.num_samples, self.random_state = validation_fraction, num_samples, random_state
        self._keep(settings)

    def fit(self, X: ArrayLike, y: ArrayLike | None = None) -> Self:
        """Make a new pair for X and train it. Ctrl-C and the stop button end it between two steps; the estimator keeps
        what it has learned in whole epochs, and ``partial_fit`` goes on.

        Args:
            X: ``(N, features)``, numbers, NaN where one is missing; at least two rows.
            y: classes, ``(N,)``, for a model that reads them; others take no notice of it.

        Raises:
            ValueError: X or y is nothing that can be fitted to.
            UserError: a parameter is out of its range, nothing in the pair reads it, or training diverges.
        """
        said = configs(self.get_params(), seed_of(self.random_state))
        fitted, splits, *_ = self._begun(said, X, y)
        try:
            fitted.train(splits.train, splits.validation, said.fit, progress=bool(self.verbose))
        except Interrupted:
            if not fitted.history:
                raise
            self._trained(fitted)
            raise Interrupted(_STOPPED.format(len(fitted.history), said.fit.epochs)) from None
        return self._trained(fitted)

    def partial_fit(self, X: ArrayLike, y: ArrayLike | None = None, classes: ArrayLike | None = None) -> Self:
        """Go on for one epoch, on X alone, from where the last call or ``fit`` has stopped: weights, optimizer, warm-up
        and generators. On the same X, calls are bit for bit one ``fit`` of as many epochs, taken eagerly.

        The first call makes the pair, by its X and what is set then: which likelihood suits, whether there are holes.

        Args:
            X: ``(N, features)``.
            y: as for :meth:`fit`.
            classes: all that there will be, where the first call does not have them; later the same, or None.

        Raises:
            ValueError, UserError: as :meth:`fit`; or the guide has a row for each datapoint that it was made for, or a
                setting of the pair is another than it was made with.
        """
        fitted: Fitted | None = getattr(self, "_pair", None)
        seed = fitted.seed if fitted else seed_of(self.random_state)
        said = configs({**self.get_params(), "patience": 0}, seed)
        if fitted:
            refuse_changed(fitted.asked, said)
            x = rows_in(self, X, self.event_shape)
            labels = numbers_of(labels_in(y, x), known_classes(self.classes_, classes)) if _reads_labels(self) else None
        else:
            fitted, _, x, labels = self._begun(said, X, y, classes)
        if said.fit.optimizer.has_end:
            raise UserError(f"`schedule` {said.fit.optimizer.schedule} has an end, and partial_fit none; leave it out.")
        engine = "eager" if said.fit.engine == "auto" else said.fit.engine  # an epoch is not worth compiling
        config = replace(said.fit, epochs=len(fitted.history) + 1, engine=engine)
        fitted.train(fitted.data_of(x, labels), None, config, progress=bool(self.verbose))
        return self._trained(fitted)

    def transform(self, X: ArrayLike) -> _Floats:
        """The mean of q(z | x) of each row, ``(N, size of z)``; latents of several sites stand side by side."""
        x = self._known(X)
        return _as_given(self._fitted.means(x, draws_in(self.num_samples)), x)

    def inverse_transform(self, X: ArrayLike) -> _Floats:
        """The mean of x at each z, ``(n, size of z)``: ``(n, features)``, in the units of the X that was fitted.

        Raises:
            ValueError: z is of another size.
        """
        check_is_fitted(self)
        z = check_array(X, dtype=[np.float64, np.float32])
        if z.shape[1] != self._n_features_out:
            raise ValueError(f"X has {z.shape[1]} columns, and z is {self._n_features_out} numbers.")
        return _as_given(self._fitted.decoded(z), z)

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:
        """The importance bound on log p(x) of each row by ``num_samples`` draws, ``(N,)``, in nats.

        It is a bound in expectation and has an error of its draws. Rows are read one after the other, each with draws
        of its own; :func:`ppl_vae.importance_bound` of ``model_`` and ``guide_`` reads many at once, several times as
        quickly, and has errors and a protocol.

        Raises:
            UserError: q is a point, which has no weights.
        """
        return self._fitted.bounds(self._known(X), draws_in(self.num_samples))

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean of :meth:`score_samples`; of a model that reads labels too it is that of log p(x)."""
        return float(self.score_samples(X).mean())

    @in_range
    def sample(
        self, n_samples: Count = 1, y: ArrayLike | None = None, random_state: int | RandomState | None = None
    ) -> NDArray[np.float64]:
        """Draw z ~ p(z) and x ~ p(x | z), ``(n_samples, features)``, in the units of the X that was fitted.

        Args:
            n_samples: how many.
            y: of a model that reads labels, the class of all, or of each; None draws them by ``class_prior_``.
            random_state: of the draws; None is the estimator's own, by which a whole number makes them the same again.

        Raises:
            ValueError: a class was never seen, there are not as many as draws, or the model reads none.
        """
        check_is_fitted(self)
        labels = None
        if y is not None:
            if not len(self._fitted.label_counts):
                raise ValueError("y is for a model that reads classes; leave it out.")
            known = np.atleast_1d(y)
            numbers_of(known, self.classes_[self.class_prior_ > 0])  # refuses those of which nothing was learned
            labels = numbers_of(known, self.classes_)
            if labels.shape not in ((1,), (n_samples,)):
                raise ValueError(f"y holds {labels.size} classes for {n_samples} draws; give one, or one for each.")
            labels = np.broadcast_to(labels, n_samples).copy()
        seed = seed_of(self.random_state if random_state is None else random_state)
        return self._fitted.drawn(n_samples, seed, labels)

    @available_if(_reads_labels)  # type: ignore[untyped-decorator]
    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """The most probable class of each row, ``(N,)``; for a model that reads classes."""
        best = self.predict_log_proba(X).argmax(1)  # first: it says whether this was fitted, as ``classes_`` cannot
        return np.asarray(self.classes_[best])

    @available_if(_reads_labels)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """p(y | x) by Bayes' rule, ``(N, classes)`` in the order of ``classes_``; for a model that reads classes."""
        return np.asarray(np.exp(self.predict_log_proba(X)))

    @available_if(_reads_labels)  # type: ignore[untyped-decorator]
    def predict_log_proba(self, X: ArrayLike) -> NDArray[np.float64]:
        """log p(y | x)."""
        return self._fitted.posterior(self._known(X), draws_in(self.num_samples))

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        with suppress(Exception):  # whatever `model` is set to: fit says what is wrong with it
            tags.target_tags.required = _reads_labels(self)
        return tags

    def _begun(
        self, said: Configs, X: ArrayLike, y: ArrayLike | None, classes: ArrayLike | None = None
    ) -> tuple[Fitted, Splits, NDArray[np.generic], Labels | None]:
        """A new pair for X, and X as data, as rows and as labels."""
        x = rows_in(self, X, self.event_shape, begin=True)
        self.__dict__.pop("classes_", None)  # of an earlier fit, by a model that read them
        if not asks_for_labels(self.model):
            return *Fitted.begun(said, x), x, None
        known = labels_in(y, x)
        self.classes_ = classes_in(known if classes is None else classes)
        labels = numbers_of(known, self.classes_)
        return *Fitted.begun(said, x, labels, len(self.classes_)), x, labels

    def _known(self, X: ArrayLike) -> NDArray[np.generic]:
        """Rows of a fitted estimator."""
        check_is_fitted(self)
        return rows_in(self, X)
