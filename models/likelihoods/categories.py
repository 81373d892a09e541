"""Likelihoods of categories: by their codes 0, 1, …, or each as a block of numbers of which one is 1."""

from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from ppl_vae.models.likelihoods.base import Likelihood
from ppl_vae.runtime.config import CountOrZero
from ppl_vae.runtime.errors import UserError

_MEAN_RANGE = (0.001, 0.999)  # of a category's share
_MOST_CATEGORIES = 1024


class Categorical(Likelihood):
    """x ~ Categorical(softmax(η)): P(x) = e^(ηₓ) / Σₖ e^(ηₖ) of codes 0, …, K − 1; the decoder has K numbers for each.

    Categories in blocks of a table, a column for each value, are :class:`ppl_vae.models.likelihoods.columns.Columns`.

    Args:
        largest: the largest code in the data, of each column or of all.
        categories: How many categories there are, of a likelihood of codes; 0: those up to the largest in training.
    """

    def __init__(self, largest: tuple[float, ...] = (), *, categories: CountOrZero = 0) -> None:
        super().__init__()
        self.num_categories = categories or int(max(largest, default=1.0)) + 1
        if self.num_categories > _MOST_CATEGORIES:
            raise UserError(
                f"the codes go up to {self.num_categories - 1}, and the decoder would have as many outputs for each "
                "number; a likelihood of counts (poisson, negative-binomial) takes large numbers."
            )

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output ``(..., *event, K)`` to distribution, see :class:`Likelihood`."""
        codes = Codes(logits=output, validate_args=False)
        likelihood: dist.TorchDistribution = codes.to_event(event_dim)  # type: ignore[no-untyped-call]
        return likelihood

    def start(self, x_mean: Tensor) -> Tensor:
        """That of a binomial of the mean, ``(*event, K)``: nothing else is known of the categories' shares."""
        most = max(self.num_categories - 1, 1)
        codes = torch.arange(self.num_categories, dtype=x_mean.dtype, device=x_mean.device)
        ways = -torch.lgamma(codes + 1) - torch.lgamma(most - codes + 1)
        return codes * torch.logit((x_mean / most).clamp(*_MEAN_RANGE)).unsqueeze(-1) + ways


class Blocks(Likelihood):
    """Categories as blocks of a table's columns, of which one is 1: P(xₖ = 1) = e^(ηₖ) / Σⱼ e^(ηⱼ) in each block.

    Args:
        block: the number of its block, of each column: 0, 1, …, ``(D,)``.
    """

    block: Tensor

    def __init__(self, block: Tensor) -> None:
        super().__init__()
        self.register_buffer("block", block, persistent=False)
        self.num_blocks = int(block.max()) + 1

    def forward(self, output: Tensor, event_dim: int) -> dist.TorchDistribution:
        """Output to distribution, see :class:`Likelihood`."""
        one_hot = OneHot(output, self.block, self.num_blocks)
        likelihood: dist.TorchDistribution = one_hot.to_event(event_dim)  # type: ignore[no-untyped-call]
        return likelihood

    def start(self, x_mean: Tensor) -> Tensor:
        """Where each value is as frequent as in the data."""
        return x_mean.clamp(*_MEAN_RANGE).log()


class Codes(dist.Categorical):
    """A categorical distribution whose draws are numbers as the data's; it has a mode and, of names, no mean."""

    called = "categorical"

    @property
    def mean(self) -> Tensor:
        """None: the mean of two names is no name."""
        raise NotImplementedError

    @property
    def variance(self) -> Tensor:
        """None either."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The likeliest code."""
        return super().mode.to(self.logits.dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Codes."""
        drawn: Tensor = super().sample(torch.Size(sample_shape)).to(self.logits.dtype)  # type: ignore[no-untyped-call]
        return drawn


class OneHot(dist.TorchDistribution):
    """Blocks of numbers of which one is 1 and all others 0: of each block, P(xₖ = 1) = e^(ηₖ) / Σⱼ e^(ηⱼ).

    Its batch shape has the numbers, so that a block may be missing, and the log-density of one is xₖ log P(xₖ = 1):
    these add up to that of the block, of which the one that is 1 tells all.

    Args:
        logits: η, ``(..., D)``.
        block: the number of its block, of each of the D: 0, 1, …, ``(D,)``.
        num_blocks: how many.
    """

    called = "category"
    arg_constraints: dict[str, constraints.Constraint] = {}  # noqa: RUF012  # torch's own protocol

    def __init__(self, logits: Tensor, block: Tensor, num_blocks: int) -> None:
        self.logits, self.block, self.num_blocks = logits, block, num_blocks
        super().__init__(logits.shape, validate_args=False)

    @property
    def support(self) -> constraints.Constraint:
        """One 1 in each block."""
        return _OneInEachBlock(self.block, self.num_blocks)

    def expand(self, batch_shape: Any, _instance: object = None) -> "OneHot":
        """The same for a larger batch."""
        return OneHot(self.logits.expand(batch_shape), self.block, self.num_blocks)

    def log_prob(self, value: Tensor) -> Tensor:
        """xₖ log P(xₖ = 1), in nats, ``(..., D)``."""
        return value * self._log_probs

    @property
    def _log_probs(self) -> Tensor:
        height = _in_blocks(self.logits, self.block, self.num_blocks, "amax").detach()[..., self.block]
        sizes = _in_blocks((self.logits - height).exp(), self.block, self.num_blocks, "sum")
        return self.logits - height - sizes.log()[..., self.block]

    @property
    def mean(self) -> Tensor:
        """P(xₖ = 1)."""
        return self._log_probs.exp()

    @property
    def variance(self) -> Tensor:
        """P(xₖ = 1) (1 − P(xₖ = 1))."""
        return self.mean * (1 - self.mean)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """The largest of logits with Gumbel noise is a draw (Gumbel 1954)."""
        with torch.no_grad():
            logits = self.logits.expand(self._extended_shape(sample_shape))
            noisy = logits - (-torch.rand_like(logits).clamp(min=torch.finfo(logits.dtype).tiny).log()).log()
            best = _in_blocks(noisy, self.block, self.num_blocks, "amax")[..., self.block]
            return (noisy == best).to(logits.dtype)


class _OneInEachBlock(constraints.Constraint):
    is_discrete = True
    in_words = "blocks of columns of which one is 1 and all others 0"

    def __init__(self, block: Tensor, num_blocks: int) -> None:
        self.block, self.num_blocks = block, num_blocks

    def check(self, value: Tensor) -> Tensor:
        """Whether each number is in a block as it is to be."""
        bits = (value == 0) | (value == 1)
        ones = _in_blocks(value, self.block, self.num_blocks, "sum") == 1
        return bits & ones[..., self.block]


def _in_blocks(values: Tensor, block: Tensor, num_blocks: int, reduce: str) -> Tensor:
    """Each block's sum (or amax), ``(..., D)`` to ``(..., num_blocks)``."""
    start = values.new_full((*values.shape[:-1], num_blocks), 0.0 if reduce == "sum" else -torch.inf)
    return start.scatter_reduce(-1, block.expand(values.shape), values, reduce)
