"""The pieces of a report's page."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppl_vae import figures
from ppl_vae.reports.page import (
    bullets,
    folded,
    folded_section,
    page,
    paragraph,
    picture_of,
    section,
    table,
    warned_of,
)


@pytest.mark.parametrize("piece", [paragraph, lambda words: bullets([words]), lambda words: warned_of([words])])
def test_settings_that_a_sentence_names_are_code_and_nothing_else_is_html(
    piece: Callable[[str], str],
) -> None:
    shown = piece("raise `infer_steps`, or lower `infer_rate`; <b>`a b`</b> & `x")
    assert "raise <code>infer_steps</code>, or lower <code>infer_rate</code>; " in shown
    assert "&lt;b&gt;`a b`&lt;/b&gt; &amp; `x" in shown


def test_cells_are_shown_as_they_stand() -> None:
    assert "<td>`a` &lt;</td>" in table([("name", "`a` <")])


def test_what_is_folded_is_plain_under_its_heading() -> None:
    assert folded("a <b>", "<p>c</p>") == "<details>\n<summary>a &lt;b&gt;</summary>\n<p>c</p>\n</details>"


def test_what_is_empty_is_left_out() -> None:
    assert section("a") == section("a", "", "") == folded_section("a", "") == warned_of([]) == ""
    assert "<body>\n<h1>&lt;a&gt;</h1>\n<p>b</p>\n</body>" in page("<a>", "", paragraph("b"), "")


def test_the_caption_of_a_picture_stands_once_without_what_the_page_says_already(tmp_path: Path) -> None:
    figures.save(figures.sheet(np.eye(3)[None], "digits: a & b. Draws."), tmp_path / "a.png")
    shown = picture_of(tmp_path / "a.png", "digits: a & b. ")
    assert shown.count("Draws.") == 2  # below it, and for those who do not see it
    assert "<figcaption>Draws.</figcaption>" in shown
    assert "digits: a &amp; b. Draws.</figcaption>" in picture_of(tmp_path / "a.png")


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_a_page_is_dark_where_the_reader_likes_it_so(
    open_page: Callable[..., Any], tmp_path: Path, scheme: str, dark: bool
) -> None:
    (tmp_path / "page.html").write_text(page("a", paragraph("b")))
    tab = open_page(tmp_path / "page.html", color_scheme=scheme)
    ink, paper = (
        sum(int(part) for part in re.findall(r"\d+", tab.evaluate(f"getComputedStyle(document.body).{name}"))[:3])
        for name in ("color", "backgroundColor")
    )
    assert (ink > paper) == dark
    assert abs(ink - paper) > 3 * 120  # and can be read


def test_a_page_of_photographs_is_no_larger_than_it_has_to_be(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).random((36, 60, 60, 3))
    figures.save(figures.sheet(noise, "Noise."), tmp_path / "large.png")
    figures.save(figures.sheet(np.eye(3)[None], "Lines."), tmp_path / "small.png")
    large, small = (picture_of(tmp_path / f"{name}.png") for name in ("large", "small"))
    assert "data:image/png;" in small
    assert "data:image/jpeg;" in large
    assert len(large) < 0.8 * (tmp_path / "large.png").stat().st_size
    assert "<figcaption>Noise.</figcaption>" in large
