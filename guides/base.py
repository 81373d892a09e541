"""What a guide is: a Pyro program q(z | x) that samples the model's latents in the model's plate.

The contract: a :class:`pyro.nn.PyroModule` whose ``forward(batch)`` opens ``pyro.plate("data", len(batch.x), dim=-1)``
and samples every latent of the model inside it, under the model's names. Any such module plugs in. Under Pyro's own SVI
its parameters share a global store, by name, with those of the model: give its attributes names that the model's have
not, as ``encoder`` beside ``decoder``.

Ours are a family (WHAT q is, ``families.py``) times a parameterisation (WHERE its parameters come from): a
:class:`Guide` holds the first and its subclass is the second. To add a parameterisation, copy this::

    class Shared(Guide):
        '''One q for all datapoints.'''

        def __init__(self, latents: Latents, family: Family) -> None:
            super().__init__(latents, family)
            self.row = nn.Parameter(torch.zeros(family.num_params))

        def params(self, batch: Batch) -> Tensor:
            return self.row.expand(len(batch.x), -1)

then export it from ``guides/__init__.py``, name it in ``ppl_vae/registry/factories.py`` and add its line to
``tests/conformance.py``; or leave it in a file of your own and pass ``--guide path/to/file.py:Shared``. Keyword-only
parameters of the constructor are its settings (:mod:`ppl_vae.registry.settings`).
"""

from abc import abstractmethod

import pyro
from pyro.distributions import TorchDistribution
from torch import Tensor

from ppl_vae.guides.families import Family
from ppl_vae.programs.batch import Batch
from ppl_vae.programs.effects import once
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.program import Program
from ppl_vae.runtime.errors import UserError


class Guide(Program):
    """A family whose parameters come from somewhere; the module's docstring states the contract.

    Args:
        latents: what to sample, from ``Latents.of(model, batch)``.
        family: over R^D with D = ``latents.size``.

    Raises:
        UserError: the family's size is not that of the latents.
    """

    def __init__(self, latents: Latents, family: Family) -> None:
        super().__init__()
        if family.latent_dim != latents.size:
            raise UserError(
                f"the latents are {latents.size} numbers, the family is over {family.latent_dim}; make it over as many."
            )
        self.latents = latents
        self.family = family

    @abstractmethod
    def params(self, batch: Batch) -> Tensor:
        """The family's parameters for these datapoints, ``(batch, num_params)``."""

    def q(self, batch: Batch) -> TorchDistribution:
        """q(z | x) over the latents' flat vector: batch shape ``(batch,)``, event shape ``(latents.size,)``."""
        q: TorchDistribution = self.family(once(self.params, batch))
        return q

    def forward(self, batch: Batch) -> None:
        """Sample the model's latents."""
        q = self.q(batch)  # before the plate: what works out the parameters may open one of its own
        with pyro.plate("data", len(batch.x), dim=-1):
            self.latents.sample(q)
