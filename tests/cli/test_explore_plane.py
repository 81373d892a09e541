"""The explorer's plane, sliders, walks and labels, used as a reader would and held against PyTorch."""

import numpy as np
import pytest
import torch

from ppl_vae.predictive.draws import decode
from tests.cli.explored import DRAWN, TOLERANCE, wait_until


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
