"""Cells by genes, of a file or of what anndata has read of it."""

import numpy as np
import pytest
import torch
from scipy import sparse

from ppl_vae import UserError, load
from ppl_vae.data.files.how import Reading
from ppl_vae.data.info import DataInfo
from ppl_vae.data.inputs import read_input

N, D = 300, 40
COUNTS = np.random.default_rng(0).poisson(0.4, size=(N, D)) * np.random.default_rng(1).integers(1, 100, size=(N, D))


@pytest.fixture
def cells(tmp_path):
    anndata = pytest.importorskip("anndata")
    import pandas

    made = anndata.AnnData(sparse.csr_matrix(np.log1p(COUNTS)))
    made.layers["counts"] = sparse.csr_matrix(COUNTS)
    made.var_names = [f"gene {number}" for number in range(D)]
    kinds = np.where(np.arange(N) % 3, "B cell", "T cell").astype(object)
    made.obs["kind"] = pandas.Categorical(kinds)
    made.obs["gone"] = np.where(np.arange(N) == 7, None, kinds)
    made.raw = anndata.AnnData(sparse.csr_matrix(COUNTS[:, :9]), var=made.var[:9])
    made.write_h5ad(tmp_path / "cells.h5ad")
    return tmp_path / "cells.h5ad"


def test_cells_have_genes_and_kinds(cells):
    found = load(cells, label_column="kind", layer="counts")
    assert found.columns[:2] == ("gene 0", "gene 1")
    assert found.class_names == ("B cell", "T cell")
    assert found.kinds == ("counts",)
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.test.x, torch.from_numpy(COUNTS)[order[: len(found.test)]].float())
    assert torch.equal(found.test.y, (order[: len(found.test)] % 3 == 0).long())
    assert load(cells).kinds == ("reals",)
    assert "X holds no counts; counts stand in its layer 'counts', which `layer` counts reads" in load(cells).notes[1]


def test_what_python_holds_is_taken_as_its_file_is(cells):
    import anndata

    held = anndata.read_h5ad(cells)
    how = {"label_column": "kind", "layer": "counts"}
    assert load(held, **how).fingerprint() == load(cells, **how).fingerprint()
    assert load(held).kinds == ("reals",)
    with pytest.raises(UserError, match="`columns`: nothing in the AnnData reads it"):
        load(held, columns={"gene 0": "real"})


def test_cells_of_no_known_kind_may_be_a_class_of_their_own(cells):
    found = load(cells, label_column="gone", unlabelled_as="unknown", layer="counts", test_fraction=0)
    assert found.class_names == ("B cell", "T cell", "unknown")
    assert (torch.cat([found.train.y, found.validation.y]) == 2).sum() == 1


def test_the_raw_matrix_is_a_layer(cells):
    found = load(cells, layer="raw")
    assert found.kinds == ("counts",)
    assert found.columns == tuple(f"gene {number}" for number in range(9))


def test_labels_of_new_cells_are_those_of_the_run(cells, tmp_path):
    """One of the kinds alone would be the first of its own."""
    import anndata

    how = Reading(label_column="kind", layer="counts")
    info = DataInfo.of(load(cells, label_column="kind", layer="counts"))
    new = anndata.read_h5ad(cells)
    new[(new.obs["kind"] == "T cell").to_numpy()].copy().write_h5ad(tmp_path / "new.h5ad")
    assert read_input(tmp_path / "new.h5ad", info, how).y.unique().tolist() == [info.by_name["T cell"]] == [1]
    new.obs["kind"] = new.obs["kind"].cat.rename_categories({"T cell": "NK cell"})
    new.write_h5ad(tmp_path / "new.h5ad")
    with pytest.raises(UserError, match="y holds 'NK cell', the run's labels are B cell, T cell"):
        read_input(tmp_path / "new.h5ad", info, how)


def test_new_cells_are_read_by_the_names_of_their_genes(cells, tmp_path):
    import anndata

    info = DataInfo.of(load(cells, label_column="kind", layer="counts"))
    new = anndata.read_h5ad(cells)[:9, ::-1].copy()
    del new.obs["kind"]
    new.write_h5ad(tmp_path / "new.h5ad")
    how = Reading(label_column="kind", layer="counts")
    found = read_input(tmp_path / "new.h5ad", info, how)
    assert torch.equal(found.x.long(), torch.from_numpy(COUNTS[:9]))
    assert found.y is None
    with pytest.raises(UserError, match="the run learned from the layer 'depth', and there is no such layer"):
        read_input(tmp_path / "new.h5ad", info, Reading(layer="depth"))
    new[:, :5].copy().write_h5ad(tmp_path / "few.h5ad")
    with pytest.raises(UserError, match="there is no gene 'gene 0', which the run learned from"):
        read_input(tmp_path / "few.h5ad", info, how)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"layer": "count"}, "did you mean 'counts'"),
        ({"label_column": "kinds"}, "did you mean 'kind'"),
        ({"label_column": "gone"}, "label column 'gone' is empty in row 8"),
    ],
)
def test_what_is_not_there_is_said(cells, how, words):
    with pytest.raises(UserError, match=words):
        load(cells, **how)
