"""Variational autoencoders as Pyro model/guide pairs.

A model is a Pyro program p(x, z), a guide is a Pyro program q(z | x), and everything else here works on any such pair.

Importing it changes nothing of Pyro's: other Pyro programs in the process run as they always do. Parameters of our
programs live in their modules and never in the global parameter store, so that two pairs cannot touch each other.
What the package offers is imported when it is first asked for: ``import ppl_vae`` alone does not wait for torch.
"""

from importlib import import_module

TYPE_CHECKING = False  # as typing's, which takes milliseconds to import, in which no Ctrl-C is answered

if TYPE_CHECKING:
    from ppl_vae.programs.batch import Batch
    from ppl_vae.runtime.errors import UserError
    from ppl_vae.training import FitConfig, fit
else:
    _HOMES = {"Batch": "programs.batch", "FitConfig": "training", "UserError": "runtime.errors", "fit": "training"}

    def __getattr__(name):
        if name not in _HOMES:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


__all__ = ["Batch", "FitConfig", "UserError", "fit"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
