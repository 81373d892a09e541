"""The command line: one dataclass a command, read by tyro; one line and exit status 2 for every mistake.

Imports nothing that takes time: ``ppl-vae --help`` answers at once, and so does a Ctrl-C.
"""

import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ppl_vae import __version__
from ppl_vae.cli.flags import as_flags, common_flags
from ppl_vae.cli.surroundings import (
    Signals,
    news_said,
    say,
    settle_environment,
)
from ppl_vae.runtime.errors import PictureWarning, UserError, in_words, refuse_too_little_memory, unknown_name
from ppl_vae.runtime.streams import Steady, steady_streams

if TYPE_CHECKING:
    from ppl_vae.runtime.processes import Group

# Name -> where its dataclass is (imported when it is called for) and what it does.
COMMANDS = {
    "train": ("ppl_vae.cli.train:Train", "train a model/guide pair and draw what it learned"),
    "evaluate": (
        "ppl_vae.cli.evaluate:Evaluate",
        "the ELBO and other estimates of log p(x), with their errors; diagnostics, calibration",
    ),
    "report": ("ppl_vae.cli.report:Report", "draw a run's pictures and report again, from more datapoints"),
    "compare": ("ppl_vae.cli.compare:Compare", "one model under several guides, side by side"),
    "tune": ("ppl_vae.cli.tune:Tune", "a study of settings by the validation bound"),
    "gaps": ("ppl_vae.cli.gaps:Gaps", "what inference loses: the approximation gap and the amortization gap"),
    "pack": ("ppl_vae.cli.pack:Pack", "a run as one file, which opens anywhere"),
    "infer": ("ppl_vae.cli.infer:Infer", "latents of new observations"),
    "bench": ("ppl_vae.cli.bench:Bench", "speed of a training step beside Pyro, PyTorch by hand and NumPyro"),
    "sample": ("ppl_vae.cli.sample.base:Sampling", "draw new data, reconstruct, and walk through latent space"),
    "holes": (
        "ppl_vae.cli.side_by_side.holes:Holes",
        "latent planes of runs side by side, and what their empty places decode to",
    ),
    "baseline": (
        "ppl_vae.cli.baseline:Baseline",
        "a generative Bayes classifier: a Gaussian or a mixture for each class",
    ),
    "perturb": (
        "ppl_vae.cli.side_by_side.perturb:Perturb",
        "codes moved step by step in a random direction, side by side on one scale",
    ),
    "generators": (
        "ppl_vae.cli.side_by_side.generators:Generators",
        "draws of baselines and of trained models side by side",
    ),
    "explore": ("ppl_vae.cli.explore:Explore", "one HTML file to play with the decoder in a browser"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: what follows ``ppl-vae``. None: the process's own, which is then the command's: its streams and
            signals are settled, and it is to end with the status.

    Returns:
        the exit status: 0 done, 1 another process is gone, 2 bad input, 130 interrupted.
    """
    own = arguments is None
    signals = Signals(own)
    try:
        status = _run(list(sys.argv[1:] if arguments is None else arguments), signals)
    except SystemExit:  # of a --help
        signals.ended(0)
        raise
    except KeyboardInterrupt:  # a second one, while the first was dealt with
        status = _complain("interrupted", 130)
    return signals.ended(status)


def _run(arguments: list[str], signals: Signals) -> int:
    output = steady_streams() if signals.own else None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper | Steady):
            stream.reconfigure(errors="replace")  # "±" on a terminal that has none
    settle_environment()
    try:
        if not arguments or arguments[0] in ("-h", "--help", "--help-all"):
            print(_overview())
            status = 0
        elif arguments[0] == "--version":
            print(f"ppl-vae {__version__}")
            status = 0
        else:
            status = _run_command(arguments, signals)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has stopped
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    if output and output.failure and not status:
        return _complain(f"cannot write the standard output: {output.failure.strerror}", 2)
    return status


def _run_command(arguments: list[str], signals: Signals) -> int:
    try:
        if signals.own:
            refuse_too_little_memory()
        from ppl_vae.runtime.processes import LostContactError, joined
    except (UserError, OSError) as error:  # what torch imports may want a temporary folder, and a full disk has none
        return _complain(*in_words(error, interrupted=bool(signals.count)))

    try:
        with joined() as group, redirect_stdout(sys.stdout if group.is_first else io.StringIO()):
            return _run_in(group, arguments, signals)
    except LostContactError as error:
        return _complain(str(error), 1)
    except UserError as error:
        return _complain(str(error), 2)


def _run_in(group: "Group", arguments: list[str], signals: Signals) -> int:
    from ppl_vae.runtime.processes import LostContactError

    command = None
    try:
        command = _parse(arguments)
        if group.size > 1 and arguments[0] != "train":
            raise UserError(f"'{arguments[0]}' runs in one process; start it without torchrun.")
        from ppl_vae.registry.files import users_errors_told

        signals.begin()
        with news_said(), _pictures_warn_once(), users_errors_told():
            command.run()
        sys.stdout.flush()
    except (SystemExit, BrokenPipeError):
        raise
    except LostContactError as error:
        _complain(str(error), 1, group)
        sys.stdout.flush()
        os._exit(1)  # an exit in good order would wait for the collective that cannot end
    except BaseException as error:
        message, status = in_words(error, interrupted=bool(signals.count))
        return _complain(as_flags(message, command), status, group)
    return 0


@contextmanager
def _pictures_warn_once() -> Iterator[None]:
    said: list[object] = []

    def show(message: Warning | str, category: type[Warning], *rest: Any, **more: Any) -> None:
        if not issubclass(category, PictureWarning):
            usual(message, category, *rest, **more)
        elif not said:
            said.append(message)
            print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        usual, warnings.showwarning = warnings.showwarning, show
        warnings.simplefilter("always", PictureWarning)
        yield


def _complain(message: str, status: int, group: "Group | None" = None) -> int:
    if group is None or group.says_first(message):
        say(message)
    return status


def _parse(arguments: list[str]) -> Any:
    name, *rest = map(_at_home, arguments)
    everything, rest = "--help-all" in rest, ["--help" if word == "--help-all" else word for word in rest]
    if sys.flags.optimize > 1:
        raise UserError("Pyro reads docstrings, which python -OO leaves out; unset PYTHONOPTIMIZE or set it to 1.")
    if name not in COMMANDS:
        raise unknown_name("command", name, COMMANDS)
    place, _ = COMMANDS[name]
    if name == "sample":
        from ppl_vae.cli.sample import WHAT, find_what, overview

        if not (what := find_what(rest)):
            print(overview())
            raise SystemExit(0)
        place = f"ppl_vae.cli.sample.{WHAT[what][0]}"
    module, _, class_name = place.partition(":")
    command = getattr(import_module(module), class_name)
    import tyro

    from ppl_vae.cli.misread import one_line, without_commas
    from ppl_vae.runtime.config import checked

    default, pair = _default_and_pair(name, command, rest)

    def parsed_from(words: list[str]) -> Any:
        captured, helped = io.StringIO(), io.StringIO()
        try:
            with redirect_stderr(captured), redirect_stdout(helped):
                prefixes = (tyro.conf.OmitArgPrefixes, tyro.conf.OmitSubcommandPrefixes)
                return tyro.cli(command, prog=f"ppl-vae {name}", args=words, config=prefixes, registry=pair, **default)
        except SystemExit as stop:
            if stop.code in (0, None):
                print((helped.getvalue() if everything else common_flags(helped.getvalue(), name)).rstrip())
                raise
            raise UserError(one_line(captured.getvalue(), name, rest)) from None

    try:
        parsed = parsed_from(rest)
    except UserError as error:
        try:
            if (split := without_commas(rest)) == rest:
                raise
            parsed = parsed_from(split)
        except UserError:
            raise error from None
    try:
        return checked(parsed)
    except UserError as error:
        raise UserError(as_flags(str(error), parsed)) from None


def _at_home(word: str) -> str:
    """``--out=~/runs`` with the user's folder in it; a shell sees to that in words of its own only."""
    flag, is_flag, value = word.partition("=")
    home = os.path.expanduser(value)  # noqa: PTH111  # which leaves all else as it is written, and raises nothing
    return f"{flag}={home}" if is_flag and flag.startswith("--") else word


def _default_and_pair(name: str, command: Any, arguments: list[str]) -> tuple[dict[str, Any], Any]:
    """What is not given, and how the flags of a pair are read, where the command has them.

    With ``--resume RUN`` the settings that are not given are the run's, with ``--preset NAME`` the preset's.
    """
    if name not in ("train", "compare", "tune"):
        return {}, None
    from ppl_vae.cli.pair_flags import flags_of_run, named_in, pair_flags, pairs_compared, value_of
    from ppl_vae.runs.run import TrainConfig

    if name == "compare":
        return {}, pair_flags(command, pairs_compared(arguments), arguments)
    if name == "tune":
        return {}, pair_flags(command, [named_in(arguments, TrainConfig().pair)], arguments)
    from ppl_vae.registry.presets import PRESETS
    from ppl_vae.runs.run import Run

    path, preset = (value_of(flag, arguments) for flag in ("--resume", "--preset"))
    if path is not None and preset is not None:
        raise UserError("--preset and --resume exclude each other: a resumed run keeps its settings.")
    if path:
        settings = Run.open(Path(path)).record.config
        return {"default": command(settings=settings)}, flags_of_run(settings.pair, arguments)
    if preset and preset not in PRESETS:
        raise unknown_name("preset", preset, PRESETS)
    settings = TrainConfig(pair=PRESETS[preset]) if preset else TrainConfig()
    return {"default": command(settings=settings)}, pair_flags(command, [named_in(arguments, settings.pair)], arguments)


def _overview() -> str:
    rows = "\n".join(f"  {name:<11}{what}" for name, (_, what) in COMMANDS.items())
    return (
        "usage: ppl-vae COMMAND ...\n\nVariational autoencoders as Pyro model/guide pairs.\n\n"
        f"{rows}\n\nexamples:\n  ppl-vae train\n  ppl-vae evaluate runs/digits-1 --estimator iwae --num-samples 500\n\n"
        "ppl-vae COMMAND --help tells a command's common flags, --help-all all of them."
    )
