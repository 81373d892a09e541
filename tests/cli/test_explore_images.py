"""Images dropped, opened, drawn and chosen in the explorer land where q puts them."""

import io

import numpy as np
import pytest
from PIL import Image

from tests.cli.explored import DRAWN, TOLERANCE, wait_until


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
    assert name == f"datapoint 4 of the data, label {conditional.label}"
    wait_for_q(conditional, conditional.shown("pad"))
    assert conditional.z != before
