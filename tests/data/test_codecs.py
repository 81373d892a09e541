"""Text and music as arrays of zeros and ones, and back."""

import torch

from ppl_vae.data.codecs import decode_notes, decode_text, encode_notes, encode_text
from ppl_vae.programs.layout import alive, content, num_steps


def test_text_there_and_back() -> None:
    words = ["ab", "c", "cabb"]
    x = encode_text(words, "abc", 4)
    assert x.shape == (3, 4, 4)
    assert x[0].tolist() == [[1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert decode_text(x, "abc") == words
    assert alive(x, "text").sum(1).tolist() == [2, 1, 4]
    assert num_steps(x, "text").tolist() == [3, 2, 5]
    assert content(x, "text").shape == (3, 4, 3)


def test_any_alphabet_in_any_order() -> None:
    words = ["é🎈x", "x", "中é"]
    for alphabet in ("xé中🎈", "🎈xé中"):
        x = encode_text(words, alphabet, 3)
        assert decode_text(x, alphabet) == words
        assert x.sum() == 2 * sum(map(len, words))
        assert x[2, 0].nonzero().flatten().tolist() == [0, 1 + alphabet.index("中")]


def test_music_there_and_back() -> None:
    pieces = [[[60, 64], [], [21]], [[108]]]
    x = encode_notes(pieces, 3)
    assert x.shape == (2, 3, 89)
    assert x[0, 0].nonzero().flatten().tolist() == [0, 1 + 60 - 21, 1 + 64 - 21]
    assert decode_notes(x) == pieces
    assert num_steps(x, "notes").tolist() == [3, 1]


def test_probabilities_are_read_by_what_is_likeliest() -> None:
    x = torch.tensor([[[0.9, 0.2, 0.3], [0.6, 0.3, 0.1], [0.4, 1.0, 0.0], [0.9, 1.0, 0.0]]])
    assert decode_text(x, "ab") == ["ba"]  # nothing comes after the end
    roll = torch.zeros(1, 3, 89)
    roll[0, :2, 0] = 0.7
    roll[0, 0, 1], roll[0, 1, 2], roll[0, 2, 3] = 0.6, 0.4, 1.0
    assert decode_notes(roll) == [[[21], []]]
