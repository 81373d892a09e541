"""PyTorch by hand, with other networks: convolutions for images, an LSTM for words; no probabilistic language.

As :mod:`ppl_vae.bench.handwritten`: q's mean and scale out of an encoder, one draw, log q(z | x) − log p(z) at it, Adam
in one kernel. The words' decoder is told the letter before with probability 0.7 (Bowman et al. 2016), and no LSTM takes
steps after the end of the batch's longest word.
"""

from itertools import pairwise
from math import e, log, prod

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, pad, softplus

from ppl_vae.bench.minibatches import Minibatches
from ppl_vae.bench.sizes import NetSize

_UNIT = log(e - 1)  # where softplus is 1
_SMALLEST_SCALE = 1e-4


def _drawn(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """From what an encoder says, ``(batch, 2 z)``, a draw z and the sum of log q(z | x) − log p(z) at it."""
    loc, raw_scale = numbers.chunk(2, dim=-1)
    scale = softplus(raw_scale + _UNIT) + _SMALLEST_SCALE
    noise = torch.randn_like(loc)
    z = loc + scale * noise
    return z, (0.5 * (z.square() - noise.square()) - scale.log()).sum()


class ConvolutionalVAE(nn.Module):
    """Each convolution halves height and width, each transposed one doubles them; a hidden layer on either side."""

    def __init__(self, size: NetSize) -> None:
        super().__init__()
        shape, channels = size.event_shape, (1, *size.channels)
        halvings = len(size.channels)
        features = (channels[-1], *(length // 2**halvings for length in shape))
        down = [(nn.Conv2d(i, o, 3, stride=2, padding=1), nn.ReLU()) for i, o in pairwise(channels)]
        up = [
            (nn.ReLU(), nn.ConvTranspose2d(i, o, 4, stride=2, padding=1, bias=o > 1))
            for i, o in pairwise(channels[::-1])
        ]
        self.encoder = nn.Sequential(
            *(layer for pair in down for layer in pair),
            nn.Flatten(),
            nn.Linear(prod(features), size.hidden),
            nn.ReLU(),
            nn.Linear(size.hidden, 2 * size.latent_dim),
        )
        self.decoder = nn.Sequential(
            nn.Linear(size.latent_dim, size.hidden),
            nn.ReLU(),
            nn.Linear(size.hidden, prod(features)),
            nn.Unflatten(-1, features),
            *(layer for pair in up for layer in pair),
        )
        self.bias = nn.Parameter(torch.zeros(shape))

    def loss(self, x: Tensor) -> Tensor:
        """Minus the bound of images ``(batch, height, width)``, nats per datapoint."""
        z, divergence = _drawn(self.encoder(x.unsqueeze(1)))
        logits = self.decoder(z).squeeze(1) + self.bias
        loss: Tensor = (binary_cross_entropy_with_logits(logits, x, reduction="sum") + divergence) / len(x)
        return loss


class WordVAE(nn.Module):
    """An LSTM's last output and mean make q; z is where another LSTM starts, and beside each of its inputs."""

    def __init__(self, size: NetSize, word_dropout: float = 0.3) -> None:
        super().__init__()
        columns, hidden, latent_dim = size.event_shape[-1], size.hidden, size.latent_dim
        self.word_dropout = word_dropout
        self.reader = nn.LSTM(columns, hidden, batch_first=True)
        self.head = nn.Linear(2 * hidden, 2 * latent_dim)
        self.writer = nn.LSTM(columns + latent_dim, hidden, batch_first=True)
        self.begin = nn.Linear(latent_dim, 2 * hidden)
        self.out = nn.Linear(hidden, columns)
        for lstm in (self.reader, self.writer):  # its second bias, to which the first says all, is no parameter
            nn.init.zeros_(lstm.get_parameter("bias_hh_l0").requires_grad_(False))

    def loss(self, x: Tensor) -> Tensor:
        """Minus the bound of words ``(batch, steps, 1 + letters)``, nats per datapoint."""
        steps = x.shape[1]
        lengths = x[..., 0].sum(1)
        x = x[:, : int(lengths.max()) + 1]  # that it ends is a step too
        going = x[..., 0]  # (batch, steps)
        outputs, _ = self.reader(x)
        last = outputs[torch.arange(len(x), device=x.device), lengths.long() - 1]
        mean = (going.unsqueeze(-1) * outputs).sum(1) / lengths.unsqueeze(-1)
        z, divergence = _drawn(self.head(torch.cat([last, mean], dim=-1)))
        kept = torch.rand(len(x), steps, 1, device=x.device)[:, : x.shape[1]] >= self.word_dropout
        before = pad(x[:, :-1], (0, 0, 1, 0))
        told = torch.cat([before[..., :1], before[..., 1:] * kept], dim=-1)
        output, cell = self.begin(z).chunk(2, dim=-1)
        state = output.tanh().unsqueeze(0), cell.contiguous().unsqueeze(0)
        written, _ = self.writer(torch.cat([told, z.unsqueeze(1).expand(-1, x.shape[1], -1)], dim=-1), state)
        logits = self.out(written)
        letters = cross_entropy(logits[..., 1:].flatten(0, 1), x[..., 1:].argmax(-1).flatten(), reduction="none")
        goes_on = binary_cross_entropy_with_logits(logits[:, 1:, 0], going[:, 1:], reduction="none")
        loss: Tensor = ((letters * going.flatten()).sum() + (going[:, :-1] * goes_on).sum() + divergence) / len(x)
        return loss


class HandWrittenNetworks:
    """Steps in eager PyTorch; see :class:`ppl_vae.bench.contenders.Contender`.

    Args:
        size: images where it has channels, else words.
        device: where.
    """

    def __init__(self, size: NetSize, device: str) -> None:
        torch.manual_seed(0)
        self.grey = bool(size.channels)
        self.vae: ConvolutionalVAE | WordVAE = (ConvolutionalVAE if self.grey else WordVAE)(size).to(device)
        params = [param for param in self.vae.parameters() if param.requires_grad]
        self.optimizer = torch.optim.Adam(params, lr=1e-3, fused=True)
        self.batches = Minibatches.of(size, device)

    def run(self, steps: int) -> float:
        """Take steps; the mean loss of them in nats per datapoint."""
        total = torch.zeros((), device=self.batches.x.device)
        for index in self.batches.indices(steps):
            x = self.batches.x[index]
            self.optimizer.zero_grad()
            loss = self.vae.loss(torch.bernoulli(x) if self.grey else x)
            loss.backward()
            self.optimizer.step()
            total += loss.detach()
        return float(total) / steps
