"""What a decoder's output means: likelihoods p(x | z), independent numbers given the output η.

    Bernoulli              x in {0, 1},     P(x = 1) = 1 / (1 + e^−η)
    continuous Bernoulli   x in [0, 1],     p(x) = η e^{ηx} / (e^η − 1)       (Loaiza-Ganem and Cunningham 2019)
    Normal                 x real,          p(x) = N(x; η, σ²): one σ, one a feature, or the decoder's
    Student-t              x real,          p(x) = t_ν((x − η) / σ) / σ: outliers weigh less
    Poisson                x = 0, 1, …,     P(x) = λˣ e^−λ / x!, λ = e^η
    negative binomial      x = 0, 1, …,     E[x] = μ = e^η, Var[x] = μ + μ² / r, a dispersion r a feature
    zero-inflated          x = 0, 1, …,     0 with probability π, else negative binomial; π is the decoder's
    categorical            x in {0, …, K − 1},  P(x) = e^(ηₓ) / Σₖ e^(ηₖ)
    columns                each column of a table the one of its kind

Of bits, counts and categories they are probabilities; of reals and grey levels densities, whose nats compare with those
of no probability. To add one: copy a class and name it in ``ppl_vae/registry/factories.py``, or leave it in your own
file and pass ``--likelihood path/to/file.py:Mine``. Keyword-only parameters of the constructor are its settings
(:mod:`ppl_vae.registry.settings`); by the names ``x_mean``, ``x_std``, ``kinds`` and so on it is given what is known of
the data (:mod:`ppl_vae.registry.build`).
"""

from ppl_vae.models.likelihoods.base import Likelihood
from ppl_vae.models.likelihoods.categories import Blocks, Categorical, Codes, OneHot
from ppl_vae.models.likelihoods.columns import Beside, Columns
from ppl_vae.models.likelihoods.counts import GammaPoisson, NegativeBinomial, Poisson, ZeroInflatedNegativeBinomial
from ppl_vae.models.likelihoods.reals import Normal, StudentT
from ppl_vae.models.likelihoods.unit import Bernoulli, ContinuousBernoulli, Tilted

__all__ = [
    "Bernoulli",
    "Beside",
    "Blocks",
    "Categorical",
    "Codes",
    "Columns",
    "ContinuousBernoulli",
    "GammaPoisson",
    "Likelihood",
    "NegativeBinomial",
    "Normal",
    "OneHot",
    "Poisson",
    "StudentT",
    "Tilted",
    "ZeroInflatedNegativeBinomial",
]
