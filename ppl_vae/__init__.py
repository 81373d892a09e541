"""Variational autoencoders as Pyro model/guide pairs.

A model is a Pyro program p(x, z), a guide is a Pyro program q(z | x), and everything else here works on any such pair.

Importing the package makes one global choice, Pyro's ``module_local_params``: parameters live in the modules that
own them and never in the global parameter store, so that two pairs in one process cannot touch each other. Pyro reads
the setting when a module is made, hence at import.
"""

import pyro

pyro.settings.set(module_local_params=True)

from ppl_vae.batch import Batch  # noqa: E402  (modules below may define PyroModules)
from ppl_vae.errors import UserError  # noqa: E402
from ppl_vae.training import FitConfig, fit  # noqa: E402

__all__ = ["Batch", "FitConfig", "UserError", "fit"]
