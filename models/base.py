"""What a model is: a Pyro program p(x, z) over a batch.

The contract, all of it Pyro's own:

* a :class:`pyro.nn.PyroModule` whose ``forward(batch)`` opens ``pyro.plate("data", len(batch.x), dim=-1)``, samples its
  latents inside it, and observes the site ``"x"`` with ``obs=batch.x``;
* event dimensions are declared (``.to_event``), so that every site's batch shape is the plate's;
* it accepts leading dimensions: under an outer plate the latents are ``(samples, batch, *event)``, and one call
  evaluates every sample;
* the latents are independent between datapoints given the parameters, which live in the module;
* all that it is, is in its arguments and its ``state_dict``, and it draws by Pyro and PyTorch alone: then a run of it
  opens as it was trained, and an estimate of it can be repeated.

A model that takes a likelihood observes x under ``self.likelihood.of(output, batch)``, which knows of missing numbers,
and of each row's total where it asks for that. The decoder's output has the shape of ``likelihood.start(x_mean)``.

``batch.y`` are the labels, ``(batch,)`` integers 0, 1, 2, ..., or None where the data has none; a model that needs them
raises a :class:`ppl_vae.UserError` then. Leading dimensions are the latents' alone, so y is expanded to theirs. For
codes of labels take ``torch.eye(n, device=batch.y.device)[batch.y]``: ``torch.nn.functional.one_hot`` reads the labels'
values, and a program that does has no compiled steps.

Under Pyro's own SVI the parameters of model and guide share its global store by name: give their attributes unlike
names, as ``decoder`` here and ``encoder`` in the guide. Where they are alike, one program is handed the other's.

Engine, guides and command line need nothing more, and take any module that keeps it; :class:`Model` only makes an
incomplete one fail early. To add a model:

1. copy ``models/vae.py`` (or, in a file of your own, ``examples/mine.py``) and make it yours. Its constructor asks by
   name for what it needs, ``decoder``, ``latent_dim``, ``likelihood``, ``prior``, ``event_shape`` and so on
   (:mod:`ppl_vae.registry.build` has the list; ``networks`` makes networks of other sizes). A setting of its own is a
   keyword-only parameter, with its range in ``Annotated`` and its words under ``Args:``
   (:mod:`ppl_vae.registry.settings`): flag, help, record and report follow;
2. leave it in your own file and pass ``--model path/to/file.py:Mine``, or give it a name: export the class from
   ``models/__init__.py`` and put it in ``MODELS`` of ``ppl_vae/registry/factories.py``, ``"mine": Mine``. A function
   stands there only where the class asks for what nobody can give it by name;
3. add its line to the conformance table, ``tests/conformance.py``, and to the table of models in ``README.md``.
"""

from abc import abstractmethod

from torch import Tensor

from ppl_vae.programs.batch import Batch
from ppl_vae.programs.program import Program


class Model(Program):
    """A generative program p(x, z); the module's docstring states the contract."""

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """Run the program: sample the latents, observe ``batch.x``, return x ``(..., batch, *event)``."""
