"""What of a command line could not be read, in one line that offers what was meant."""

import re
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import pytest

import ppl_vae
from ppl_vae.cli.evaluate import Evaluate
from ppl_vae.cli.main import _parse, main
from ppl_vae.cli.misread import without_commas
from ppl_vae.cli.side_by_side.generators import Generators
from ppl_vae.cli.train import Train
from ppl_vae.runtime.errors import UserError

HEAVY = Path(__file__).resolve().parents[2] / "examples" / "heavy.py"
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "evaluate",
            "evaluate needs PATH, a run: a directory that 'ppl-vae train' wrote, a zip of it, or hf://OWNER/NAME on "
            "the Hugging Face Hub; see ppl-vae evaluate --help.",
        ),
        ("infer RUN --input x.npz", "infer needs --out PATH, the .npz to write; see ppl-vae infer --help."),
    ],
)
def test_what_is_missing_is_told_with_what_it_is(words, said, capsys):
    assert main(words.split()) == 2
    assert capsys.readouterr().err == f"ppl-vae: {said}\n"


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (["--hidden", "400,200"], ["--hidden", "400", "200"]),
        (["--hidden=400,200"], ["--hidden", "400", "200"]),
        (["--hidden", "400, 200"], ["--hidden", "400", "200"]),
        (["--hidden", "400", "200"], ["--hidden", "400", "200"]),
        (["--out=runs/a"], ["--out=runs/a"]),
    ],
)
def test_commas_stand_between_the_words_of_a_list(given, read):
    assert without_commas(given) == read


@pytest.mark.parametrize("words", ["--hidden 7,5", "--hidden=7,5", "--channels 4,6 --hidden 7,5"])
def test_a_list_may_have_commas(words):
    parsed = _parse(["train", *words.split()])
    assert tuple(parsed.settings.pair.settings["hidden"]) == (7, 5)


def test_a_comma_elsewhere_is_kept_and_complained_of_as_it_is(tmp_path):
    assert str(_parse(["train", "--out", "a,b"]).out) == "a,b"
    with pytest.raises(UserError, match="0,001"):
        _parse(["train", "--learning-rate", "0,001"])


def test_the_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"ppl-vae {ppl_vae.__version__}\n"
    assert ppl_vae.__version__ == version("ppl_vae")


def flags_in(text):
    return set(re.findall(r"^  (--[a-z][a-z-]*)", text, re.MULTILINE))


@pytest.mark.parametrize("command", ["train", "compare", "tune", "evaluate", "gaps", "infer", "baseline", "explore"])
def test_help_has_the_common_flags_and_all_of_them_where_they_are_asked_for(command, capsys):
    told = {}
    for flag in ("-h", "--help", "--help-all"):
        with pytest.raises(SystemExit) as stop:
            main([command, flag])
        assert stop.value.code == 0
        told[flag] = capsys.readouterr().out
    common, everything = flags_in(told["--help"]), flags_in(told["--help-all"])
    assert told["-h"] == told["--help"]
    assert common <= everything
    assert "examples:" in told["--help"]
    if told["--help"] != told["--help-all"]:
        assert told["--help"].endswith(f"More flags: ppl-vae {command} --help-all\n")
        assert 5 <= len(common) <= 34
    usual = {"train": {"--data", "--model", "--guide", "--latent-dim", "--hidden", "--epochs", "--seed", "--out"}}
    assert usual.get(command, {"--seed"}) <= common
    rare = {"train": {"--iaf-maps", "--adam-epsilon"}, "evaluate": {"--infer-rate", "--leapfrog"}}.get(command, set())
    assert rare <= everything - common


def test_the_settings_of_a_users_own_are_in_the_help(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--family", f"{HEAVY}:Heavy", "--help"])
    assert "--tail FLOAT" in capsys.readouterr().out
