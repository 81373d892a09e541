"""What a model is: a Pyro program p(x, z) over a batch.

The contract, all of it Pyro's own:

* a :class:`pyro.nn.PyroModule` whose ``forward(batch)`` opens ``pyro.plate("data", len(batch.x), dim=-1)``, samples its
  latents inside it, and observes the site ``"x"`` with ``obs=batch.x``;
* event dimensions are declared (``.to_event``), so that every site's batch shape is the plate's;
* it accepts leading dimensions: under an outer plate the latents are ``(samples, batch, *event)``, and one call
  evaluates every sample;
* the latents are independent between datapoints given the parameters, which live in the module.

Engine, guides and command line need nothing more, and take any module that keeps it; :class:`Model` only makes an
incomplete one fail early. To add a model:

1. copy this into ``models/mine.py`` and make it yours::

       class Mine(Model):
           def __init__(self, decoder: nn.Module, latent_dim: int) -> None:
               super().__init__()
               self.decoder = decoder
               self.register_buffer("loc", torch.zeros(latent_dim), persistent=False)

           def forward(self, batch: Batch) -> Tensor:
               with pyro.plate("data", len(batch.x), dim=-1):
                   z = pyro.sample("z", dist.Laplace(self.loc, torch.ones_like(self.loc)).to_event(1))
                   return pyro.sample("x", dist.Bernoulli(logits=self.decoder(z)).to_event(2), obs=batch.x)

2. name it in ``ppl_vae/app/registry.py`` if the command line should know it (or leave it in your own file and pass
   ``--model path/to/file.py:Mine``);
3. add its line to the conformance table, ``tests/conformance.py``.
"""

from abc import abstractmethod

from torch import Tensor

from ppl_vae.batch import Batch
from ppl_vae.program import Program


class Model(Program):
    """A generative program p(x, z); the module's docstring states the contract."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Run the program: sample the latents, observe ``batch.x``, return x ``(..., batch, *event)``."""
