"""The pieces of a report's page."""

from collections.abc import Callable

import pytest

from ppl_vae.reports.page import bullets, folded, page, paragraph, table


@pytest.mark.parametrize("piece", [paragraph, lambda words: bullets([words]), lambda words: page("a", [words], {})])
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
