"""Every entry point against a table of bad inputs: one line that says what and what to do, exit 2, nothing written."""

import shutil

import numpy as np
import pytest
import torch

IMAGES = np.random.default_rng(0).random((20, 4, 4), dtype=np.float32)


class Evil:
    def __init__(self, marker):
        self.marker = str(marker)

    def __reduce__(self):
        import os

        return (os.mkdir, (self.marker,))


def refused(result, *parts):
    status, out, err = result
    assert status == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    assert "Traceback" not in err
    for part in parts:
        assert part in err


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


TRAIN_ROWS = {
    "unknown data set": (["--data", "digit"], ["unknown data set 'digit'", "did you mean 'digits'"]),
    "unknown model": (["--model", "vea"], ["unknown model 'vea'", "did you mean 'vae'"]),
    "a family as guide": (["--guide", "point"], ["'point' is a family", "--family point"]),
    "unknown guide": (["--guide", "amortised"], ["unknown guide", "did you mean 'amortized'"]),
    "unknown family": (["--family", "fullrank"], ["unknown family", "did you mean 'full-rank'"]),
    "unknown binarization": (["--binarization", "dynamc"], ["invalid choice 'dynamc'", "dynamic"]),
    "unknown activation": (["--activation", "rleu"], ["invalid choice 'rleu'", "relu"]),
    "unknown objective": (["--objective", "elb"], ["invalid choice 'elb'", "elbo"]),
    "unknown flag": (["--epchs", "3"], ["--epchs", "did you mean --epochs"]),
    "word for a number": (["--epochs", "many"], ["--epochs", "many"]),
    "no epochs": (["--epochs", "0"], ["--epochs", "greater than 0"]),
    "negative epochs": (["--epochs", "-3"], ["--epochs", "greater than 0"]),
    "empty batch": (["--batch-size", "0"], ["--batch-size", "greater than or equal to 1"]),
    "no latent": (["--latent-dim", "0"], ["--latent-dim", "greater than 0"]),
    "empty layer": (["--hidden", "400", "0"], ["--hidden", "greater than 0"]),
    "negative step": (["--learning-rate", "-1"], ["--learning-rate", "greater than 0"]),
    "NaN step": (["--learning-rate", "nan"], ["--learning-rate", "finite"]),
    "infinite weight": (["--kl-weight", "inf"], ["--kl-weight", "finite"]),
    "negative weight": (["--kl-weight", "-1"], ["--kl-weight", "greater than or equal to 0"]),
    "rows of none": (
        ["--row-learning-rate", "0.1"],
        ["--row-learning-rate: nothing", "per-datapoint guides"],
    ),
    "unknown optimizer": (["--optimizer", "RMSprob"], ["unknown optimizer 'RMSprob'", "did you mean 'RMSprop'"]),
    "an optimizer with a closure": (["--optimizer", "LBFGS"], ["--optimizer LBFGS asks for the loss several times"]),
    "an optimizer of matrices": (["--optimizer", "Muon"], ["--optimizer Muon cannot move this pair", "2D"]),
    "unknown option of an optimizer": (
        ["--optimizer", "SGD", "--optimizer-options", "momentun=0.9"],
        ["--optimizer-options: SGD has no 'momentun'", "did you mean 'momentum'"],
    ),
    "epsilon of no Adam": (["--optimizer", "SGD", "--adam-epsilon", "0.1"], ["--adam-epsilon: nothing here reads it"]),
    "zero clip": (["--clip-norm", "0"], ["--clip-norm", "greater than 0"]),
    "negative seed": (["--seed", "-1"], ["--seed", "greater than or equal to 0"]),
    "whole set held out": (["--validation-fraction", "1"], ["--validation-fraction", "less than 1"]),
    "nothing to train on": (["--validation-fraction", "0.9999"], ["too few to leave any for training"]),
    "patience without validation": (["--validation-fraction", "0", "--patience", "3"], ["patience", "validation"]),
    "no such device": (["--device", "cuda:99"], ["cuda:99", "--device auto"]),
    "unknown device": (["--device", "gpu"], ["unknown device 'gpu'"]),
    "missing npz": (["--data", "nowhere.npz"], ["nowhere.npz: no such file"]),
    "missing user file": (["--model", "nowhere.py:Model"], ["there is no file", "nowhere.py"]),
    "user file without class": (["--model", "nowhere.py"], ["path/to/file.py:Class"]),
    "resume nothing": (["--resume", "nowhere"], ["nowhere", "ppl-vae train"]),
    "a preset of a run": (["--resume", "nowhere", "--preset", "burda-1"], ["--preset and --resume exclude each other"]),
    "two presets, the last unknown": (["--preset", "burda-1", "--preset=burdr-2"], ["unknown preset", "'burda-2'"]),
    "convolutions of sequences": (["--model", "sequence", "--net", "conv"], ["recurrent", "leave --net out"]),
    "a film of two latents": (
        ["--model", "hierarchical", "--latent-dim", "2", "--film"],
        ["--film", "a model of one latent"],
    ),
}


@pytest.mark.parametrize("row", TRAIN_ROWS)
def test_train_refuses(cli, tmp_path, row):
    arguments, parts = TRAIN_ROWS[row]
    refused(cli("train", *arguments, *([] if "--resume" in arguments else ["--out", tmp_path / "run"])), *parts)
    assert list(tmp_path.iterdir()) == []


NPZ_ROWS = {
    "no x": ({"images": IMAGES}, ["no array 'x'", "images"]),
    "one dimension": ({"x": IMAGES[:, 0, 0]}, ["shape (20,)", "(N, D)"]),
    "empty": ({"x": IMAGES[:0]}, ["empty"]),
    "NaN": ({"x": np.nan * IMAGES}, ["all of x is missing"]),
    "infinite": ({"x": np.where(IMAGES > 0.5, np.inf, IMAGES)}, ["infinity"]),
    "above one": ({"x": 255 * IMAGES}, ["scale it into [0, 1]", "--likelihood normal"]),
    "below zero": ({"x": IMAGES - 0.5}, ["scale it into [0, 1]", "--binarization none"]),
    "wide integers": ({"x": (IMAGES * 999).astype(np.int64)}, ["integers from", "float in [0, 1]", "uint8"]),
    "words": ({"x": np.array([["a", "b"]])}, ["x is <U1", "uint8"]),
    "objects": ({"x": np.array([[{}]], dtype=object)}, ["pickled", "never loaded"]),
    "labels too short": ({"x": IMAGES, "y": np.zeros(3, dtype=int)}, ["y has shape (3,)", "20"]),
    "labels that nobody knows": ({"x": IMAGES, "y": np.full(20, np.nan)}, ["y holds nan, first in row 0"]),
    "labels that are blank": ({"x": IMAGES, "y": np.array([" "] * 20)}, ["y holds ' '", "a name has 1 to 60"]),
    "labels beyond float": ({"x": IMAGES, "y": np.full(20, 2**60)}, ["y holds 1152921504606846976, too large"]),
    "one observation": ({"x": IMAGES[:1]}, ["too few to leave any for training"]),
}


@pytest.mark.parametrize("row", NPZ_ROWS)
def test_train_refuses_npz(cli, tmp_path, npz, row):
    arrays, parts = NPZ_ROWS[row]
    extra = ["--binarization", "dynamic", *(["--test-fraction", "0.9"] if row == "one observation" else [])]
    refused(cli("train", "--data", npz(**arrays), *extra, "--out", tmp_path / "run"), *parts)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 cut short"])
def test_train_refuses_a_file_that_is_no_npz(cli, tmp_path, content):
    path = tmp_path / "broken.npz"
    path.write_bytes(content)
    refused(cli("train", "--data", path, "--out", tmp_path / "run"), "not a readable .npz")
    assert not (tmp_path / "run").exists()


def test_train_refuses_an_npz_of_a_bare_array(cli, tmp_path):
    np.save(tmp_path / "bare.npy", IMAGES)
    (tmp_path / "bare.npy").rename(tmp_path / "bare.npz")
    refused(cli("train", "--data", tmp_path / "bare.npz", "--out", tmp_path / "run"), "not a readable .npz")


def test_train_refuses_to_overwrite(cli, trained, tmp_path):
    before = snapshot(trained)
    refused(cli("train", "--out", trained), "holds a run already", f"--resume {trained}", "--out")
    assert snapshot(trained) == before
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "mine.txt").write_text("keep")
    refused(cli("train", "--out", tmp_path / "letters"), "not empty", "--out")
    refused(cli("train", "--out", tmp_path / "letters" / "mine.txt"), "--out")
    assert (tmp_path / "letters" / "mine.txt").read_text() == "keep"


def test_resume_refuses_another_run(cli, trained):
    before = snapshot(trained)
    refused(cli("train", "--resume", trained, "--latent-dim", "3"), "--latent-dim cannot change")
    refused(
        cli("train", "--resume", trained, "--data-seed", "1", "--learning-rate", "1"), "--data-seed", "--learning-rate"
    )
    refused(cli("train", "--resume", trained, "--out", "elsewhere"), "exclude each other")
    assert snapshot(trained) == before


RUN_COMMANDS = {
    "evaluate": ["evaluate", "RUN"],
    "gaps": ["gaps", "RUN"],
    "sample": ["sample", "RUN", "prior"],
    "infer": ["infer", "RUN", "--input", "NPZ", "--out", "OUT"],
    "resume": ["train", "--resume", "RUN", "--epochs", "9"],
}


def fill(command, run, npz, tmp_path):
    places = {"RUN": run, "NPZ": npz(x=np.zeros((3, 8, 8), dtype=np.uint8)), "OUT": tmp_path / "out.npz"}
    return [places.get(word, word) for word in RUN_COMMANDS[command]]


@pytest.fixture
def run_copy(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "copy")


@pytest.mark.parametrize("command", RUN_COMMANDS)
class TestDamagedRuns:
    def check(self, cli, command, run, npz, tmp_path, *parts):
        arguments = fill(command, run, npz, tmp_path)
        before = snapshot(tmp_path)
        refused(cli(*arguments), *parts)
        assert snapshot(tmp_path) == before

    def test_missing(self, cli, command, npz, tmp_path):
        self.check(cli, command, tmp_path / "nowhere", npz, tmp_path, "does not exist", "ppl-vae train")

    def test_not_a_run(self, cli, command, npz, tmp_path):
        (tmp_path / "folder").mkdir()
        self.check(cli, command, tmp_path / "folder", npz, tmp_path, "is no run directory")

    def test_config_is_not_yaml(self, cli, command, run_copy, npz, tmp_path):
        (run_copy / "config.yaml").write_text("config: [")
        self.check(cli, command, run_copy, npz, tmp_path, "config.yaml", "not YAML")

    @pytest.mark.parametrize("text", ["", "42", "a: 1", "config: {fit: {epochs: -1}}", "config: {pair: {x: 1}}"])
    def test_config_is_foreign(self, cli, command, run_copy, npz, tmp_path, text):
        (run_copy / "config.yaml").write_text(text)
        self.check(cli, command, run_copy, npz, tmp_path, "config.yaml")

    def test_config_is_binary(self, cli, command, run_copy, npz, tmp_path):
        (run_copy / "config.yaml").write_bytes(b"\xff\xfe\x00\x01")
        self.check(cli, command, run_copy, npz, tmp_path, "config.yaml")

    def test_no_checkpoint(self, cli, command, run_copy, npz, tmp_path):
        (run_copy / "checkpoint.pt").unlink()
        self.check(cli, command, run_copy, npz, tmp_path, "no checkpoint")

    @pytest.mark.parametrize("kept", [0, 100, -100])
    def test_truncated_checkpoint(self, cli, command, run_copy, npz, tmp_path, kept):
        file = run_copy / "checkpoint.pt"
        file.write_bytes(file.read_bytes()[:kept])
        self.check(cli, command, run_copy, npz, tmp_path, "checkpoint.pt")

    @pytest.mark.parametrize("kept", [0, 100, -100, None])
    def test_damaged_weights(self, cli, command, run_copy, npz, tmp_path, kept):
        file = run_copy / "model.safetensors"
        data = file.read_bytes()
        file.write_bytes(data[:kept] if kept is not None else data[:-4] + bytes(255 - byte for byte in data[-4:]))
        self.check(cli, command, run_copy, npz, tmp_path, "damaged")

    def test_no_weights(self, cli, command, run_copy, npz, tmp_path):
        (run_copy / "model.safetensors").unlink()
        self.check(cli, command, run_copy, npz, tmp_path, "missing or damaged")

    def test_foreign_checkpoint(self, cli, command, run_copy, npz, tmp_path):
        torch.save({"state_dict": {}}, run_copy / "checkpoint.pt")
        self.check(cli, command, run_copy, npz, tmp_path, "not a checkpoint of this version")

    def test_checkpoint_of_another_pair(self, cli, command, run_copy, npz, tmp_path):
        state = torch.load(run_copy / "checkpoint.pt", weights_only=True)
        state["model"] = {"other": torch.zeros(3)}
        torch.save(state, run_copy / "checkpoint.pt")
        self.check(cli, command, run_copy, npz, tmp_path, "checkpoint.pt", "another")

    def test_malicious_checkpoint(self, cli, command, run_copy, npz, tmp_path):
        torch.save({"format": "ppl_vae checkpoint 1", "model": Evil(tmp_path / "pwned")}, run_copy / "checkpoint.pt")
        self.check(cli, command, run_copy, npz, tmp_path, "refused")
        assert not (tmp_path / "pwned").exists()


OTHER_ROWS = {
    "unknown command": (["trian"], ["unknown command 'trian'", "did you mean 'train'"]),
    "unknown estimator": (["evaluate", "RUN", "--estimator", "iwea"], ["invalid choice 'iwea'"]),
    "no samples": (["evaluate", "RUN", "--num-samples", "0"], ["--num-samples", "greater than 0"]),
    "no datapoints": (["evaluate", "RUN", "--limit", "0"], ["--limit", "greater than 0"]),
    "unknown split": (["evaluate", "RUN", "--split", "tests"], ["invalid choice 'tests'"]),
    "no run": (["evaluate"], ["ppl-vae evaluate"]),
    "no temperatures": (["evaluate", "RUN", "--temperatures", "0"], ["--temperatures", "greater than 0"]),
    "annealing of no chains": (
        ["evaluate", "RUN", "--temperatures", "50"],
        ["--temperatures: nothing here reads", "ais"],
    ),
    "annealing of ranks": (["evaluate", "RUN", "--estimator", "sbc", "--leapfrog", "3"], ["--leapfrog: nothing here"]),
    "no leapfrog step": (["evaluate", "RUN", "--leapfrog", "0"], ["--leapfrog", "greater than 0"]),
    "unknown schedule": (["evaluate", "RUN", "--schedule", "cosine"], ["invalid choice 'cosine'"]),
    "unknown start": (["evaluate", "RUN", "--start", "posterior"], ["invalid choice 'posterior'"]),
    "too few simulations": (
        ["evaluate", "RUN", "--estimator", "sbc", "--limit", "19"],
        ["--limit: ", "at least 20"],
    ),
    "too few ranked": (
        ["evaluate", "RUN", "--estimator", "sbc", "--num-samples", "6"],
        ["--num-samples: calib"],
    ),
    "unknown distribution": (
        ["sample", "RUN", "priors"],
        ["unknown thing to sample 'priors'", "did you mean 'prior'?"],
    ),
    "tiny grid": (["sample", "RUN", "grid", "--steps", "1"], ["--steps", "greater than or equal to 2"]),
    "negative span": (["sample", "RUN", "grid", "--span", "-1"], ["--span", "greater than 0"]),
    "not an npz": (["sample", "RUN", "prior", "--out", "sheet.png"], ["ends in .npz"]),
    "no such folder": (["sample", "RUN", "prior", "--out", "no/where.npz"], ["no is no folder"]),
    "input missing": (["infer", "RUN", "--input", "nowhere.npz", "--out", "o.npz"], ["nowhere.npz: no such file"]),
    "infer without out": (["infer", "RUN", "--input", "nowhere.npz"], ["--out"]),
}


@pytest.mark.parametrize("row", OTHER_ROWS)
def test_other_commands_refuse(cli, trained, row):
    arguments, parts = OTHER_ROWS[row]
    before = snapshot(trained)
    refused(cli(*(trained if word == "RUN" else word for word in arguments)), *parts)
    assert snapshot(trained) == before


def test_infer_refuses_another_shape(cli, trained, npz, tmp_path):
    path = npz(x=np.zeros((3, 28, 28), dtype=np.uint8))
    refused(cli("infer", trained, "--input", path, "--out", tmp_path / "o.npz"), "(28, 28)", "(8, 8)")
    assert not (tmp_path / "o.npz").exists()


def test_infer_and_sample_refuse_to_overwrite(cli, trained, npz, tmp_path):
    (tmp_path / "mine.npz").write_text("keep")
    path = npz(x=np.zeros((3, 8, 8), dtype=np.uint8))
    refused(cli("infer", trained, "--input", path, "--out", tmp_path / "mine.npz"), "exists", "--out")
    refused(cli("sample", trained, "prior", "--out", tmp_path / "mine.npz"), "exists", "--out")
    assert (tmp_path / "mine.npz").read_text() == "keep"


def test_a_grid_needs_a_plane(cli, tmp_path):
    run = tmp_path / "run"
    assert cli("train", "--latent-dim", "3", "--hidden", "8", "--epochs", "1", "--out", run)[0] == 0
    refused(cli("sample", run, "grid"), "--latent-dim 2")


def test_evaluate_refuses_an_empty_split(cli, tmp_path):
    run = tmp_path / "run"
    flags = ["--hidden", "8", "--epochs", "1", "--test-fraction", "0", "--out", run]
    assert cli("train", *flags)[0] == 0
    refused(cli("evaluate", run), "no test split", "--split train")
