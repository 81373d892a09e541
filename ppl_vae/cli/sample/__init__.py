"""``ppl-vae sample RUN WHAT``: the kinds of pictures from a trained model, a file for those that belong together."""

from ppl_vae.runtime.errors import UserError, unknown_name

# Name -> where in this folder its dataclass is and what it does; the second word of the command line.
WHAT = {
    "prior": ("distributions:Prior", "z ~ p(z), x ~ p(x | z)"),
    "posterior": ("distributions:Posterior", "z ~ q(z | observation), x ~ p(x | z)"),
    "conditional": (
        "distributions:Conditional",
        "z ~ p(z), x ~ p(x | z, y), of a conditional model",
    ),
    "grid": ("distributions:Grid", "a 2-D latent plane, decoded on a grid"),
    "codes": ("codes:Codes", "several codes of one image, decoded"),
    "interpolate": ("walks:Interpolate", "images on the way from one image to the next"),
    "arithmetic": (
        "arithmetic:Arithmetic",
        "images moved along a direction, such as from class a to class b",
    ),
    "traverse": ("walks:Traverse", "move one unit of the latent at a time, those of largest KL first"),
    "impute": ("imputation:Impute", "what is missing from observations, by draws of p(x_missing | x_seen)"),
    "neighbours": ("neighbours:Neighbours", "the nearest images in latent space"),
}


def find_what(arguments: list[str]) -> str | None:
    """The kind of picture that a command line asks for; None if it asks for help on all of them.

    Raises:
        UserError: none that is known.
    """
    words = [word for word in arguments if not word.startswith("-")]
    named = [word for word in words[1:] if word in WHAT]  # not the first: a run may have any name
    if named:
        return named[0]
    if len(words) < 2 and (not arguments or {"-h", "--help"} & set(arguments)):
        return None
    if len(words) < 2:
        raise UserError(f"say a run and what to sample: ppl-vae sample RUN {'|'.join(WHAT)}.")
    raise unknown_name("thing to sample", words[1], WHAT)


def overview() -> str:
    """The help on all of them."""
    rows = "\n".join(f"  {name:<13}{what}" for name, (_, what) in WHAT.items())
    return (
        "usage: ppl-vae sample RUN WHAT ...\n\n"
        "Sample a trained model: arrays in an .npz, and a picture of them beside it.\n\n"
        f"{rows}\n\nexamples:\n  ppl-vae sample runs/digits-1 prior --num-samples 100\n"
        "  ppl-vae sample runs/digits-1 interpolate --images 0 5 9 --path spherical\n"
        "  ppl-vae sample runs/digits-1 arithmetic --from-label 4 --to-label 9\n\n"
        "ppl-vae sample RUN WHAT --help tells its flags."
    )
