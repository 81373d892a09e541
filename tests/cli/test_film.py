"""``ppl-vae train --film``."""

import shutil

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from PIL import Image

from ppl_vae.cli.main import main
from ppl_vae.data import load
from ppl_vae.figures.look.style import class_colors
from ppl_vae.predictive.latent_space.walks import codes_of
from ppl_vae.runs import film
from ppl_vae.runs.run import Run

SMALL = ("--latent-dim", "2", "--hidden", "16", "--epochs", "3", "--batch-size", "200")


@pytest.fixture(scope="module", autouse=True)
def few_frames():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(film, "_NUM_FRAMES", 5)
        yield


@pytest.fixture(scope="module")
def filmed(few_frames, tmp_path_factory):
    """A run with its film; it is changed by no test."""
    path = tmp_path_factory.mktemp("film") / "filmed"
    assert main(["train", *SMALL, "--film", "--out", str(path)]) == 0
    return path


@pytest.fixture
def run(filmed, tmp_path):
    """A copy of it."""
    return shutil.copytree(filmed, tmp_path / "run")


def weights(path):
    return Run.open(path).load_pair(torch.device("cpu")).model.state_dict()


def test_training_does_not_notice_the_film(cli, filmed, tmp_path):
    assert cli("train", *SMALL, "--out", tmp_path / "unseen")[0] == 0
    seen, unseen = weights(filmed), weights(tmp_path / "unseen")
    assert all(torch.equal(seen[name], unseen[name]) for name in unseen)


def test_a_film_is_taken(filmed):
    frames = sorted((filmed / "film").glob("*.npz"))
    assert [int(path.stem[5:]) for path in frames] == [0, 1, 3, 8, 21]  # 3 epochs of 7 steps
    assert all(path.with_suffix(".png").exists() for path in frames)
    first, last = (np.load(path) for path in (frames[0], frames[-1]))
    assert first["means"].shape == last["means"].shape == (200, 2)
    assert last["covariances"].shape == (200, 2, 2)
    assert last["grid"].shape == (15, 15, 8, 8)
    assert last["elbo"] > first["elbo"]
    assert not np.allclose(last["means"], first["means"], atol=0.01)
    with Image.open(filmed / "film.gif") as gif:
        assert gif.n_frames == len(frames)
        assert gif.size == (648, 352)
        colors = {color for _, color in gif.convert("RGB").getcolors(1 << 24)}
    assert (255, 255, 255) in colors
    assert {to_rgb255(color) for color in class_colors(10)} <= colors  # in the first frame: none has been merged


def to_rgb255(color):
    return tuple(round(255 * part) for part in to_rgb(color))


@pytest.mark.slow
def test_a_resumed_film_goes_on(cli, run):
    assert cli("train", "--resume", run, "--epochs", "5", "--film")[0] == 0
    steps = [int(path.stem[5:]) for path in sorted((run / "film").glob("*.npz"))]
    assert steps[0] == 0
    assert steps[-1] == 35


@pytest.mark.slow
def test_a_resumed_film_goes_on_unasked(cli, run):
    status, out, err = cli("train", "--resume", run, "--epochs", "4")
    assert (status, err) == (0, "")
    assert "film     " in out
    assert (run / "film" / "step-00000028.npz").exists()


@pytest.mark.slow
def test_with_early_stopping_the_film_ends_with_what_is_kept(cli, tmp_path):
    run = tmp_path / "run"
    flags = ("--epochs", "40", "--patience", "1", "--learning-rate", "0.1", "--film")
    assert cli("train", *SMALL, *flags, "--out", run)[0] == 0
    bounds = [metrics.validation_bound for metrics in Run.open(run).history()]
    assert len(bounds) < 40
    last = sorted((run / "film").glob("*.npz"))[-1]
    assert int(last.stem[5:]) == 7 * (1 + int(np.argmax(bounds)))
    pair, data = Run.open(run).load_pair(torch.device("cpu")), load("digits").test.head(200).fixed(0)
    np.testing.assert_allclose(np.load(last)["means"], codes_of(*pair, data), atol=1e-5)


def test_what_cannot_be_drawn_is_refused_before_training(cli, npz, tmp_path):
    data = npz(x=np.random.default_rng(0).integers(0, 2, (40, 3, 4, 4), dtype=np.uint8))
    status, _, err = cli("train", "--data", data, *SMALL, "--film", "--out", tmp_path / "run")
    assert status == 2
    assert "cannot draw an event of shape (3, 4, 4)" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_damaged_frame_is_named_and_the_run_is_whole(one_picture, cli, run):
    (run / "film" / "step-00000003.npz").write_bytes(b"")
    (run / "film" / "step-mine.npz").write_bytes(b"")
    status, out, err = cli("train", "--resume", run, "--epochs", "4")
    assert status == 0
    assert "step-00000003.npz is no frame" in err
    assert "report   " in out


def test_training_that_came_to_nothing_leaves_no_frames(cli, tmp_path):
    status, _, err = cli("train", *SMALL, "--film", "--learning-rate", "1e10", "--out", tmp_path / "run")
    assert status == 2
    assert "diverged" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_per_datapoint_guide_is_filmed_on_its_own_rows(cli, tmp_path):
    run = tmp_path / "run"
    assert cli("train", *SMALL, "--guide", "mean-field", "--binarization", "static", "--film", "--out", run)[0] == 0
    pair = Run.open(run).load_pair(torch.device("cpu"))
    last = np.load(sorted((run / "film").glob("*.npz"))[-1])
    np.testing.assert_allclose(last["means"], pair.guide.table.weight[:200, :2].detach(), atol=1e-6)


@pytest.mark.slow
def test_a_conditional_model_is_filmed(cli, tmp_path):
    run = tmp_path / "run"
    assert cli("train", *SMALL, "--model", "conditional", "--film", "--out", run)[0] == 0
    assert (run / "film.gif").exists()


def test_only_a_plane_is_filmed(cli, tmp_path):
    status, out, err = cli("train", "--latent-dim", "3", "--epochs", "1", "--film", "--out", tmp_path / "run")
    assert (status, out) == (2, "")
    assert "--film" in err
    assert "--latent-dim 2" in err
    assert not (tmp_path / "run").exists()
