"""``ppl-vae sample RUN interpolate``, ``arithmetic``, ``traverse``, ``neighbours`` and the grid's quantiles."""

from itertools import count

import numpy as np
import pytest
import torch

from ppl_vae.cli.main import main
from ppl_vae.data import load
from ppl_vae.predictive.draws import decode
from ppl_vae.predictive.latent_space.walks import codes_of
from ppl_vae.runs.run import Run


@pytest.fixture(scope="module")
def conditional(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "labels"
    flags = ["--model", "conditional", "--latent-dim", "2", "--hidden", "16", "--epochs", "2"]
    assert main(["train", *flags, "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def channels_first(tmp_path_factory):
    """A run on data that can be trained on and not drawn."""
    folder = tmp_path_factory.mktemp("channels")
    np.savez(folder / "x.npz", x=np.random.default_rng(0).integers(0, 2, (40, 2, 4, 5), dtype=np.uint8))
    flags = ["--data", str(folder / "x.npz"), "--latent-dim", "2", "--hidden", "8", "--epochs", "1"]
    assert main(["train", *flags, "--out", str(folder / "run")]) == 0
    return folder / "run"


@pytest.fixture
def sampled(cli, tmp_path):
    """Sample, check that it went well, and return the arrays and what was printed."""
    numbers = count()

    def run(path, what, *flags):
        out = tmp_path / f"{what}-{next(numbers)}.npz"
        status, text, err = cli("sample", path, what, *flags, "--out", out)
        assert (status, err) == (0, "")
        assert out.with_suffix(".png").stat().st_size > 1000
        with np.load(out) as arrays:
            return dict(arrays), text

    return run


def decoded(path, z, labels=None):
    model = Run.open(path).load_pair(torch.device("cpu")).model
    z = torch.from_numpy(z)
    y = None if labels is None else torch.as_tensor(labels).expand(z.shape[:-1]).flatten()
    return decode(model, {"z": z.flatten(0, -2)}, (8, 8), y).unflatten(0, z.shape[:-1]).numpy()


def test_interpolate(sampled, trained):
    arrays, text = sampled(trained, "interpolate", "--images", 3, 1, 4, "--steps", 6)
    assert {name: value.shape for name, value in arrays.items()} == {
        "images": (3,), "observations": (3, 8, 8), "z": (2, 6, 2), "means": (2, 6, 8, 8),
    }  # fmt: skip
    np.testing.assert_allclose(arrays["means"], decoded(trained, arrays["z"]), atol=1e-6)
    pair = Run.open(trained).load_pair(torch.device("cpu"))
    data = load("digits").test.fixed(0)
    codes = codes_of(*pair, data, torch.tensor([3, 1, 4])).numpy()
    np.testing.assert_allclose(arrays["z"][:, 0], codes[:2], atol=1e-6)
    np.testing.assert_allclose(arrays["z"][:, -1], codes[1:], atol=1e-6)
    np.testing.assert_array_equal(arrays["observations"], data.x[[3, 1, 4]])
    largest = np.abs(np.diff(arrays["means"], axis=1)).mean((2, 3)).max()
    assert f"at most {largest:.3f} in a step" in text


def test_interpolate_walks_between_unlike_labels_by_default(sampled, trained):
    images = sampled(trained, "interpolate")[0]["images"]
    y = load("digits").test.y
    assert images[0] == 0
    assert y[images[1]] != y[0]
    assert (y[: images[1]] == y[0]).all()


@pytest.mark.slow
def test_samples_are_repeatable_and_differ_from_means(sampled, trained):
    flags = ("--images", 0, 1, "--codes", "samples", "--path", "spherical")
    first, again, other = (sampled(trained, "interpolate", *flags, "--seed", seed)[0]["z"] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_arithmetic_of_labels(sampled, trained):
    arrays, _ = sampled(trained, "arithmetic", "--from-label", 4, "--to-label", 9, "--strengths", 0, 1, 2)
    pair, data = Run.open(trained).load_pair(torch.device("cpu")), load("digits").test.fixed(0)
    codes = codes_of(*pair, data).numpy()
    expected = codes[data.y == 9].mean(0) - codes[data.y == 4].mean(0)
    np.testing.assert_allclose(arrays["direction"], expected, atol=1e-5)
    assert (data.y[arrays["images"]] == 4).all()
    moved = codes[arrays["images"]][:, None] + np.array([0, 1, 2])[:, None] * expected
    np.testing.assert_allclose(arrays["z"], moved, atol=1e-5)
    np.testing.assert_allclose(arrays["means"], decoded(trained, arrays["z"]), atol=1e-6)


def test_arithmetic_of_images(sampled, trained):
    arrays, _ = sampled(trained, "arithmetic", "--images", 3, "--subtract", 7, "--add", 12, "--strengths", 1)
    pair, data = Run.open(trained).load_pair(torch.device("cpu")), load("digits").test.fixed(0)
    codes = codes_of(*pair, data).numpy()
    np.testing.assert_allclose(arrays["z"][0, 0], codes[3] - codes[7] + codes[12], atol=1e-5)


def test_codes(sampled, trained):
    arrays, text = sampled(trained, "codes", "--images", 2, 8, "--num-draws", 400)
    assert arrays["z"].shape == (2, 400, 2)
    pair, data = Run.open(trained).load_pair(torch.device("cpu")), load("digits").test.fixed(0)
    means = codes_of(*pair, data, torch.tensor([2, 8])).numpy()
    errors = arrays["z"].std(1) / 20
    assert (abs(arrays["z"].mean(1) - means) < 4.5 * errors).all()
    np.testing.assert_allclose(arrays["means"], decoded(trained, arrays["z"]), atol=1e-6)
    assert "a pixel's mean has a standard deviation of" in text


def test_a_single_code_has_no_spread(sampled, trained):
    arrays, text = sampled(trained, "codes", "--images", 2, "--num-draws", 1)
    assert arrays["z"].shape == (1, 1, 2)
    assert "spread" not in text


@pytest.mark.parametrize("image", [None, 5])
def test_traverse(sampled, trained, image):
    arrays, _ = sampled(trained, "traverse", "--steps", 5, "--span", 2, *(() if image is None else ("--image", image)))
    assert arrays["kl"][0] >= arrays["kl"][1] > 0
    np.testing.assert_allclose(arrays["values"], [-2, -1, 0, 1, 2])
    rest = np.zeros(2)
    if image is not None:
        pair, data = Run.open(trained).load_pair(torch.device("cpu")), load("digits").test.fixed(0)
        rest = codes_of(*pair, data)[image].numpy()
    for row, unit in enumerate(arrays["units"]):
        np.testing.assert_allclose(arrays["z"][row, :, unit], arrays["values"])
        np.testing.assert_allclose(arrays["z"][row, :, 1 - unit], np.full(5, rest[1 - unit]), atol=1e-6)
    np.testing.assert_allclose(arrays["means"], decoded(trained, arrays["z"]), atol=1e-6)


@pytest.mark.parametrize("among", ["train", "test"])
def test_neighbours(sampled, trained, among):
    arrays, text = sampled(trained, "neighbours", "--images", 2, 8, "--count", 4, "--among", among)
    pair, splits = Run.open(trained).load_pair(torch.device("cpu")), load("digits")
    queries = codes_of(*pair, splits.test.fixed(0), torch.tensor([2, 8]))
    others = splits.get(among).fixed(0)
    distance = torch.cdist(queries, codes_of(*pair, others)).numpy()
    if among == "test":
        distance[[0, 1], [2, 8]] = np.inf  # not its own neighbour
    np.testing.assert_allclose(arrays["distance"], np.sort(distance, axis=1)[:, :4], rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(arrays["x"], others.x[arrays["neighbours"]])
    shares = (others.y[arrays["neighbours"]] == splits.test.y[[2, 8], None]).float().mean(1)
    assert f"labels   {shares.mean():.0%} ± {shares.std() / 2**0.5:.0%} of the 4 neighbours of 2 images agree" in text


def test_grid_at_quantiles(sampled, trained):
    arrays, _ = sampled(trained, "grid", "--steps", 4, "--spacing", "quantiles")
    np.testing.assert_allclose(arrays["z"], [-1.150349, -0.318639, 0.318639, 1.150349], atol=1e-5)
    plane = np.stack(np.meshgrid(arrays["z"], arrays["z"]), axis=-1).astype(np.float32)
    np.testing.assert_allclose(arrays["means"], decoded(trained, plane), atol=1e-6)


def test_a_conditional_model_decodes_with_the_label_of_the_image_or_the_one_asked_for(sampled, conditional):
    y = load("digits").test.y
    arrays, _ = sampled(conditional, "interpolate", "--images", 0, 1)
    np.testing.assert_allclose(arrays["means"], decoded(conditional, arrays["z"], y[0]), atol=1e-6)
    arrays, _ = sampled(conditional, "traverse", "--label", 3)
    np.testing.assert_allclose(arrays["means"], decoded(conditional, arrays["z"], 3), atol=1e-6)
    arrays, _ = sampled(conditional, "arithmetic", "--images", 5, "--subtract", 1, "--add", 2, "--strengths", 1)
    np.testing.assert_allclose(arrays["means"], decoded(conditional, arrays["z"], y[5]), atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (("interpolate", "--images", "3"), ("--images", "two or more")),
        (("interpolate", "--images", "3", "9999"), ("--images 9999", "rows are 0 to 358")),
        (("interpolate", "--images", "-1", "3"), ("--images", "greater than or equal to 0")),
        (("interpolate", "--steps", "1"), ("--steps", "greater than or equal to 2")),
        (("interpolate", "--label", "3"), ("--label", "takes no labels")),
        (("interpolate", "--strengths", "3"), ("--strengths",)),
        (("arithmetic",), ("--from-label and --to-label",)),
        (("arithmetic", "--from-label", "3"), ("--from-label and --to-label",)),
        (("arithmetic", "--from-label", "3", "--to-label", "4", "--add", "1"), ("--from-label and --to-label",)),
        (("arithmetic", "--from-label", "3", "--to-label", "10"), ("--to-label 10", "0 to 9")),
        (("arithmetic", "--from-label", "3", "--to-label", "4", "--limit", "1"), ("none of the first 1", "--limit")),
        (("arithmetic", "--subtract", "3", "--add", "400"), ("--add 400", "0 to 358")),
        (("arithmetic", "--from-label", "3", "--to-label", "4", "--strengths"), ("--strengths",)),
        (("traverse", "--image", "359"), ("--image 359",)),
        (("traverse", "--span", "0"), ("--span",)),
        (("neighbours", "--images"), ("--images: name one or more",)),
        (("neighbours", "--device", "cpu:7"), ("there is one cpu",)),
        (("neighbours", "--count", "5000"), ("--count 5000", "datapoints to look through")),
        (("neighbours", "--among", "nowhere"), ("--among",)),
        (("grid", "--spacing", "wide"), ("--spacing",)),
        (("walk",), ("unknown thing to sample 'walk'", "traverse")),
        ((), ("ppl-vae sample RUN prior",)),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(cli, trained, arguments, parts):
    before = sorted(trained.rglob("*"))
    status, out, err = cli("sample", trained, *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert all(part in err for part in parts), err
    assert sorted(trained.rglob("*")) == before


def test_a_conditional_model_has_no_direction_between_labels(cli, conditional):
    status, _, err = cli("sample", conditional, "arithmetic", "--from-label", "1", "--to-label", "2")
    assert status == 2
    assert "--subtract and --add" in err


@pytest.mark.parametrize("command", [("sample", "prior"), ("sample", "traverse"), ("explore",), ("holes",)])
def test_what_cannot_be_drawn_is_said_in_one_line(cli, channels_first, command):
    status, _, err = cli(command[0], channels_first, *command[1:])
    assert status == 2
    assert "cannot draw an event of shape (2, 4, 5)" in err
    assert err.count("\n") == 1


def test_a_picture_that_cannot_be_written_leaves_no_arrays(cli, trained, tmp_path, monkeypatch):
    def fails(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.backends.backend_agg.FigureCanvasAgg.print_png", fails)
    status, _, err = cli("sample", trained, "prior", "--num-samples", "2", "--out", tmp_path / "prior.npz")
    assert status == 2
    assert "No space left" in err
    assert not list(tmp_path.iterdir())


def test_a_conditional_traversal_needs_a_label(cli, conditional):
    status, _, err = cli("sample", conditional, "traverse")
    assert status == 2
    assert "say which by --label" in err


@pytest.mark.parametrize("arguments", [(), ("--help",)])
def test_help_lists_what_there_is(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        main(["sample", *arguments])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert all(f"\n  {what} " in out for what in ("prior", "grid", "interpolate", "arithmetic", "neighbours"))


@pytest.mark.parametrize(
    "what", ["prior", "conditional", "grid", "codes", "interpolate", "arithmetic", "traverse", "neighbours"]
)
def test_each_has_help_with_examples(capsys, what):
    with pytest.raises(SystemExit) as stop:
        main(["sample", "RUN", what, "--help"])
    assert stop.value.code == 0
    assert f" {what}" in capsys.readouterr().out.split("examples:")[1]
