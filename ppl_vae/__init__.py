"""Variational autoencoders as Pyro model/guide pairs.

A model is a Pyro program p(x, z), a guide is a Pyro program q(z | x), and everything else here works on any such pair.

Importing it changes nothing of Pyro's: other Pyro programs in the process run as they always do. Parameters of our
programs live in their modules and never in the global parameter store, so that two pairs cannot touch each other.
What the package offers is imported when it is first asked for: ``import ppl_vae`` alone does not wait for torch. So are
the rooms that are used by their own names, ``ppl_vae.predictive.prior(...)`` or ``ppl_vae.guides.FullRank``.
"""

import sys
from importlib import import_module

if "ipykernel" in sys.modules:  # Pyro makes tqdm look for widgets, and a red warning say that there are none
    import warnings

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "IProgress not found")
        import tqdm.auto  # noqa: F401

__version__ = "0.1.0"

TYPE_CHECKING = False  # as typing's, which takes milliseconds to import, in which no Ctrl-C is answered

_ROOMS = ("data", "diagnostics", "evaluation", "figures", "guides", "models", "predictive", "sklearn")

if TYPE_CHECKING:
    from ppl_vae import data, diagnostics, evaluation, figures, guides, models, predictive, sklearn  # noqa: F401
    from ppl_vae.data import DataConfig, Dataset, load
    from ppl_vae.diagnostics import calibrate, diagnose, evaluate, to_datatree
    from ppl_vae.diagnostics.latents import encode, infer_latents
    from ppl_vae.evaluation import (
        annealed_importance_bound,
        bidirectional_bounds,
        elbo,
        importance_bound,
        simulate,
    )
    from ppl_vae.inference.fitting import InferConfig, infer
    from ppl_vae.predictive.draws import posterior_predictive, prior_predictive
    from ppl_vae.programs.batch import Batch
    from ppl_vae.programs.check import check_pair
    from ppl_vae.registry.local_families import inference_gaps
    from ppl_vae.registry.pairs import build_guide, build_model
    from ppl_vae.reports.comparing import compare
    from ppl_vae.reports.ending.saving import save
    from ppl_vae.reports.tuning import tune
    from ppl_vae.runs.handed_on.packing import pack
    from ppl_vae.runs.handed_on.pushing import push_to_hub
    from ppl_vae.runs.opened import opened as open
    from ppl_vae.runtime.errors import UserError
    from ppl_vae.svi.recording.any_program import compiled
    from ppl_vae.training import FitConfig, fit
else:
    _NAMES = {
        "data": ("DataConfig", "Dataset", "load"),
        "diagnostics": ("calibrate", "diagnose", "evaluate", "to_datatree"),
        "diagnostics.latents": ("encode", "infer_latents"),
        "evaluation": (*("annealed_importance_bound", "bidirectional_bounds", "elbo", "importance_bound", "simulate"),),
        "inference.fitting": ("InferConfig", "infer"),
        "predictive.draws": ("posterior_predictive", "prior_predictive"),
        "programs.batch": ("Batch",),
        "programs.check": ("check_pair",),
        "registry.local_families": ("inference_gaps",),
        "registry.pairs": ("build_guide", "build_model"),
        "reports.comparing": ("compare",),
        "reports.ending.saving": ("save",),
        "reports.tuning": ("tune",),
        "runs.handed_on.packing": ("pack",),
        "runs.handed_on.pushing": ("push_to_hub",),
        "runs.opened": ("open",),
        "runtime.errors": ("UserError",),
        "svi.recording.any_program": ("compiled",),
        "training": ("FitConfig", "fit"),
    }
    _HOMES = {name: home for home, names in _NAMES.items() for name in names}

    def __getattr__(name):
        if name in _ROOMS:
            return import_module(f"{__name__}.{name}")
        if name not in _HOMES:
            raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), "opened" if name == "open" else name)


__all__ = [
    "Batch",
    "DataConfig",
    "Dataset",
    "FitConfig",
    "InferConfig",
    "UserError",
    "annealed_importance_bound",
    "bidirectional_bounds",
    "build_guide",
    "build_model",
    "calibrate",
    "check_pair",
    "compare",
    "compiled",
    "diagnose",
    "elbo",
    "encode",
    "evaluate",
    "fit",
    "importance_bound",
    "infer",
    "infer_latents",
    "inference_gaps",
    "load",
    "open",
    "pack",
    "posterior_predictive",
    "prior_predictive",
    "push_to_hub",
    "save",
    "simulate",
    "to_datatree",
    "tune",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
