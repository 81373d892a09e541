"""``ppl-vae explore``: which runs have a page, where it goes, and what of the run stands in it."""

import base64
import json
import re

import numpy as np
import pytest
import torch

from ppl_vae import Batch
from ppl_vae.data import load
from ppl_vae.predictive.posteriors import posterior_moments
from ppl_vae.runs.run import Run
from tests.cli.explored import TINY, TOLERANCE, Explorer, explored, train


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--family", "iaf"], "New datapoints cannot be placed here: q is a normalising flow"),
        (["--guide", "per-datapoint", "--binarization", "static"], "a row for each training datapoint and no encoder"),
    ],
)
def test_without_an_encoder_that_it_knows_the_page_says_so(tmp_path_factory, tmp_path, open_page, arguments, says):
    run = train(tmp_path_factory, "run", *arguments)
    explorer = Explorer(open_page(explored(run, tmp_path / "page.html")), run)
    assert says in explorer.page.locator("#image-panel").inner_text()
    assert explorer.page.locator("#pad").is_hidden()
    assert explorer.page.evaluate("explorer.encode(new Float32Array(64))") is None
    before = explorer.z
    explorer.page.locator("#examples button").nth(5).click()
    assert explorer.z != before
    explorer.assert_shows_its_z()


def data_of(path):
    return json.loads(re.search(r'id="data">(.*?)</script>', path.read_text(), flags=re.DOTALL)[1])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--guide", "semi-amortized"], "shows the proposal only"),
        (["--family", "point"], "q is a single point"),
        (["--model", "linear-gaussian", "--family", "low-rank", "--binarization", "none"], "keeps its levels"),
    ],
)
def test_other_pairs(tmp_path_factory, tmp_path, open_page, arguments, says):
    run = train(tmp_path_factory, "run", *arguments)
    path = explored(run, tmp_path / "page.html")
    assert data_of(path)["placement"]["binarized"] is ("none" not in arguments)
    explorer = Explorer(open_page(path), run)
    assert says in explorer.page.locator("#image-panel").inner_text()
    decoded = np.array(explorer.page.evaluate("[...explorer.decode(explorer.state.z)]")).reshape(explorer.shape)
    np.testing.assert_allclose(decoded, explorer.means(), atol=TOLERANCE)


def test_a_model_of_ones_own_is_refused(cli, tmp_path, npz):
    (tmp_path / "mine.py").write_text(
        "from ppl_vae.models import VAE\nfrom ppl_vae.networks.dense import Decoder\n\n\nclass Mine(VAE):\n"
        "    def __init__(self, latent_dim, event_shape):\n"
        "        super().__init__(Decoder(latent_dim, event_shape), latent_dim)\n"
    )
    images = npz(x=np.random.default_rng(0).random((30, 4, 4), dtype=np.float32))
    arguments = ["--model", f"{tmp_path / 'mine.py'}:Mine", "--data", images, "--out", tmp_path / "run"]
    assert cli("train", *TINY, *arguments)[0] == 0
    status, out, err = cli("explore", tmp_path / "run")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert "cannot be explored; runs of --model vae, conditional and linear-gaussian can" in err
    assert not list((tmp_path / "run").glob("explorer*"))


def test_of_codes_the_likelihood_is_refused_not_the_model(cli, tmp_path, npz):
    codes = npz(x=np.random.default_rng(0).integers(0, 5, (30, 4)))
    flags = ["--likelihood", "categorical", "--integer-scale", "0"]
    assert cli("train", *TINY, "--data", codes, *flags, "--out", tmp_path / "run")[0] == 0
    status, out, err = cli("explore", tmp_path / "run")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "cannot compute the means of a Categorical likelihood" in err
    assert "model vae" not in err


@pytest.mark.parametrize("flags", [(), ("--likelihood", "negative-binomial", "--size-factors", "total")])
def test_counts_are_decoded_and_placed_as_by_pytorch(cli, tmp_path, npz, open_page, flags):
    counts = npz(x=np.random.default_rng(0).poisson([[9.0, 300.0, 0.1, 2.0]], (60, 4)))
    assert cli("train", *TINY, "--data", counts, *flags, "--out", tmp_path / "run")[0] == 0
    page = open_page(explored(tmp_path / "run", tmp_path / "page.html"))
    pair = Run.open(tmp_path / "run").load_pair(torch.device("cpu"))
    x = torch.tensor([[9.0, 250.0, 0.0, 1.0]])
    q = posterior_moments(pair.guide, Batch(x, None, torch.tensor([0])))["z"]
    z = torch.randn(5, q.mean.shape[-1])
    decoded = page.evaluate("z => z.map((each) => [...explorer.decode(each)])", z.tolist())
    expected = pair.model.decoder(z).exp().detach()
    np.testing.assert_allclose(decoded, expected, rtol=1e-4)
    mean = page.evaluate("x => [...explorer.encode(Float32Array.from(x)).mean]", x[0].tolist())
    np.testing.assert_allclose([mean], q.mean, atol=1e-5)
    said = page.locator("body").text_content()
    assert ("whose total is the usual one" in said) == bool(flags)


def test_a_table_with_holes_is_drawn_between_its_own_ends_under_its_names(cli, tmp_path, npz, open_page):
    rng = np.random.default_rng(0)
    x = (rng.normal(size=(60, 3)) * [1, 1000, 0.01] + [0, 5000, 1]).astype(np.float32)
    x[1::3, 1] = np.nan
    table = npz(x=x, columns=np.array(["age", "income, £", "ratio"]))
    assert cli("train", *TINY, "--data", table, "--out", tmp_path / "run")[0] == 0
    page = open_page(explored(tmp_path / "run", tmp_path / "page.html"))
    run = Run.open(tmp_path / "run")
    info, means = run.record.info, np.array(page.evaluate("[...explorer.decode(explorer.state.z)]"))
    assert page.locator("#columns > span:nth-child(3n + 1)").all_inner_texts() == ["age", "income, £", "ratio"]
    places = page.evaluate("[...document.querySelectorAll('#columns i')].map((dot) => parseFloat(dot.style.left))")
    least, largest = np.array(info.least), np.array(info.largest)
    np.testing.assert_allclose(places, 100 * np.clip((means - least) / (largest - least), 0, 1), atol=1e-3)
    assert not page.locator("#picture").is_visible()
    shown = page.evaluate(
        "[...document.querySelectorAll('#examples canvas')].map((each) =>"
        " [...each.getContext('2d').getImageData(0, 0, each.width, 1).data])"
    )
    colours = np.array(shown).reshape(len(shown), 3, 4)[..., :3]
    test = load(str(table)).test
    holes = ~test.mask.numpy()[: len(shown)]
    assert holes.any()
    assert (colours[holes] == [0xA9, 0xCD, 0xF0]).all()  # the pictures' colour of holes
    levels = (test.values(slice(len(shown))).numpy() - least) / (largest - least)
    np.testing.assert_allclose(colours[~holes][:, 0], 255 * (1 - levels[~holes].clip(0, 1)), atol=0.51)
    assert "Light blue: not seen." in page.locator("footer").inner_text()


def test_names_of_files(cli, trained, tmp_path):
    for number in (1, 2):
        status, out, _ = cli("explore", trained, "--num-images", 10)
        assert status == 0
        assert f"explorer-{number}.html" in out
    for name, says in (("page.txt", "ends in .html"), ("page.html", "exists; choose another --out")):
        (tmp_path / name).write_text("mine")
        status, _, err = cli("explore", trained, "--out", tmp_path / name)
        assert status == 2
        assert says in err
        assert (tmp_path / name).read_text() == "mine"


def test_dots_are_the_posterior_means_of_the_split(cli, trained, tmp_path):
    pages = [
        explored(trained, tmp_path / f"{n}.html", *flags) for n, flags in enumerate(([], [], ["--split", "train"]))
    ]
    first, again, other = (path.read_text() for path in pages)
    assert first == again != other
    pair = Run.open(trained).load_pair(torch.device("cpu"))
    for path, split in ((pages[0], "test"), (pages[2], "train")):
        data = load("digits").get(split).head(40).fixed(0)
        means = posterior_moments(pair.guide, data.batch(torch.arange(40)))["z"].mean
        shown = np.frombuffer(base64.b64decode(data_of(path)["means"]["base64"]), dtype="<f4").reshape(40, 2)
        np.testing.assert_allclose(shown, means, atol=1e-6)
    assert "40 datapoints of the test data" in first
    assert "40 datapoints of the train data" in other
