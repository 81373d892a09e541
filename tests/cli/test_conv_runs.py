"""``--net conv`` on the command line: colour of odd size from an .npz, through every command."""

import numpy as np
import pytest
import torch

from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.dense import Encoder
from ppl_vae.runs.run import Run
from ppl_vae.runtime import checkpoint
from tests.marks import slow_after

CONV = ["--net", "conv", "--channels", "4", "6", "--hidden", "16", "--latent-dim", "2"]
SMALL = [*CONV, "--epochs", "2", "--batch-size", "50"]


def coloured(num=120):
    """A disc of red, green or blue on dark ground, ``(num, 13, 11, 3)`` uint8, and which colour it is."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:13, :11]
    y = np.arange(num) % 3
    x = np.full((num, 13, 11, 3), 10, dtype=np.uint8)
    for image, label in zip(x, y, strict=True):
        inside = (rows - rng.integers(5, 8)) ** 2 + (columns - rng.integers(4, 7)) ** 2 <= 16
        image[inside, label] = 240
    return x, y


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "discs.npz"
    x, y = coloured()
    np.savez(path, x=x, y=y)
    return path


@pytest.fixture(scope="module")
def run(data, tmp_path_factory, shown):
    from ppl_vae.cli.main import main

    path = tmp_path_factory.mktemp("runs") / "conv"
    with shown("training"):
        assert main(["train", "--data", str(data), *SMALL, "--out", str(path)]) == 0
    return path


def networks(path):
    model, guide = Run.open(path).load_pair(torch.device("cpu"))
    return getattr(model, "decoder", None), getattr(guide, "encoder", None)


@pytest.mark.slow
def test_the_flags_make_the_networks(run):
    decoder, encoder = networks(run)
    assert type(decoder) is ConvDecoder
    assert type(encoder) is ConvEncoder
    assert [layer.out_channels for layer in encoder.conv if isinstance(layer, torch.nn.Conv2d)] == [4, 6]
    assert [layer.out_channels for layer in decoder.conv] == [4, 3]
    assert [encoder.net[0].out_features, decoder.net[0].out_features] == [16, 16]
    assert "--channels 4 6" in (run / "report.html").read_text()


@pytest.mark.slow
def test_colour_of_odd_size_is_learned(cli, npz, tmp_path):
    """Discs of three colours: what is decoded has the colour of what it is of."""
    x, y = coloured(200)
    flags = ["--net", "conv", "--channels", "8", "16", "--hidden", "32", "--latent-dim", "4", "--kl-warmup", "30"]
    flags += ["--epochs", "40", "--batch-size", "20", "--learning-rate", "0.005"]
    assert cli("train", "--data", npz(x=x, y=y), *flags, "--out", tmp_path / "run")[0] == 0
    sample = ["posterior", "--num-samples", "30", "--out", tmp_path / "posterior.npz"]
    assert cli("sample", tmp_path / "run", *sample)[0] == 0
    with np.load(tmp_path / "posterior.npz") as arrays:
        originals, means = arrays["observations"], arrays["means"]
    assert originals.shape == means.shape == (30, 13, 11, 3)
    colour, decoded = (images.sum((1, 2)).argmax(-1) for images in (originals, means))
    assert (colour == decoded).mean() > 0.6  # a guess is right once in three


COMMANDS = [
    "evaluate RUN --estimator iwae --num-samples 10 --limit 5",
    "gaps RUN --families diagonal --limit 2 --infer-steps 10 --infer-window 5 --elbo-samples 4 --num-samples 4 "
    "--chains 2 --temperatures 3 --prior-temperatures 3",
    "sample RUN prior --num-samples 6 --out OUT.npz",
    "sample RUN grid --out OUT.npz",
    "sample RUN interpolate --images 0 1 --out OUT.npz",
    "holes RUN RUN --out OUT.npz",
    "infer RUN --input DATA --out OUT.npz",
    "explore RUN --out PAGE.html",
]


@pytest.mark.parametrize("command", slow_after(2, COMMANDS))
def test_other_commands_take_the_run(cli, run, data, tmp_path, command):
    places = {"RUN": run, "DATA": data, "OUT.npz": tmp_path / "out.npz", "PAGE.html": tmp_path / "page.html"}
    status, _, err = cli(*(places.get(word, word) for word in command.split()))
    assert status == 0, err


def test_a_run_goes_on_as_if_it_had_not_stopped(cli, run, data, tmp_path):
    flags = ["--data", data, *CONV, "--batch-size", "50"]
    assert cli("train", *flags, "--epochs", "1", "--out", tmp_path / "run")[0] == 0
    assert cli("train", "--resume", tmp_path / "run", "--epochs", "2")[0] == 0
    resumed, whole = (checkpoint.load(path / "checkpoint.pt") for path in (tmp_path / "run", run))
    for part in ("model", "guide"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)
    status, _, err = cli("train", "--resume", run, "--net", "mlp")
    assert status == 2
    assert "--net cannot change" in err


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--model", "conditional", "--family", "full-rank"],
        ["--guide", "semi-amortized", "--refinement-steps", "2"],
        ["--guide", "mean-field", "--binarization", "static"],
        ["--precision", "bf16", "--family", "iaf"],
    ],
    ids=lambda flags: " ".join(flags),
)
def test_with_other_pairs(cli, data, tmp_path, flags):
    status, _, err = cli("train", "--data", data, *CONV, "--epochs", "1", *flags, "--out", tmp_path / "run")
    assert status == 0, err
    assert type(networks(tmp_path / "run")[0]) is ConvDecoder


def test_a_model_without_a_decoder_takes_no_notice(cli, tmp_path):
    """As with --hidden; the guide's encoder is convolutional."""
    flags = ["--model", "linear-gaussian", "--binarization", "none", *CONV, "--epochs", "1"]
    assert cli("train", *flags, "--out", tmp_path / "run")[0] == 0
    decoder, encoder = networks(tmp_path / "run")
    assert decoder is None
    assert type(encoder) is ConvEncoder
    assert cli("train", *flags[:4], "--epochs", "1", "--out", tmp_path / "mlp")[0] == 0
    assert type(networks(tmp_path / "mlp")[1]) is Encoder


def test_a_users_own_model_can_ask_for_the_networks(cli, data, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(
        "from ppl_vae.models import VAE\n"
        "class Own(VAE):\n"
        "    def __init__(self, networks, latent_dim, likelihood, x_mean):\n"
        "        super().__init__(networks.decoder(latent_dim, likelihood.start(x_mean)), latent_dim)\n"
    )
    flags = ["--data", data, *SMALL, "--model", f"{file}:Own", "--out", tmp_path / "run"]
    assert cli("train", *flags)[0] == 0
    assert type(networks(tmp_path / "run")[0]) is ConvDecoder


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--channels"], "give --channels a width"),
        (["--channels", "4", "0"], "--channels: must be greater than 0"),
        (["--net", "cnn"], "invalid choice 'cnn'"),
    ],
)
def test_refused(cli, data, tmp_path, flags, part):
    status, _, err = cli("train", "--data", data, "--net", "conv", *flags, "--out", tmp_path / "run")
    assert status == 2
    assert err.count("\n") == 1
    assert part in err
    assert not (tmp_path / "run").exists()


def test_rows_of_numbers_are_no_images(cli, npz, tmp_path):
    path = npz(x=np.random.default_rng(0).random((60, 7)))
    for more in ([], ["--model", "linear-gaussian"]):
        status, _, err = cli("train", "--data", path, "--net", "conv", *more, "--out", tmp_path / "run")
        assert status == 2
        assert "convolutions take images, (H, W) or (H, W, C), and an observation here has shape (7,)" in err
        assert not (tmp_path / "run").exists()
