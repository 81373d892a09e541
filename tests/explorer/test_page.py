"""The page: in its text, and in a browser beside PyTorch."""

import json
import re
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pytest
import torch

from ppl_vae.explorer import Contents, Placement, html, layers_of
from ppl_vae.explorer.convolutions import decoder_layers, encoder_layers
from ppl_vae.explorer.page import _SCRIPTS
from ppl_vae.guides import Diagonal, FullRank, LowRank, Point
from ppl_vae.networks.convolutional import ConvDecoder, ConvEncoder
from ppl_vae.networks.dense import Decoder, Encoder
from tests.marks import slow_after

FAMILIES = {"diagonal": Diagonal, "low-rank": LowRank, "full-rank": FullRank, "point": Point}
TOLERANCE = 2e-5  # a fifth of what a forgotten floor of q's scale would come to


@dataclass
class Subject:
    """Networks with weights of some size, and the page about them."""

    size: int = 5
    event_shape: tuple = (4, 3)
    family: str = "diagonal"
    activation: str = "relu"
    num_classes: int = 0
    link: str = "sigmoid"
    title: str = "a run"
    channels: tuple = ()  # of convolutions; of none the networks are fully connected

    def __post_init__(self):
        torch.manual_seed(3)
        self.q = FAMILIES[self.family](self.size)
        last = {"activation": self.activation, "num_classes": self.num_classes}
        if self.channels:
            start = torch.randn(self.event_shape)
            self.decoder = ConvDecoder(self.size, self.event_shape, self.channels[::-1], (7,), start=start, **last)
            self.encoder = ConvEncoder(self.event_shape, self.q.num_params, self.channels, (8,), **last)
        else:
            self.decoder = Decoder(self.size, self.event_shape, (7, 9), **last)
            self.encoder = Encoder(self.event_shape, self.q.num_params, (8,), **last)
        with torch.no_grad():
            for parameter in [*self.decoder.net.parameters(), *self.encoder.net.parameters()]:
                parameter.mul_(1.5 if self.channels else 3.0)

    @property
    def layers(self):
        if self.channels:
            return decoder_layers(self.decoder), encoder_layers(self.encoder)
        return layers_of(self.decoder.net), layers_of(self.encoder.net)

    @property
    def contents(self):
        rng = np.random.default_rng(0)
        return Contents(
            title=self.title,
            subtitle="in a test",
            notes=[self.title],
            placing=[self.title],
            decoder=self.layers[0],
            link=self.link,
            event_shape=self.event_shape,
            num_classes=self.num_classes,
            classes=[str(label) for label in range(max(2, self.num_classes))],
            offered=list(range(self.num_classes)),
            names=[f"z[{unit}]" for unit in range(self.size)],
            kl=np.array([np.nan, *rng.random(self.size - 1)]),
            order=np.arange(self.size)[::-1],
            means=rng.normal(size=(20, self.size)).astype(np.float32),
            labels=np.arange(20) % max(2, self.num_classes),
            images=rng.integers(0, 256, (6, *self.event_shape), dtype=np.uint8),
            placement=Placement(self.layers[1], self.family, binarized=False),
        )

    def write(self, tmp_path):
        path = tmp_path / "page.html"
        path.write_text(html(self.contents), encoding="utf-8")
        return path

    def labels(self, count):
        return torch.arange(count) % self.num_classes if self.num_classes else None


@pytest.mark.parametrize(
    "subject",
    [
        *slow_after(2, [Subject(activation=name) for name in ("relu", "softplus", "tanh", "gelu", "silu", "elu")]),
        *(Subject(family=name, num_classes=3) for name in FAMILIES),
        Subject(size=1, event_shape=(6,)),
        Subject(size=2, event_shape=(4, 3, 1), link="identity"),
        Subject(size=3, event_shape=(4, 3, 3)),
        Subject(size=3, event_shape=(7, 6), channels=(5,)),
        Subject(size=3, event_shape=(7, 10, 3), channels=(4, 6), num_classes=2, activation="softplus"),
        Subject(size=2, event_shape=(5, 5, 1), channels=(3, 4, 5), activation="tanh", link="identity"),
    ],
    ids=lambda s: "-".join(map(str, (s.activation, s.family, s.size, s.event_shape, *s.channels))),
)
def test_networks_and_families_are_pytorchs(subject, open_page, tmp_path):
    page = open_page(subject.write(tmp_path))
    count = 40
    z, x, y = 2 * torch.randn(count, subject.size), torch.rand(count, *subject.event_shape), subject.labels(count)
    with torch.no_grad():
        logits = subject.decoder(z, y).flatten(1)
        expected = logits.sigmoid() if subject.link == "sigmoid" else logits
        params = subject.encoder(x, y)
        q = subject.q(params)
    labels = [0] * count if y is None else y.tolist()

    decoded = page.evaluate("([z, y]) => z.map((each, n) => [...explorer.decode(each, y[n])])", [z.tolist(), labels])
    assert expected.std() > 0.1
    np.testing.assert_allclose(decoded, expected, atol=TOLERANCE)

    encode = """([x, y]) => x.map((each, n) => {
        const q = explorer.encode(Float32Array.from(each), y[n]);
        const units = [...q.mean.keys()];
        return [[...q.mean], [...q.std], units.map((i) => units.map((j) => q.covariance(i, j)))];
    })"""
    mean, std, covariance = zip(*page.evaluate(encode, [x.flatten(1).tolist(), labels]), strict=True)
    np.testing.assert_allclose(mean, q.mean, atol=TOLERANCE)
    np.testing.assert_allclose(std, q.variance.sqrt(), atol=TOLERANCE)
    if subject.family in ("low-rank", "full-rank"):
        np.testing.assert_allclose(covariance, q.covariance_matrix, atol=TOLERANCE)
    else:
        np.testing.assert_allclose(covariance, torch.diag_embed(q.variance), atol=TOLERANCE)


def test_scripts_and_files_are_the_same_list():
    there = {file.name for file in files("ppl_vae.explorer").joinpath("js").iterdir()}
    assert there == {f"{name}.js" for name in _SCRIPTS}


def test_what_comes_from_outside_cannot_be_taken_for_html(open_page, tmp_path):
    nasty = "</script><script>document.title = 'mine'</script><b>&amp;"
    subject = Subject(title=nasty)
    contents = subject.contents._replace(names=[nasty, *"abcd"])
    path = tmp_path / "page.html"
    path.write_text(html(contents), encoding="utf-8")
    assert nasty not in path.read_text()
    page = open_page(path)
    assert page.title() == nasty
    assert page.locator("h1").text_content() == nasty
    assert page.locator("#sliders .name").all_text_contents()[-1] == nasty


def test_page_needs_nothing_else():
    text = html(Subject().contents)
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|@import|url\(|\bsrc=|href=", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, flags=re.DOTALL)[1])
    assert data["kl"][0] is None


def test_an_event_that_is_no_image_is_refused():
    with pytest.raises(ValueError, match="cannot draw an event of shape"):
        html(Subject().contents._replace(event_shape=(2, 3, 4)))


def test_a_coloured_picture_shows_its_colours(open_page, tmp_path):
    page = open_page(Subject(event_shape=(4, 3, 3)).write(tmp_path))
    shown, means = page.evaluate("""() => {
        explorer.draw();
        const image = document.getElementById("picture").getContext("2d").getImageData(0, 0, 3, 4);
        return [[...image.data], [...explorer.decode(explorer.state.z)]];
    }""")
    colours = np.array(shown).reshape(12, 4)[:, :3]
    np.testing.assert_allclose(colours / 255, np.array(means).reshape(12, 3), atol=0.51 / 255)


def test_a_unit_alone_has_a_line_for_a_plane(open_page, tmp_path):
    page = open_page(Subject(size=1).write(tmp_path))
    assert page.locator("#axes-row").is_hidden()
    page.locator("#plane").click()
    assert abs(page.evaluate("explorer.state.z[0]")) < 0.05
    page.keyboard.press("ArrowUp")
    assert abs(page.evaluate("explorer.state.z[0]")) < 0.05
    page.keyboard.press("ArrowRight")
    assert page.evaluate("explorer.state.z[0]") == pytest.approx(0.1, abs=0.05)


def test_a_strip_is_drawn_on_and_takes_no_files(open_page, tmp_path):
    page = open_page(Subject(event_shape=(40,)).write(tmp_path), viewport={"width": 360, "height": 740})
    assert page.locator("#file-label").is_hidden()
    box = page.locator("#pad").bounding_box()
    page.locator("#pad").click(position={"x": 1 + (box["width"] - 2) * 20.5 / 40, "y": box["height"] / 2})
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    # z is where q puts that one cell of ink, and nowhere near where it puts another.
    distances = page.evaluate("""Array.from({ length: 40 }, (_, cell) => {
        const { mean } = explorer.encode(Float32Array.from({ length: 40 }, (_, n) => Number(n === cell)));
        return Math.hypot(...mean.map((value, unit) => value - explorer.state.z[unit]));
    })""")
    assert np.argmin(distances) == 20
    assert distances[20] < 0.2 * np.median(distances)


def test_a_label_that_is_chosen_is_the_one_that_q_is_asked_with(open_page, tmp_path):
    page = open_page(Subject(num_classes=3).write(tmp_path))
    page.locator("#labels button").nth(2).click()
    page.evaluate("explorer.draw()")
    assert "q given y = 2 is at" in page.locator("#placed").inner_text()
    assert page.evaluate("explorer.state.placed.label === explorer.state.label")


def test_a_number_that_rounds_to_zero_has_no_sign(open_page, tmp_path):
    page = open_page(Subject(size=2).write(tmp_path))
    page.evaluate("explorer.setZ([-0.001, -1]); explorer.draw()")
    assert page.locator("#where span").all_inner_texts()[:2] == ["z[0] = 0.00", "z[1] = −1.00"]
