"""Log weights of draws at given parameters, compiled: the eager ones on the same noise, for any number of rows."""

import pytest
import torch
from torch import Tensor
from torch.fx import GraphModule

from ppl_vae.data import Dataset
from ppl_vae.guides import Diagonal, FullRank
from ppl_vae.inference import blocks, fitting, weights
from ppl_vae.inference.fitting import InferConfig, infer
from ppl_vae.inference.weights import DRAWS, CompiledWeights, Weights
from ppl_vae.programs.latents import Latents
from ppl_vae.programs.pair import frozen
from tests.pairs import oracle, simulate

SIZE = 16


@pytest.fixture(autouse=True)
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is traced is run as it was traced: to compile takes seconds."""

    def same(graph: GraphModule, _: object) -> GraphModule:
        return graph

    monkeypatch.setattr(weights, "compiled", same)


def data_of(num: int) -> Dataset:
    return Dataset(simulate(oracle(), num))


def both(num: int) -> tuple[CompiledWeights, Weights]:
    model = oracle()
    eager = Weights(model, FullRank(3).double(), Latents.of(model, data_of(num).probe()))
    with frozen(model):
        return CompiledWeights(eager, data_of(num).batch(torch.arange(num)), num), eager


def test_traced_weights_are_the_eager_ones() -> None:
    compiled, eager = both(SIZE)
    assert compiled.size == SIZE
    params, batch = torch.randn(SIZE, 9).double(), data_of(SIZE).batch(torch.arange(SIZE))
    found = []
    for each in (compiled, eager):
        torch.manual_seed(0)
        found.append(each(params, batch, DRAWS))
    torch.testing.assert_close(*found)
    assert found[0].std(0).min() > 0.1


@pytest.mark.parametrize("num", [1, SIZE - 1, SIZE + 1, 3 * SIZE])
@pytest.mark.parametrize("draws", [1, DRAWS, 2 * DRAWS + 1])
def test_rows_keep_their_places_whatever_their_number(monkeypatch: pytest.MonkeyPatch, num: int, draws: int) -> None:
    """Where q is the posterior a weight is p(x), whatever the noise; of each row its own."""
    monkeypatch.setattr(blocks, "_ELEMENTS", 0)
    model, data = oracle(), data_of(3 * SIZE)
    compiled, _ = both(3 * SIZE)
    assert compiled.size == SIZE
    exact = model.posterior(data.x)
    rows, columns = torch.tril_indices(3, 3, offset=-1)
    tril = exact.scale_tril.detach().expand(3 * SIZE, 3, 3)
    raw = raw_of(tril.diagonal(dim1=1, dim2=2))
    params = torch.cat([exact.loc.detach(), raw, 3**0.5 * tril[:, rows, columns]], dim=1)
    found = compiled(params[:num], data.batch(torch.arange(num)), draws)
    assert found.shape == (draws, num)
    torch.testing.assert_close(found.std(0, correction=0), torch.zeros(num).double(), rtol=0.0, atol=1e-4)
    log_px = Weights(model, FullRank(3).double(), Latents.of(model, data.probe()))(
        params[:num], data.batch(torch.arange(num)), 1
    )[0]
    torch.testing.assert_close(found[0], log_px, rtol=0.0, atol=1e-4)
    assert num == 1 or log_px.std() > 0.1


def raw_of(scale: Tensor) -> Tensor:
    """Raw numbers of these scales."""
    q, raw = Diagonal(1).double(), torch.zeros_like(scale)
    for _ in range(60):
        raw += (scale / q(torch.stack([raw, raw], -1)).stddev.squeeze(-1)).log()
    return raw


def test_one_start_has_no_ends_to_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise AssertionError("compiled for nothing")

    monkeypatch.setattr(fitting, "CompiledWeights", refused)
    monkeypatch.setattr(fitting, "worth_compiling", lambda engine, *_: engine == "traced")
    monkeypatch.setattr("ppl_vae.inference.steps.compiled", lambda graph, _: graph)
    settings = InferConfig(infer_engine="traced", infer_steps=4, infer_window=2, infer_starts=1)
    infer(oracle(), Diagonal(3).double(), data_of(4), settings=settings)
    with pytest.raises(AssertionError, match="for nothing"):
        infer(oracle(), Diagonal(3).double(), data_of(4), settings=settings, infer_starts=2)
