"""``ppl-vae perturb``."""

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.data import load
from ppl_vae.predictive.latent_space.walks import codes_of
from ppl_vae.runs.run import Run

SMALL = ("--latent-dim", "2", "--hidden", "16", "--epochs", "2")


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "autoencoder"
    assert main(["train", *SMALL, "--family", "point", "--kl-weight", "0", "--out", str(path)]) == 0
    return path


def test_two_runs_on_one_scale(cli, trained, autoencoder, tmp_path):
    out = tmp_path / "perturbed.npz"
    arguments = ("--images", 4, 2, "--steps", 3, "--span", 2, "--limit", 50, "--out", out)
    status, text, err = cli("perturb", autoencoder, trained, *arguments)
    assert (status, err) == (0, "")
    assert f"picture  {out.with_suffix('.png')}" in text
    assert "steps    2. vae, amortized × diagonal: s is 1 posterior standard deviation, " in text
    data = load("digits").test.fixed(0)
    with np.load(out) as arrays:
        assert arrays["steps"].tolist() == [0, 1, 2]
        np.testing.assert_array_equal(arrays["observations"], data.x[[4, 2]])
        shares = []
        for number, path in enumerate((autoencoder, trained)):
            codes = codes_of(*Run.open(path).load_pair(torch.device("cpu")), data).numpy()
            assert arrays[f"means_{number}"].shape == (2, 3, 8, 8)
            np.testing.assert_allclose(arrays[f"z_{number}"][:, 0], codes[[4, 2]], atol=1e-5)
            moved = np.diff(arrays[f"z_{number}"], axis=1)
            lengths = np.repeat(arrays[f"lengths_{number}"][:, None], 2, 1)
            np.testing.assert_allclose(np.linalg.norm(moved, axis=2), lengths, rtol=1e-3)
            shares.append(arrays[f"lengths_{number}"].mean() / (codes[:50] @ arrays[f"direction_{number}"]).std())
    assert shares[0] == pytest.approx(shares[1], rel=1e-3)


def test_mistakes_are_one_line(cli, capsys, trained, tmp_path):
    local, other = tmp_path / "local", tmp_path / "other"
    assert main(["train", *SMALL, "--epochs", "1", "--guide", "mean-field", "--out", str(local)]) == 0
    assert main(["train", *SMALL, "--epochs", "1", "--data-seed", "3", "--out", str(other)]) == 0
    capsys.readouterr()
    for *arguments, part in (
        ("name one or more runs",),
        (tmp_path / "nowhere", "does not exist"),
        (trained, "--images", 10**6, "--images 1000000: the split's rows are 0 to "),
        (trained, "--steps", 1, "--steps"),
        (
            trained,
            local,
            "2. vae, mean-field × diagonal: its guide has a q for its training data only; use --split train",
        ),
        (trained, other, "unlike data (--data-seed 0 and 3)"),
    ):
        status, out, err = cli("perturb", *arguments, "--out", tmp_path / "perturbed.npz")
        assert (status, out) == (2, "")
        assert err.count("\n") == 1
        assert part in err
        assert not (tmp_path / "perturbed.npz").exists()
    status, out, err = cli("perturb", local, "--split", "train", "--limit", 30, "--out", tmp_path / "perturbed.npz")
    assert (status, err) == (0, "")
