"""Files of text and music, runs on them and their flags against bad input."""

import json
import shutil

import pytest

from ppl_vae.data import load
from tests.cli.test_bad_input import refused

WORDS = [f"{word}{end}" for word in ("an", "ben", "ida", "otto") for end in ("", "a", "o", "ine", "bert")]
TUNES = [[[60 + k, 64 + k]] * (2 + k % 3) for k in range(12)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    from ppl_vae.cli.main import main

    folder = tmp_path_factory.mktemp("sequences")
    (folder / "words.txt").write_text("\n".join(WORDS))
    (folder / "tunes.json").write_text(json.dumps(TUNES))
    made = {}
    for kind, data in (("text", folder / "words.txt"), ("notes", folder / "tunes.json"), ("plain", "digits")):
        made[kind] = folder / kind
        flags = ["--model", "sequence", "--hidden", "4", "--latent-dim", "2", "--epochs", "1", "--batch-size", "500"]
        assert main(["train", *flags, "--data", str(data), "--out", str(made[kind])]) == 0
    return made


@pytest.mark.parametrize("kind", ["text", "notes", "plain"])
def test_files_are_in_the_way_of_what_is_written_only(cli, runs, tmp_path, kind):
    (tmp_path / "draws").mkdir()
    (tmp_path / "draws.txt").write_text("keep")
    result = cli("sample", runs[kind], "prior", "--num-samples", "2", "--out", tmp_path / "draws.npz")
    if kind == "plain":
        assert result[0] == 0
    else:
        refused(result, "exists", "--out")
        assert {path.name for path in tmp_path.iterdir()} == {"draws", "draws.txt"}
    assert (tmp_path / "draws.txt").read_text() == "keep"
    assert list((tmp_path / "draws").iterdir()) == []


@pytest.mark.parametrize("change", [("alphabet: ", "alphabet: a #"), ("layout: text", "layout: notes")])
def test_a_record_whose_layout_cannot_be_is_refused(cli, runs, tmp_path, change):
    run = shutil.copytree(runs["text"], tmp_path / "run")
    config = (run / "config.yaml").read_text()
    assert change[0] in config
    (run / "config.yaml").write_text(config.replace(*change))
    refused(cli("sample", run, "prior", "--out", tmp_path / "x.npz"), "config.yaml", "a step of", "numbers here")


def test_a_record_whose_layout_is_not_the_datas_is_refused(cli, runs, tmp_path):
    run = shutil.copytree(runs["text"], tmp_path / "run")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("layout: text", "layout: plain"))
    refused(cli("evaluate", run, "--limit", "2"), "is not what", "trained on")


def test_music_may_begin_with_a_byte_order_mark(tmp_path):
    path = tmp_path / "tunes.json"
    path.write_text(json.dumps(TUNES), encoding="utf-8-sig")
    assert load(path).layout == "notes"


@pytest.mark.slow
def test_a_points_elbo_is_not_put_beside_ngrams(one_picture, cli, runs, tmp_path):
    data, run = runs["text"].parent / "words.txt", tmp_path / "run"
    flags = ["--model", "sequence", "--family", "point", "--hidden", "4", "--latent-dim", "2", "--epochs", "1"]
    assert cli("train", *flags, "--data", data, "--out", run)[0] == 0
    out = cli("evaluate", run)[1]
    assert "bigram" not in out
    assert "The guide puts z at one point, which has no density" in out
    assert "bigram" not in (run / "report.html").read_text()
    quick = ["--estimator", "ais", "--temperatures", "3", "--num-samples", "4", "--start", "prior"]
    out = cli("evaluate", run, *quick)[1]
    assert "bigram" in out  # of a bound that is one
    assert "The guide puts z at one point, which has no density" not in out
