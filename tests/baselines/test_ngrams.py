"""Unigram and bigram against numbers counted by hand."""

from itertools import product
from math import log

import pytest
import torch

from ppl_vae.baselines.ngrams import Order, ngram_log_prob
from ppl_vae.data.codecs import encode_notes, encode_text
from ppl_vae.programs.layout import Layout


def test_letters_by_hand() -> None:
    """ab, b: of 3 letters 1 is an a and 2 are b's; of 3 decisions 1 is to go on (there is room for 3 letters)."""
    train, x = encode_text(["ab", "b"], "ab", 3).float(), encode_text(["ba", "abb"], "ab", 3).float()
    a, b, on, end = log(2 / 5), log(3 / 5), log(2 / 5), log(3 / 5)
    expected = [b + on + a + end, a + on + b + on + b]  # the third letter is the last there is room for
    torch.testing.assert_close(ngram_log_prob(train, x, "text", 1).tolist(), expected)
    # First letters: a, b. After an a: b, and it goes on; after a b: nothing, and it ends twice.
    first, a_to_b, b_to_any = log(2 / 4), log(2 / 3), log(1 / 2)
    on_after_a, on_after_b, end_after_a = log(2 / 3), log(1 / 4), log(1 / 3)
    expected = [first + on_after_b + b_to_any + end_after_a, first + on_after_a + a_to_b + on_after_b + b_to_any]
    torch.testing.assert_close(ngram_log_prob(train, x, "text", 2).tolist(), expected)


def test_keys_by_hand() -> None:
    """One key: on, on, off; and off. Each of the 4 steps is asked about; 3 steps are all there is room for."""
    train = encode_notes([[[21], [21], []], [[]]], 3).float()[..., :2]
    x = encode_notes([[[21], []], [[], [21], [21]]], 3).float()[..., :2]
    on, off, goes, ends = log(3 / 6), log(3 / 6), log(3 / 5), log(2 / 5)  # 3 decisions: 2 to go on
    expected = [on + goes + off + ends, off + goes + on + goes + on]
    torch.testing.assert_close(ngram_log_prob(train, x, "notes", 1).tolist(), expected)
    # First: on once of 2. After on: on once of 2. After off: never asked.
    first_on = first_off = log(2 / 4)
    expected = [first_on + goes + log(2 / 4) + ends, first_off + goes + log(1 / 2) + goes + log(2 / 4)]
    torch.testing.assert_close(ngram_log_prob(train, x, "notes", 2).tolist(), expected)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("layout", ["text", "notes", "plain"])
def test_sums_to_one_over_all_sequences(layout: Layout, order: Order) -> None:
    if layout == "text":
        x = encode_text(["".join(w) for size in (1, 2, 3) for w in product("ab", repeat=size)], "ab", 3).float()
    elif layout == "notes":
        chords = [[], [21], [22], [21, 22]]
        x = encode_notes([list(tune) for size in (1, 2) for tune in product(chords, repeat=size)], 2).float()[..., :3]
    else:
        x = torch.tensor(list(product([0.0, 1.0], repeat=6))).reshape(-1, 3, 2)
    p = ngram_log_prob(x[[2, 3, 5, 5, 7]], x, layout, order).exp()
    torch.testing.assert_close(p.sum().item(), 1.0)
    assert p.max() > 1.5 * p.min()


def test_a_bigram_knows_what_a_unigram_does_not() -> None:
    x = encode_text(["ababab"] * 20, "ab", 6).float()
    assert ngram_log_prob(x, x, "text", 2)[0] > ngram_log_prob(x, x, "text", 1)[0] + 2
