"""The settings of a pair on the command line: those that its parts have, ours and a user's, and no other."""

import io
import re
import shutil
from contextlib import redirect_stdout
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import yaml

from ppl_vae.cli.main import main
from ppl_vae.cli.pair_flags import flags_of_run
from ppl_vae.objectives.named import OBJECTIVES
from ppl_vae.registry.factories import TABLES
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.runs.opened import opened
from ppl_vae.runs.run import Run
from ppl_vae.training import FitConfig
from tests.cli import own_parts

FILE = Path(own_parts.__file__)
RECORD = Path(__file__).parents[1] / "runs" / "formats" / "1"
MINE = Path(__file__).parents[2] / "examples" / "mine.py"
TINY = ["--epochs", "1", "--hidden", "3", "--latent-dim", "2", "--device", "cpu"]


@pytest.fixture
def few(npz):
    rng = np.random.default_rng(0)
    return ["--data", npz(x=rng.random((20, 3, 3)) > 0.5), "--binarization", "none", "--validation-fraction", "0"]


@pytest.fixture
def own(tmp_path):
    """A user's file beside the run, and how to name its parts."""
    file = shutil.copy(FILE, tmp_path / "mine.py")
    return lambda *kinds: [word for kind in kinds for word in (f"--{kind[0]}", f"{file}:{kind[1]}")]


ALL = (("model", "Student"), ("family", "Heavy"), ("likelihood", "Blurred"), ("prior", "Wide"))

# What is set, and what would read it.
MISUSES = {
    "refinement of an encoder": (["--refinement-steps", "9"], "--refinement-steps", "--guide semi-amortized."),
    "its training": (["--refinement-training", "separate"], "--refinement-training", "--guide semi-amortized."),
    "widths of rows and a line": (
        ["--hidden", "3", "--model", "linear-gaussian", "--guide", "per-datapoint"],
        "--hidden",
        "models and guides with networks.",
    ),
    "activation of an LSTM": (["--activation", "tanh", "--model", "sequence"], "--activation", "--model hierarchical"),
    "family of a user's guide": (
        ["--family", "full-rank", "--guide", f"{MINE}:Guide", "--model", f"{MINE}:Mine"],
        "--family",
        "--guide amortized, per-datapoint, mean-field, semi-amortized; --prior vamp.",
    ),
    "networks of rows and a line": (
        ["--net", "conv", "--model", "linear-gaussian", "--guide", "per-datapoint"],
        "--net",
        "--model vae, conditional, hierarchical, sequence; --guide amortized, semi-amortized; --prior vamp.",
    ),
    "activation of rows and a line": (
        ["--activation", "tanh", "--model", "linear-gaussian", "--guide", "per-datapoint"],
        "--activation",
        "models and guides with networks.",
    ),
    "word dropout of pixels": (["--word-dropout", "0.5"], "--word-dropout", "--model sequence."),
    "components of one": (["--num-components", "7"], "--num-components", "--prior mixture, vamp."),
    "convolutions of none": (["--channels", "4", "8"], "--channels", "--net conv."),
    "given as it is anyway": (["--refinement-steps", "5"], "--refinement-steps", "--guide semi-amortized."),
    "size of z": (
        ["--latent-dim", "3", "--model", f"{FILE}:Fixed"],
        "--latent-dim",
        "what does: --model vae, conditional, hierarchical, sequence, linear-gaussian, two-layer-linear-gaussian.",
    ),
    "a user's setting": (["--tail", "3", "--family", f"{FILE}:Heavy", "--guide", f"{MINE}:Guide"], "--tail", "it."),
}


@pytest.mark.parametrize("row", MISUSES)
def test_what_nothing_in_the_pair_reads_is_refused_in_one_line_that_says_what_would(cli, few, tmp_path, row):
    flags, name, readers = MISUSES[row]
    status, out, err = cli("train", *few, *flags, "--out", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"{name}: nothing in this pair reads it" in err
    assert readers in err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tail", "0.5"], "--tail: must be greater than 1, got 0.5"),
        (["--tail", "heavy"], "--tail"),
        (["--tial", "3"], "did you mean --tail?"),
        (["--shape", "square"], "invalid choice 'square'"),
        (["--hidden", "0"], "--hidden: must be greater than 0"),
    ],
)
def test_a_users_setting_has_its_type_and_range(cli, few, own, tmp_path, flags, words):
    status, out, err = cli("train", *few, *own(*ALL), *flags, "--out", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert words in err
    assert not (tmp_path / "run").exists()


SETTINGS_OF_FAMILIES = {
    "low-rank": ({"rank": None}, {"rank": 1}, lambda family: family.rank),
    "planar": ({"num_maps": 8}, {"num_maps": 3}, lambda family: family.num_maps),
    "iaf": (
        {"iaf_maps": 2, "iaf_hidden": 128},
        {"iaf_maps": 1, "iaf_hidden": 16},
        lambda family: (len(family.maps), family.maps[0].nn.layers[0].out_features),
    ),
}


@pytest.mark.parametrize("name", SETTINGS_OF_FAMILIES)
def test_our_families_have_settings_and_runs_from_before_have_the_usual_ones(cli, few, tmp_path, name):
    usual, chosen, read = SETTINGS_OF_FAMILIES[name]
    flags = [word for key, value in chosen.items() for word in (f"--{key.replace('_', '-')}", value)]
    words = ["train", *few, *TINY, "--family", name]
    assert cli(*words, *flags, "--out", tmp_path / "chosen")[0] == 0
    found = opened(tmp_path / "chosen", "cpu")
    assert chosen.items() <= found.settings.pair.settings.items()
    values = read(found.guide.family)
    assert (values if isinstance(values, tuple) else (values,)) == tuple(chosen.values())
    assert cli(*words, "--out", tmp_path / "usual")[0] == 0
    record = tmp_path / "usual" / "config.yaml"
    plain = yaml.safe_load(record.read_text())
    before = plain["config"]["pair"]["settings"]
    assert usual.items() <= before.items()
    for key in usual:
        del before[key]
    record.write_text(yaml.safe_dump(plain, sort_keys=False))
    assert cli("evaluate", tmp_path / "usual", "--limit", 2, "--split", "train", "--no-diagnose")[0] == 0
    assert cli("train", "--resume", tmp_path / "usual", "--epochs", 2)[0] == 0
    assert usual.items() <= yaml.safe_load(record.read_text())["config"]["pair"]["settings"].items()


NOTHING_OF_THE_PAIR = "no part of this pair has a setting of that name; see ppl-vae"


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("train --dof 4", f"--dof, 4; {NOTHING_OF_THE_PAIR} train --help."),
        ("train --no-dof", f"--no-dof; {NOTHING_OF_THE_PAIR} train --help."),
        ("train --tail 3 --model FILE:Student", f"--tail, 3; {NOTHING_OF_THE_PAIR} train --help."),
        ("compare --guides amortized mean-field --tail 3", f"--tail, 3; {NOTHING_OF_THE_PAIR} compare --help."),
        (
            "train --x-scale 2 --model FILE:Positional",
            "model FILE:Positional takes it, but only a keyword-only parameter (after *) is a setting; see",
        ),
        ("train --epchs 4", "did you mean --epochs?"),
        (
            "evaluate RUN --word-dropout 0.1",
            "it is set in training, for --model sequence; see ppl-vae evaluate --help.",
        ),
        ("gaps RUN --dof 4", "--dof, 4; see ppl-vae gaps --help."),
    ],
)
def test_of_a_flag_that_there_is_not_it_is_told_whose_it_would_be(cli, words, why):
    status, out, err = cli(*words.replace("FILE", str(FILE)).split())
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert why.replace("FILE", str(FILE)) in err


def test_of_a_class_that_there_is_not_those_are_told_that_could_serve(cli, tmp_path):
    """Not what a file imports from us or torch, nor a part of another kind."""
    file = shutil.copy(FILE, tmp_path / "mine.py")
    Path(file).write_text(
        f"from torch.nn import Linear, Module\nfrom ppl_vae.guides import Diagonal\n{FILE.read_text()}"
    )
    for kind, known in (
        ("model", "Fixed, Needy, Positional, Student, Taken"),
        ("family", "Heavy"),
        ("likelihood", "Blurred"),
        ("prior", "Wide"),
    ):
        err = cli("train", f"--{kind}", f"{file}:Nothing")[2]
        assert err.startswith(f"ppl-vae: unknown {kind} in {file} 'Nothing' (known: {known}); ")
    err = cli("train", "--guide", f"{file}:Nothing")[2]
    assert f": no class in '{file}' could be a guide; derive one from pyro.nn.PyroModule." in err


@pytest.mark.parametrize(("kind", "lacking"), [("family", "num_params"), ("likelihood", "start")])
def test_a_part_of_another_kind_is_refused(cli, few, own, kind, lacking):
    status, out, err = cli("train", *few, *own((kind, "Wide")))
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert f"mine.py:Wide has no '{lacking}'; derive it from ppl_vae." in err


def test_the_help_has_the_settings_of_what_is_named(cli, own, capsys):
    with pytest.raises(SystemExit):
        cli("train", *own(*ALL), "--help-all")
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "--dof FLOAT Degrees of freedom of the noise. More of them make lighter tails. (default: 5.0)" in said
    assert "--tail FLOAT Degrees of freedom of q. (default: 4.0)" in said
    assert "--shape {round,flat}" in said
    assert "With --guide semi-amortized: gradient steps from the encoder's proposal. (default: 5)" in said


@pytest.fixture(scope="module")
def told_by_help():
    """What ``train --help-all`` says of each flag."""
    told = io.StringIO()
    with pytest.raises(SystemExit), redirect_stdout(told):
        main(["train", "--help-all"])
    said = " ".join(told.getvalue().replace("│", " ").split())
    return {
        name: words for name, _, words in (part.partition(" ") for part in re.split(r" (?=--\w[\w-]* [A-Z{])", said))
    }


@pytest.mark.parametrize(
    ("flag", "names"), [*((f"--{kind}", [*table]) for kind, table in TABLES.items()), ("--objective", [*OBJECTIVES])]
)
def test_the_help_of_a_flag_has_every_name_that_it_takes(told_by_help, flag, names):
    said = told_by_help[flag].partition("(default")[0].partition("}")
    words = re.findall(r"[\w-]+", said[2] or said[0])  # choices in braces are not words on them
    assert [name for name in names if name not in words] == []


CHOICES = {name: get_args(kind) for name, kind in get_type_hints(FitConfig).items() if get_origin(kind) is Literal}


@pytest.mark.parametrize("name", CHOICES)
def test_a_choice_that_there_is_not_is_told_with_the_nearest(cli, name):
    for choice in CHOICES[name]:
        status, out, err = cli("train", f"--{name}", f"{choice}x")
        assert (status, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"ppl-vae: invalid choice '{choice}x' for argument '--{name}'. Expected one of (")
        assert err.endswith(f"did you mean '{choice}'?\n")
    assert cli("train", f"--{name}", "@")[2].endswith("; see ppl-vae train --help.\n")


def test_a_setting_of_the_name_of_a_flag_is_refused(cli, own):
    status, _, err = cli("train", *own(("model", "Taken")))
    assert (status, err.count("\n")) == (2, 1)
    assert "its setting 'epochs' has the name of a flag that is there already; rename it." in err


def test_a_setting_without_a_default_is_asked_for(cli, few, own, tmp_path):
    status, _, err = cli("train", *few, *own(("model", "Needy")), "--out", tmp_path / "run")
    assert (status, err) == (2, "ppl-vae: train needs --order INT; see ppl-vae train --help.\n")


PARTS_READ = {
    "a network": ([], {"family", "likelihood", "prior", "net"}),
    "a line with an encoder": (["--model", "linear-gaussian", "--binarization", "none"], {"family", "net"}),
    "a line with rows": (["--model", "linear-gaussian", "--guide", "mean-field"], {"family"}),
    "a user's pair": (["--model", f"{MINE}:Mine", "--guide", f"{MINE}:Guide"], set()),
}


@pytest.mark.parametrize("row", PARTS_READ)
def test_a_run_records_the_parts_that_its_pair_reads_and_opens_and_goes_on(cli, few, tmp_path, monkeypatch, row):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    flags, read = PARTS_READ[row]
    tiny = [*TINY[:2], *TINY[4:]] if "mean-field" in flags else TINY
    run = tmp_path / "run"
    status, _, err = cli("train", *few, *tiny, *flags, "--out", run)
    assert status == 0, err
    for epochs in ("2", "3"):
        recorded = yaml.safe_load((run / "config.yaml").read_text())["config"]["pair"]
        assert recorded.keys() - {"model", "guide", "settings"} == read
        status, _, err = cli("train", "--resume", run, "--epochs", epochs)
        assert status == 0, err


def test_a_run_records_what_its_pair_reads_and_goes_on_without_running_its_files_to_know_them(
    cli, few, own, tmp_path, monkeypatch
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    run = tmp_path / "run"
    words = ["--dof", "4", "--tail", "3", "--flipped", "0.2", "--width", "2"]
    assert cli("train", *few, *TINY, *own(*ALL), *words, "--out", run)[0] == 0
    record = yaml.safe_load((run / "config.yaml").read_text())
    assert record["config"]["pair"] == {
        "model": f"{tmp_path / 'mine.py'}:Student",
        "guide": "amortized",
        "family": f"{tmp_path / 'mine.py'}:Heavy",
        "likelihood": f"{tmp_path / 'mine.py'}:Blurred",
        "prior": f"{tmp_path / 'mine.py'}:Wide",
        "net": "mlp",
        "settings": {
            "dof": 4.0,
            "tail": 3.0,
            "flipped": 0.2,
            "width": 2.0,
            "shape": "round",
            "latent_dim": 2,
            "hidden": [3],
            "activation": "relu",
        },
    }
    assert list(record["files"]) == [str(tmp_path / "mine.py")]
    status, _, err = cli("train", "--resume", run, "--tail", "4", "--epochs", "2")
    assert (status, "--tail cannot change when a run goes on" in err) == (2, True)
    assert cli("train", "--resume", run, "--tail", "3", "--epochs", "2")[0] == 0
    assert yaml.safe_load((run / "config.yaml").read_text())["config"]["pair"] == record["config"]["pair"]
    # A default that changes in the file later is not that of a run which was made before.
    text = (tmp_path / "mine.py").read_text().replace('"round", "flat"] = "round"', '"round", "flat"] = "flat"')
    (tmp_path / "mine.py").write_text(text)
    assert Run.open(run).record.config.pair.settings["shape"] == "round"


@pytest.mark.slow  # half a minute
def test_ones_own_parts_end_to_end(cli, few, own, tmp_path, shown, monkeypatch):
    """Train, resume, evaluate, compare and the reports, with settings of the model, family, likelihood and prior."""
    run, file = tmp_path / "run", tmp_path / "mine.py"
    words = ["--dof", "4", "--tail", "3"]
    with shown("training"):
        assert cli("train", *few, *TINY, *own(*ALL), *words, "--out", run)[0] == 0
        status, out, err = cli("train", "--resume", run, "--epochs", "2")
    assert (status, err) == (0, "")
    page = (run / "report.html").read_text()
    assert "4.0: degrees of freedom of the noise</td>" in page
    assert f"--family {file}:Heavy --likelihood {file}:Blurred --prior {file}:Wide --dof 4.0 --tail 3.0" in page
    status, out, err = cli("evaluate", run, "--estimator", "iwae", "--num-samples", "20")
    assert (status, err) == (0, "")
    assert "log_px" in out
    monkeypatch.chdir(tmp_path)
    guides = ["--guides", "amortized", "amortized:mine.py:Heavy", "mean-field"]
    parts = own(*(part for part in ALL if part[0] != "family"))
    terms = [*guides, *few, *TINY, *parts, *words, "--seeds", "1", "--workers", "1", "--num-samples", "20"]
    terms += ["--infer-steps", "20", "--infer-window", "10", "--infer-starts", "1"]
    status, out, err = cli("compare", *terms, "--out", tmp_path / "table")
    assert (status, err) == (0, "")
    found = {each.parent.name: yaml.safe_load(each.read_text()) for each in (tmp_path / "table").glob("*/config.yaml")}
    assert set(found) == {"amortized-seed0", "amortized-mine-Heavy-seed0", "mean-field-seed0"}
    settings = {name: each["config"]["pair"]["settings"] for name, each in found.items()}
    assert [each["dof"] for each in settings.values()] == [4.0, 4.0, 4.0]
    assert {name: each.get("tail") for name, each in settings.items()} == {
        "amortized-seed0": None,
        "amortized-mine-Heavy-seed0": 3.0,
        "mean-field-seed0": None,
    }
    page = (tmp_path / "table" / "report.html").read_text()
    assert "--dof 4.0 --tail 3.0" in page
    assert cli("compare", *terms, "--out", tmp_path / "table")[0] == 0  # the same command goes on
    status, _, err = cli("compare", *terms, "--dof", "5", "--out", tmp_path / "table")
    assert (status, "other terms" in err) == (2, True)
    status, _, err = cli("compare", *terms, "--refinement-steps", "5", "--out", tmp_path / "new")
    assert (status, "--refinement-steps: nothing in this pair reads it" in err) == (2, True)


# --- Records of before ------------------------------------------------------------------------------------------------


@pytest.fixture
def flat(tmp_path, monkeypatch):
    """A run from when all settings stood side by side, those too that nothing read (here 9 refinement steps)."""
    shutil.copytree(RECORD, tmp_path / "flat")
    monkeypatch.chdir(tmp_path / "flat")
    return tmp_path / "flat"


def test_a_run_of_an_earlier_version_opens_as_what_it_was(cli, flat):
    """Its bound, of as many draws from the same seed, is what that version gave."""
    status, out, err = cli("evaluate", flat, "--split", "train", "--estimator", "iwae", "--num-samples", "5", "--json")
    assert (status, err) == (0, "")
    assert float(out.split('"log_px": ')[1].split(",")[0]) == pytest.approx(-6.401518106460571, rel=1e-5)
    assert Run.open(flat).record.config.pair.settings["refinement_steps"] == 9


def test_a_run_of_an_earlier_version_goes_on_and_is_recorded_as_now(cli, flat):
    status, _, err = cli("train", "--resume", flat, "--epochs", "3")
    assert (status, err) == (0, "")
    pair = yaml.safe_load((flat / "config.yaml").read_text())["config"]["pair"]
    assert pair["settings"] == {"latent_dim": 2, "hidden": [3], "activation": "relu"}
    assert len(Run.open(flat).history()) == 3
    status, _, err = cli("train", "--resume", flat, "--epochs", "4", "--hidden", "4")
    assert (status, "--hidden cannot change when a run goes on" in err) == (2, True)


@pytest.mark.parametrize(("old", "new"), [("latent_dim: 2", "latent_dim: {a: 1}"), ("hidden:", "hid den:")])
def test_a_record_with_what_can_be_no_setting_is_refused(cli, flat, old, new):
    file = flat / "config.yaml"
    file.write_text(file.read_text().replace(old, new))
    for command in (("evaluate", flat), ("train", "--resume", flat, "--epochs", "3")):
        status, out, err = cli(*command)
        assert (status, out, err.count("\n"), "config.yaml" in err) == (2, "", 1, True)


def test_to_go_on_with_a_run_no_file_is_run_before_it_is_trusted():
    pair = PairConfig("/nowhere/mine.py:Model", settings={"dof": 4.0, "widths": [1, 2], "none": [], "rank": None})
    flags_of_run(pair, ["--dof", "3"])


def test_what_is_no_setting_of_an_earlier_version_is_no_record(cli, flat):
    file = flat / "config.yaml"
    file.write_text(file.read_text().replace("word_dropout", "word_drop"))
    status, _, err = cli("evaluate", flat)
    assert (status, "config.yaml" in err, "word_drop" in err) == (2, True, True)
