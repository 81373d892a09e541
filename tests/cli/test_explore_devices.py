"""The explorer on a phone, and with a model of MNIST's size."""

import numpy as np
import pytest

from ppl_vae.cli.main import main
from tests.cli.explored import Explorer, explored

PHONE = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True, "device_scale_factor": 2}


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


@pytest.mark.slow
def test_the_mnist_model_is_fast_and_under_5_mb(tmp_path, open_page):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "x.npz", x=rng.integers(0, 256, (80, 28, 28), dtype=np.uint8), y=np.arange(80) % 10)
    arguments = ["--data", str(tmp_path / "x.npz"), "--latent-dim", "50", "--hidden", "400", "--epochs", "1"]
    arguments += ["--net", "mlp", "--binarization", "dynamic"]  # as for MNIST; these are taken for photographs
    assert main(["train", *arguments, "--engine", "eager", "--out", str(tmp_path / "run")]) == 0
    path = explored(tmp_path / "run", tmp_path / "page.html")
    assert path.stat().st_size < 5e6
    page = open_page(path)
    # Milliseconds, of as many multiplications as the decoder's, and of a frame. A busy machine leaves their ratio.
    times = page.evaluate("""() => {
        const fastest = (work) => {
            let least = Infinity;
            for (let round = 0; round < 20; round++) {
                const start = performance.now();
                for (let frame = 0; frame < 5; frame++) work();
                least = Math.min(least, performance.now() - start);
            }
            return least / 5;
        };
        const weights = new Float32Array((50 + 784) * 400).fill(0.5);
        let sum = 0;  // is returned, so that nothing is left out
        const decoder = () => { for (let i = 0; i < weights.length; i++) sum += weights[i] * weights[i]; };
        const frame = () => {
            explorer.setZ(explorer.state.z.map(() => 4 * Math.random() - 2));
            explorer.draw();
        };
        return [fastest(decoder), fastest(frame), sum];
    }""")
    assert times[1] < 5 * times[0]  # a frame takes a third of it
    hidden = "[...document.querySelectorAll('#sliders label')].filter((row) => row.hidden).length"
    assert page.evaluate(hidden) == 38
    page.click("#all-units")
    assert page.evaluate(hidden) == 0
