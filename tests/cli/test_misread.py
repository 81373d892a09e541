"""What of a command line could not be read, in one line that offers what was meant."""

from dataclasses import fields

import pytest

from ppl_vae.cli.evaluate import Evaluate
from ppl_vae.cli.generators import Generators
from ppl_vae.cli.main import main
from ppl_vae.cli.train import Train

SWITCHES = [
    (command, f"--{form}{field.name.replace('_', '-')}")
    for command, kind in {"evaluate RUN": Evaluate, "train": Train, "generators RUN": Generators}.items()
    for field in fields(kind)
    if field.type is bool
    for form in ("", "no-")
]


@pytest.mark.parametrize(("command", "flag"), SWITCHES)
def test_of_a_switch_the_form_that_was_meant_is_offered(command, flag, capsys):
    """Each has two, --json and --no-json."""
    assert main([*command.split(), flag[:-1]]) == 2
    assert capsys.readouterr().err == f"ppl-vae: Unrecognized options: {flag[:-1]}; did you mean {flag}?\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("evaluate RUN --num-sampels 3", "--num-sampels, 3; did you mean --num-samples?"),
        ("evaluate RUN --num-sampels=3", "--num-sampels=3; did you mean --num-samples?"),
        ("evaluate RUN --no-diagnos --jsn", "--no-diagnos, --jsn; did you mean --no-diagnose, --json?"),
        ("evaluate RUN --zzzzzzz", "--zzzzzzz; see ppl-vae evaluate --help."),
    ],
)
def test_each_flag_has_its_nearest(words, said, capsys):
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"ppl-vae: Unrecognized options: {said}\n"
