"""``ppl-vae explore``: the page of a run, used in a browser as a reader would, and held against PyTorch."""

import base64
import io
import json
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image

from ppl_vae.app.cli import main
from ppl_vae.app.run import Run
from ppl_vae.batch import Batch
from ppl_vae.data import load
from ppl_vae.predictive import decode, posterior_moments

TINY = ["--hidden", "16", "--latent-dim", "3", "--epochs", "1", "--engine", "eager"]
PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}
TOLERANCE = 1e-3
# After two frames everything that was changed has been drawn.
DRAWN = "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"


class Explorer:
    """A page and the run that it is of."""

    def __init__(self, page, run):
        self.page = page
        opened = Run.open(run)
        self.shape = opened.record.info.event_shape
        self.pair = opened.load_pair(torch.device("cpu"))
        page.evaluate(DRAWN)

    @property
    def z(self):
        return self.page.evaluate("[...explorer.state.z]")

    @property
    def label(self):
        return self.page.evaluate("explorer.state.label")

    def shown(self, canvas="picture"):
        """The ink on a canvas, ``(*event)``."""
        self.page.evaluate(DRAWN)
        rgba = self.page.evaluate(
            """(id) => {
                const canvas = document.getElementById(id);
                return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
            }""",
            canvas,
        )
        return 1 - np.array(rgba).reshape(*self.shape, 4)[..., 0] / 255

    def means(self):
        """E[x | z] at the page's z as PyTorch has it, ``(*event)``."""
        y = torch.tensor([self.label]) if hasattr(self.pair.model, "num_classes") else None
        return decode(self.pair.model, {"z": torch.tensor([self.z], dtype=torch.float32)}, self.shape, y)[0].numpy()

    def q(self, x):
        """q of an image as PyTorch has it."""
        with torch.no_grad():
            batch = Batch(torch.as_tensor(x)[None].float(), torch.tensor([self.label]), torch.tensor([0]))
            return self.pair.guide.q(batch)

    def assert_shows_its_z(self):
        np.testing.assert_allclose(self.shown(), self.means(), atol=0.51 / 255 + TOLERANCE)


def explored(run, path, *arguments):
    assert main(["explore", str(run), "--num-images", "40", "--out", str(path), *arguments]) == 0
    return path


def train(tmp_path_factory, name, *arguments):
    path = tmp_path_factory.mktemp("runs") / name
    assert main(["train", *TINY, "--out", str(path), *arguments]) == 0
    return path


@pytest.fixture(scope="module")
def plane_page(trained, tmp_path_factory):
    return explored(trained, tmp_path_factory.mktemp("pages") / "plane.html")


@pytest.fixture
def plane(plane_page, trained, open_page):
    return Explorer(open_page(plane_page), trained)


@pytest.fixture(scope="module")
def conditional_run(tmp_path_factory):
    return train(tmp_path_factory, "conditional", "--model", "conditional", "--family", "full-rank")


@pytest.fixture(scope="module")
def conditional_page(conditional_run, tmp_path_factory):
    return explored(conditional_run, tmp_path_factory.mktemp("pages") / "conditional.html")


@pytest.fixture
def conditional(conditional_page, conditional_run, open_page):
    return Explorer(open_page(conditional_page), conditional_run)


# --- The plane and the sliders ----------------------------------------------------------------------------------------


def test_decodes_as_pytorch(plane):
    z = (2 * torch.randn(50, 2)).tolist()
    decoded = plane.page.evaluate("(z) => z.map((each) => [...explorer.decode(each)])", z)
    expected = decode(plane.pair.model, {"z": torch.tensor(z)}, plane.shape).flatten(1)
    np.testing.assert_allclose(decoded, expected, atol=TOLERANCE)


def test_picture_follows_a_drag(plane):
    before = plane.shown()
    plane.assert_shows_its_z()
    box = plane.page.locator("#plane").bounding_box()
    middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    plane.page.mouse.move(*middle)
    plane.page.mouse.down()
    np.testing.assert_allclose(plane.z, [0, 0], atol=0.05)
    seen = []
    for part in (0.1, 0.2, 0.3):
        plane.page.mouse.move(middle[0] + part * box["width"], middle[1] - part * box["height"])
        plane.assert_shows_its_z()
        seen.append(plane.shown())
    reach = plane.page.evaluate("explorer.state.reach")
    np.testing.assert_allclose(plane.z, [0.6 * reach, 0.6 * reach], rtol=0.02)
    plane.page.mouse.up()
    plane.page.mouse.move(*middle)
    np.testing.assert_array_equal(plane.shown(), seen[-1])  # let go
    assert min(abs(one - other).max() for one, other in zip([before, *seen], seen, strict=False)) > 0.01


def test_keys_move_z(plane):
    plane.page.click("#reset")
    assert plane.z == [0, 0]
    plane.page.focus("#plane")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp", "Shift+ArrowDown"):
        plane.page.keyboard.press(key)
    np.testing.assert_allclose(plane.z, [0.2, -0.4], atol=1e-6)
    plane.assert_shows_its_z()
    plane.page.keyboard.press("Home")
    assert plane.z == [0, 0]


def test_the_prior_is_drawn_from(plane):
    click = "() => { document.getElementById('draw-prior').click(); return [...explorer.state.z]; }"
    draws = np.array(plane.page.evaluate(f"Array.from({{ length: 500 }}, {click})"))
    assert abs(draws.mean()) < 5 / np.sqrt(draws.size)
    assert abs(draws.var() - 1) < 5 * np.sqrt(2 / draws.size)


def test_the_means_are_shown_over_the_plane(plane):
    ink = "() => document.getElementById('plane').toDataURL()"
    before = plane.page.evaluate(ink)
    plane.page.check("#grid")
    wait_until(lambda: plane.page.evaluate(ink) != before)


def test_sliders_are_ordered_by_kl_and_any_two_units_make_the_plane(conditional):
    page = conditional.page
    kl = page.evaluate("explorer.order.map((unit) => explorer.kl[unit])")
    assert kl == sorted(kl, reverse=True)
    names = page.evaluate("explorer.order.map((unit) => explorer.names[unit])")
    assert page.locator("#sliders .name").all_text_contents() == names
    assert page.evaluate("explorer.state.axes") == page.evaluate("explorer.order.slice(0, 2)")

    page.locator("#sliders input").last.focus()
    before = conditional.z
    page.keyboard.press("ArrowRight")
    last = page.evaluate("explorer.order[2]")
    moved = [after - was for after, was in zip(conditional.z, before, strict=True)]
    assert moved[last] > 0
    assert sum(map(abs, moved)) == pytest.approx(moved[last])
    conditional.assert_shows_its_z()

    page.select_option("#across", str(last))
    first, second = page.evaluate("explorer.order.slice(0, 2)")
    assert page.evaluate("explorer.state.axes") == [last, second]
    page.select_option("#up", str(last))  # the same twice is no plane
    assert page.evaluate("explorer.state.axes") == [second, last]
    untouched = conditional.z[first]
    page.locator("#plane").click(position={"x": 30, "y": 40})
    reach = page.evaluate("explorer.state.reach")
    assert conditional.z[first] == untouched
    assert conditional.z[second] < -0.7 * reach
    assert conditional.z[last] > 0.7 * reach


# --- Placing images ---------------------------------------------------------------------------------------------------


def png(ink):
    """White ink on black, as MNIST's files are."""
    file = io.BytesIO()
    Image.fromarray((np.asarray(ink) * 255).astype(np.uint8)).save(file, format="PNG")
    return file.getvalue()


def an_image(shape):
    """Grey levels with paper round them."""
    grey = np.zeros(shape)
    grey[1:-1, 1:-1] = np.random.default_rng(0).random((shape[0] - 2, shape[1] - 2))
    return grey


def wait_until(holds, seconds=20):
    """Not by Playwright's own waiting, which evaluates text in the page, as its security policy forbids."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def wait_for_q(explorer, x):
    """Until the pad shows the image, which is placed at that moment, and two frames later all of it is drawn."""
    wait_until(lambda: np.array_equal(explorer.shown("pad"), x))
    explorer.page.evaluate(DRAWN)
    np.testing.assert_allclose(explorer.z, explorer.q(x).mean[0], rtol=0, atol=TOLERANCE)


DROP = """(bytes) => {
    const dataTransfer = new DataTransfer();
    dataTransfer.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
    const drop = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
    document.getElementById("pad").dispatchEvent(drop);
}"""


@pytest.mark.parametrize("negative", [False, True])
def test_a_dropped_image_lands_where_q_puts_it(plane, negative):
    grey = an_image(plane.shape)
    plane.page.evaluate("explorer.setZ([3, 3])")
    plane.page.evaluate(DROP, list(png(1 - grey if negative else grey)))
    bits = np.round(grey * 255) / 255 > 0.5
    wait_for_q(plane, bits)
    np.testing.assert_array_equal(plane.shown("pad"), bits)
    plane.assert_shows_its_z()
    q = plane.q(bits)
    np.testing.assert_allclose(plane.page.evaluate("[...explorer.state.placed.std]"), q.stddev[0], atol=TOLERANCE)
    assert "standard deviation" in plane.page.locator("#placed").text_content()


def test_an_opened_image_lands_where_q_puts_it(conditional):
    grey = an_image(conditional.shape)
    conditional.page.evaluate("explorer.setLabel(4)")
    files = {"name": "image.png", "mimeType": "image/png", "buffer": png(grey)}
    conditional.page.set_input_files("#file", files)
    wait_for_q(conditional, np.round(grey * 255) / 255 > 0.5)
    assert "q given y = 4 is at" in conditional.page.locator("#placed").text_content()


def test_a_file_that_is_no_image_is_said_to_be_none(plane):
    before = plane.z
    plane.page.set_input_files("#file", {"name": "words.txt", "mimeType": "text/plain", "buffer": b"words"})
    wait_until(lambda: "words.txt is not an image" in plane.page.locator("#placed").text_content())
    assert plane.z == before


def test_what_is_drawn_lands_where_q_puts_it(plane):
    pad = plane.page.locator("#pad")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    plane.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 10)
    plane.page.mouse.down()
    plane.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 10, steps=5)
    plane.page.mouse.up()
    drawn = plane.shown("pad")
    assert drawn[:, 3:5].max(axis=1).min() == 1  # a line from top to bottom, on fresh paper
    assert drawn[:, [0, 1, 6, 7]].max() == 0
    wait_for_q(plane, drawn)

    plane.page.click("#invert")
    np.testing.assert_array_equal(plane.shown("pad"), 1 - drawn)
    wait_for_q(plane, 1 - drawn)
    plane.page.click("#clear")
    assert plane.shown("pad").max() == 0


def test_the_pad_takes_keys(plane):
    plane.page.click("#clear")
    plane.page.focus("#pad")
    for key in ("ArrowLeft", "ArrowLeft", "Space"):
        plane.page.keyboard.press(key)
    plane.page.focus("#plane")  # the pad's cursor goes
    drawn = plane.shown("pad")
    assert drawn[4, 2] == 1
    assert drawn.sum() < 10
    wait_for_q(plane, drawn)


def test_an_example_is_placed_with_its_label(conditional):
    page = conditional.page
    before = conditional.z
    page.locator("#examples button").nth(3).click()
    name = page.locator("#examples button").nth(3).get_attribute("aria-label")
    assert name == f"image 4 of the data, label {conditional.label}"
    wait_for_q(conditional, conditional.shown("pad"))
    assert conditional.z != before


# --- Walks and labels -------------------------------------------------------------------------------------------------


def test_a_walk_goes_from_a_to_b_and_ends_there(plane):
    page = plane.page
    for end, z in (("a", [1, -0.5]), ("b", [-2, 0.3])):
        page.evaluate("(z) => explorer.setZ(z)", z)
        page.click(f"#set-{end}")
    page.evaluate("explorer.setZ([3, 3])")
    page.evaluate("""() => {
        window.visited = [];
        const record = () => { visited.push([...explorer.state.z]); requestAnimationFrame(record); };
        requestAnimationFrame(record);
    }""")
    page.click("#play")
    wait_until(lambda: page.locator("#play").text_content() == "play")
    a, b = np.float32([1, -0.5]), np.float32([-2, 0.3])
    assert plane.z == b.tolist()
    visited = np.array(page.evaluate("visited"))
    way = visited[np.argmax((visited == a).all(axis=1)) :]
    assert (way[0] == a).all()
    along = (way - a) @ (b - a) / ((b - a) @ (b - a))
    assert (np.diff(along) >= -1e-6).all()
    assert len(np.unique(along.round(3))) > 10
    np.testing.assert_allclose(way, a + along[:, None] * (b - a), atol=1e-5)
    plane.assert_shows_its_z()


def test_a_spherical_walk_keeps_its_radius_and_the_film_shows_it(plane):
    page = plane.page
    page.evaluate("explorer.setEnd(0, [2, 0])")
    page.evaluate("explorer.setEnd(1, [0, 2])")
    page.check('input[value="spherical"]')
    steps = page.locator("#film button")
    assert steps.count() == 9
    page.evaluate(DRAWN)
    for step in range(9):
        steps.nth(step).click()
        angle = np.pi / 2 * step / 8
        np.testing.assert_allclose(plane.z, [2 * np.cos(angle), 2 * np.sin(angle)], atol=1e-5)
        small = page.evaluate(
            """(n) => {
                const canvas = document.querySelectorAll("#film canvas")[n];
                return [...canvas.getContext("2d").getImageData(0, 0, 8, 8).data];
            }""",
            step,
        )
        ink = 1 - np.array(small).reshape(8, 8, 4)[..., 0] / 255
        np.testing.assert_allclose(ink, plane.means(), atol=0.51 / 255 + TOLERANCE)


def test_a_walk_stops_where_somebody_takes_z_elsewhere(plane):
    plane.page.click("#play")
    plane.page.wait_for_timeout(100)
    plane.page.locator("#plane").click(position={"x": 5, "y": 5})
    wait_until(lambda: plane.page.locator("#play").text_content() == "play")
    assert plane.z[0] < -3


def test_labels_change_the_picture_at_the_same_z(conditional):
    z = conditional.z
    pictures = []
    for label in (0, 7):
        conditional.page.click(f'#labels button:text-is("{label}")')
        assert conditional.label == label
        conditional.assert_shows_its_z()
        pictures.append(conditional.shown())
    assert conditional.z == z
    assert abs(pictures[0] - pictures[1]).max() > 0.01
    pressed = conditional.page.locator('#labels button[aria-pressed="true"]')
    assert pressed.all_text_contents() == ["7"]


# --- Phones, speed, size ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["plane", "conditional"])
def test_a_phone_shows_all_and_takes_touch(name, request, open_page, trained, conditional_run):
    run = {"plane": trained, "conditional": conditional_run}[name]
    page = open_page(request.getfixturevalue(f"{name}_page"), **PHONE)
    explorer = Explorer(page, run)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    too_wide = "[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > 361).length"
    assert page.evaluate(too_wide) == 0
    page.locator("#plane").scroll_into_view_if_needed()
    page.locator("#plane").tap()
    axes = page.evaluate("explorer.state.axes")
    np.testing.assert_allclose([explorer.z[axis] for axis in axes], [0, 0], atol=0.05)
    explorer.assert_shows_its_z()

    box, scrolled = page.locator("#plane").bounding_box(), page.evaluate("scrollY")
    finger = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": x, "y": y}]})
    for part in (0.1, 0.2, 0.3):
        point = {"x": x, "y": y - part * box["height"]}
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [point]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    assert explorer.z[axes[1]] == pytest.approx(0.6 * page.evaluate("explorer.state.reach"), rel=0.05)
    assert page.evaluate("scrollY") == scrolled
    explorer.assert_shows_its_z()


def test_the_mnist_model_is_fast_and_under_5_mb(tmp_path, open_page):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 256, (80, 28, 28), dtype=np.uint8), y=np.arange(80) % 10)
    arguments = ["--data", str(tmp_path / "x.npz"), "--latent-dim", "50", "--hidden", "400", "--epochs", "1"]
    assert main(["train", *arguments, "--engine", "eager", "--out", str(tmp_path / "run")]) == 0
    path = explored(tmp_path / "run", tmp_path / "page.html")
    assert path.stat().st_size < 5e6
    page = open_page(path)
    took = page.evaluate("""() => {
        const start = performance.now();
        for (let frame = 0; frame < 100; frame++) {
            explorer.setZ(explorer.state.z.map(() => 4 * Math.random() - 2));
            explorer.draw();
        }
        return performance.now() - start;
    }""")
    assert took < 100 * 33  # milliseconds; it takes a twentieth of that on one core
    hidden = "[...document.querySelectorAll('#sliders label')].filter((row) => row.hidden).length"
    assert page.evaluate(hidden) == 38
    page.click("#all-units")
    assert page.evaluate(hidden) == 0


# --- What cannot be explored, or not all of it ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--family", "iaf"], "New images cannot be placed here: q is a normalising flow"),
        (["--guide", "per-datapoint", "--binarization", "static"], "a row for each training image and no encoder"),
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
        (["--family", "point"], "q is a point"),
        (["--model", "linear-gaussian", "--family", "low-rank", "--binarization", "none"], "keeps its grey levels"),
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
        "from ppl_vae.models import VAE\nfrom ppl_vae.nets import Decoder\n\n\nclass Mine(VAE):\n"
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
    assert "40 images of the test data" in first
    assert "40 images of the train data" in other
