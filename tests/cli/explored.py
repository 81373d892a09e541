"""What the tests of ``ppl-vae explore`` share: a page in a browser beside the run that it is of."""

import time

import numpy as np
import torch

from ppl_vae.cli.main import main
from ppl_vae.predictive.draws import decode
from ppl_vae.programs.batch import Batch
from ppl_vae.runs.run import Run

TINY = ["--hidden", "16", "--latent-dim", "3", "--epochs", "1", "--engine", "eager"]
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


def wait_until(holds, seconds=20):
    """Not by Playwright's own waiting, which evaluates text in the page, as its security policy forbids."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
