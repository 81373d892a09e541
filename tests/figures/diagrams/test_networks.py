from ppl_vae.figures import networks
from ppl_vae.programs.anatomy.layers import Box, Fold, Networks, Row


def row(words: str, kind: str = "layer") -> Row:
    return Row((Box(kind, words, (3,)),))  # type: ignore[arg-type]


def test_boxes_hold_sizes_and_what_repeats_has_its_number_beside_it() -> None:
    taken = Row((Box("layer", "Linear", (8,), (64,)),))
    heads = Row((Box("parameter", "loc", (2,)), Box("parameter", "scale", (2,))))
    block = (row("Block"), row("Norm"))
    guide = (Fold((row("x", "observed"),), 1), Fold((taken,), 1), Fold(block, 8), Fold((heads,), 1))
    left, right = networks(Networks(guide, (Fold((row("z", "latent"),), 1),))).axes
    texts = [text.get_text() for text in left.texts]
    assert texts == ["x (3)", "(64) → Linear (8)", "Block (3)", "Norm (3)", "loc (2)", "scale (2)", "× 8"]
    (bar,) = left.lines
    heights = {text.get_text(): text.get_position()[1] for text in left.texts}
    low, high = sorted(bar.get_ydata())
    assert low < heights["Norm (3)"] < heights["Block (3)"] < high
    assert not low < heights["loc (2)"] < high
    assert heights["loc (2)"] == heights["scale (2)"]
    assert [text.get_text() for text in right.texts] == ["z (3)"]


def test_of_a_very_deep_network_the_middle_is_left_out() -> None:
    folds = tuple(Fold((row(f"Layer{n}"),), 1) for n in range(100))
    left, _ = networks(Networks(folds, ())).axes
    texts = [text.get_text() for text in left.texts]
    assert len(texts) == 24
    assert texts[0] == "Layer0 (3)"
    assert texts[-1] == "Layer99 (3)"
    assert "… 77 more rows …" in texts
