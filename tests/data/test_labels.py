"""Labels in words and as numbers."""

from ppl_vae.data.labels import in_words


def test_in_words() -> None:
    assert in_words([3]) == "3"
    assert in_words([3, 7]) == "3 and 7"
    assert in_words([0, 1]) == "0 and 1"
    assert in_words(range(10)) == "0 to 9"
    assert in_words([1, 5, 6]) == "1, 5 and 6"
    assert in_words([2 * label for label in range(1500)]) == "0, 2, 4, ... 2998 (1,500 of them)"
