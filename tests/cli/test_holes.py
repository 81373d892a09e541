"""``ppl-vae holes``."""

import dataclasses

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.data import load
from ppl_vae.predictive.draws import decode
from ppl_vae.predictive.latent_space.holes import empty_places
from ppl_vae.predictive.latent_space.walks import codes_of
from ppl_vae.registry.pair_config import PairConfig
from ppl_vae.runs.opened import OpenedRun
from ppl_vae.runs.run import Run
from ppl_vae.training.config import FitConfig

SMALL = ("--latent-dim", "2", "--hidden", "16", "--epochs", "2")


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "autoencoder"
    assert main(["train", *SMALL, "--family", "point", "--kl-weight", "0", "--out", str(path)]) == 0
    return path


def test_two_runs_side_by_side(cli, trained, autoencoder, tmp_path):
    out = tmp_path / "holes.npz"
    status, text, err = cli("holes", autoencoder, trained, "--num-places", 5, "--limit", 100, "--out", out)
    assert (status, err) == (0, "")
    assert f"picture  {out.with_suffix('.png')}" in text
    assert all(out.with_suffix(suffix).stat().st_size > 1000 for suffix in (".png", ".svg"))
    with np.load(out) as arrays:
        data = load("digits").test.head(100).fixed(0)
        np.testing.assert_array_equal(arrays["labels"], data.y)
        for number, path in enumerate((autoencoder, trained)):
            model, guide = Run.open(path).load_pair(torch.device("cpu"))
            codes = codes_of(model, guide, data).numpy()
            np.testing.assert_allclose(arrays[f"codes_{number}"], codes, atol=1e-6)
            places, radii = empty_places(codes, 5)
            np.testing.assert_allclose(arrays[f"places_{number}"], places, atol=1e-5)
            np.testing.assert_allclose(arrays[f"radii_{number}"], radii, atol=1e-5)
            means = decode(model, {"z": torch.from_numpy(arrays[f"places_{number}"])}, (8, 8))
            np.testing.assert_allclose(arrays[f"means_{number}"], means, atol=1e-5)


@pytest.mark.parametrize(
    ("family", "drop", "name"),
    [
        ("diagonal", "nothing", "vae, amortized × diagonal"),
        ("diagonal", "kl", "vae, amortized × diagonal, no KL in the loss"),
        ("diagonal", "reconstruction", "vae, amortized × diagonal, no reconstruction in the loss"),
        ("point", "kl", "autoencoder"),
        ("point", "nothing", "autoencoder, codes drawn to 0"),
        ("point", "reconstruction", "vae, amortized × point, no reconstruction in the loss"),
    ],
)
def test_what_was_left_out_of_the_loss_is_in_the_name(trained, autoencoder, family, drop, name):
    run, pair = Run.open(autoencoder if family == "point" else trained), PairConfig(family=family)
    config = dataclasses.replace(run.record.config, pair=pair, fit=FitConfig(drop=drop))
    record = dataclasses.replace(run.record, config=config)
    opened = OpenedRun(Run(run.path, record), run.load_pair(torch.device("cpu")), torch.device("cpu"))
    assert opened.in_words == name


@pytest.mark.slow
def test_the_default_name_is_the_next_free_one_here(cli, trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2):
        status, out, _ = cli("holes", trained, "--num-places", 2)
        assert status == 0
        assert f"holes-{number}.npz" in out


def test_mistakes_are_one_line(cli, capsys, trained, tmp_path):
    def refused(*arguments_and_parts):
        *arguments, part = arguments_and_parts
        status, out, err = cli("holes", *arguments, "--out", tmp_path / "holes.npz")
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert part in err
        assert not (tmp_path / "holes.npz").exists()

    three, labels = tmp_path / "three", tmp_path / "labels"
    local, other = tmp_path / "local", tmp_path / "other"
    assert main(["train", "--latent-dim", "3", "--hidden", "8", "--epochs", "1", "--out", str(three)]) == 0
    assert main(["train", *SMALL, "--epochs", "1", "--model", "conditional", "--out", str(labels)]) == 0
    assert main(["train", *SMALL, "--epochs", "1", "--guide", "mean-field", "--out", str(local)]) == 0
    assert main(["train", *SMALL, "--epochs", "1", "--data-seed", "3", "--out", str(other)]) == 0
    capsys.readouterr()
    refused("name one or more runs")
    refused(tmp_path / "nowhere", "does not exist")
    refused(trained, "--limit", "2", "raise --limit")
    refused(trained, "--num-places", "0", "--num-places")
    refused(three, "--latent-dim 2")
    refused(labels, "conditional")
    refused(local, "--split train")
    refused(trained, other, "unlike data (--data-seed 0 and 3)")
