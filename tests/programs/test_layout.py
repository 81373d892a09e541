"""How observations are laid out."""

import torch

from ppl_vae.programs.layout import alive, content, num_steps


def test_a_plain_observation_is_alive_in_every_row() -> None:
    x = torch.zeros(2, 3, 4)
    assert alive(x, "plain").tolist() == [[1, 1, 1]] * 2
    assert content(x, "plain") is x
    assert num_steps(x, "plain").tolist() == [3, 3]
