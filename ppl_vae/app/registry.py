"""The names of models, guides and families, and how the command line makes one: by name, or from a user's file.

Whatever is named, a function here or a class in a user's file, is called with those of the available settings that its
signature asks for by name (:mod:`ppl_vae.app.build` lists them), so that both follow one rule.
"""

import importlib.util
import inspect
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from torch import Tensor, nn

from ppl_vae.errors import UserError, reason, unknown_name
from ppl_vae.guides import (
    Amortized,
    Diagonal,
    Family,
    FullRank,
    InverseAutoregressive,
    Latents,
    LowRank,
    PerDatapoint,
    Planar,
    Point,
    SemiAmortized,
)
from ppl_vae.guides.semi_amortized import Training
from ppl_vae.layout import Layout
from ppl_vae.models import VAE, ConditionalVAE, LinearGaussian, SequenceVAE
from ppl_vae.nets import Decoder, Encoder
from ppl_vae.recurrent_nets import RecurrentDecoder, RecurrentEncoder, logits_of_rates

Factory = Callable[..., nn.Module]


def _vae(
    event_shape: tuple[int, ...], latent_dim: int, hidden: tuple[int, ...], activation: str, x_mean: Tensor
) -> VAE:
    return VAE(Decoder(latent_dim, event_shape, hidden[::-1], activation, x_mean), latent_dim)


def _conditional(
    event_shape: tuple[int, ...],
    latent_dim: int,
    hidden: tuple[int, ...],
    activation: str,
    x_mean: Tensor,
    num_classes: int,
) -> ConditionalVAE:
    if not num_classes:
        raise UserError("the conditional model needs labels and this data has none; add y, or use --model vae.")
    decoder = Decoder(latent_dim, event_shape, hidden[::-1], activation, x_mean, num_classes)
    return ConditionalVAE(decoder, latent_dim, num_classes)


def _sequence(
    event_shape: tuple[int, ...],
    latent_dim: int,
    hidden: tuple[int, ...],
    x_mean: Tensor,
    layout: Layout,
    word_dropout: float,
) -> SequenceVAE:
    if len(event_shape) != 2:
        raise UserError(f"the sequence model needs x of shape (N, steps, size), not {event_shape} for each; reshape x.")
    decoder = RecurrentDecoder(latent_dim, event_shape, hidden[::-1], logits_of_rates(x_mean, layout))
    return SequenceVAE(decoder, latent_dim, layout, word_dropout)


def _amortized(
    model: nn.Module,
    latents: Latents,
    family: Family,
    event_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    activation: str,
    layout: Layout,
) -> Amortized:
    if isinstance(model, SequenceVAE):
        return Amortized(latents, family, RecurrentEncoder(event_shape, family.num_params, hidden, layout))
    num_classes = model.num_classes if isinstance(model, ConditionalVAE) else 0
    encoder = Encoder(event_shape, family.num_params, hidden, activation, num_classes)
    return Amortized(latents, family, encoder, labelled=num_classes > 0)


def _mean_field(latents: Latents, family: Family, num_data: int) -> PerDatapoint:
    if not isinstance(family, Diagonal):
        raise UserError("mean-field means the diagonal family; for another one say --guide per-datapoint.")
    return PerDatapoint(latents, family, num_data)


def _semi_amortized(
    model: nn.Module,
    latents: Latents,
    family: Family,
    event_shape: tuple[int, ...],
    hidden: tuple[int, ...],
    activation: str,
    layout: Layout,
    refinement_steps: int,
    refinement_rate: float,
    refinement_training: Training,
) -> SemiAmortized:
    proposal = _amortized(model, latents, family, event_shape, hidden, activation, layout)
    return SemiAmortized(proposal, model, refinement_steps, refinement_rate, refinement_training)


MODELS: dict[str, Factory] = {
    "vae": _vae,
    "conditional": _conditional,
    "linear-gaussian": LinearGaussian,
    "sequence": _sequence,
}
GUIDES: dict[str, Factory] = {
    "amortized": _amortized,
    "per-datapoint": PerDatapoint,
    "mean-field": _mean_field,
    "semi-amortized": _semi_amortized,
}
FAMILIES: dict[str, Callable[[int], Family]] = {
    "diagonal": Diagonal,
    "low-rank": LowRank,
    "full-rank": FullRank,
    "planar": Planar,
    "iaf": InverseAutoregressive,
    "point": Point,
}


def find(kind: str, name: str, table: Mapping[str, Factory]) -> Factory:
    """What makes the model or guide of that name.

    Args:
        kind: "model" or "guide", for the messages.
        name: a key of the table, or ``path/to/file.py:Class``.
        table: ``MODELS`` or ``GUIDES``.

    Raises:
        UserError: unknown name, or a file that cannot be used.
    """
    if names_file(name):
        return _from_file(kind, name)
    if name in FAMILIES and kind == "guide":
        raise UserError(
            f"'{name}' is a family, not where q comes from; say --family {name} (compare: amortized:{name})."
        )
    if name not in table:
        raise unknown_name(kind, name, [*table, "path/to/file.py:Class"])
    return table[name]


def names_file(name: str) -> bool:
    """Whether this names a user's file (and a class in it) rather than one of ours."""
    return name.partition(".py")[2].startswith(":") or name.endswith(".py")


def _parameters(factory: Factory) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(factory).parameters
    except ValueError:  # a builtin's
        return {}


def asks_for(factory: Factory, *names: str) -> bool:
    """Whether its signature has a parameter of one of these names."""
    return not set(names).isdisjoint(_parameters(factory))


def construct(kind: str, name: str, factory: Factory, available: Mapping[str, object]) -> nn.Module:
    """Call it with what it asks for.

    Args:
        kind: "model" or "guide", for the messages.
        name: what the user called it, for the messages.
        factory: from :func:`find`.
        available: what a signature can ask for, by name.

    Raises:
        UserError: the signature asks for something else, or the call fails.
    """
    asked = _parameters(factory).values()
    rest = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    for parameter in asked:
        if parameter.name not in available and parameter.default is parameter.empty and parameter.kind not in rest:
            raise UserError(
                f"{kind} {name}: its constructor asks for '{parameter.name}', which is not to be had; "
                f"it can ask for {', '.join(sorted(available))}."
            )
    try:
        made = factory(**{p.name: available[p.name] for p in asked if p.name in available})
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # whatever a user's own constructor raises
        raise UserError(f"{kind} {name} could not be made: {reason(error)}") from error
    if not isinstance(made, nn.Module):
        raise UserError(f"{kind} {name} is no module; derive it from pyro.nn.PyroModule.")
    return made


def _from_file(kind: str, name: str) -> Factory:
    """The class of ``path/to/file.py:Class``. The file is run, as any script that the user names."""
    file, _, class_name = name.rpartition(":")
    path = Path(file)
    if not class_name or not file:
        raise UserError(f"{kind} {name}: name the class too, as path/to/file.py:Class.")
    if not path.is_file():
        raise UserError(f"{kind} {name}: there is no file '{path}'.")
    # One module a file, so that a model and a guide of the same file share their classes.
    module_name = f"ppl_vae_user_{path.stem}_{abs(hash(path.resolve()))}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        if spec is None or spec.loader is None:
            raise UserError(f"{kind} {name}: '{path}' is not a Python file.")
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except (Exception, SystemExit) as error:  # whatever the file does
            del sys.modules[module_name]
            raise UserError(f"{kind} {name}: '{path}' does not run: {reason(error)}") from error
    classes = {key: value for key, value in vars(module).items() if isinstance(value, type)}
    if class_name not in classes:
        raise unknown_name(f"class in {path}", class_name, [k for k, v in classes.items() if issubclass(v, nn.Module)])
    found: Factory = classes[class_name]
    return found
