"""Sequence models from the command line: names and tunes, trained, resumed, evaluated, sampled, inferred."""

import json
import shutil

import numpy as np
import pytest
import symusic
import torch

from ppl_vae.baselines.ngrams import ngram_log_prob
from ppl_vae.data import load
from ppl_vae.data.codecs import decode_notes, decode_text, encode_text
from ppl_vae.runs import film
from ppl_vae.runs.run import Run
from ppl_vae.runtime.shown import with_error
from tests.cli.test_bad_input import refused
from tests.marks import slow_after

SMALL = ["--model", "sequence", "--hidden", "8", "--latent-dim", "2", "--batch-size", "16"]
WORDS = [f"{word}{end}" for word in ("an", "ben", "ida", "otto", "eva") for end in ("", "a", "o", "ine", "bert")]
TUNES = [[[60 + k, 64 + k]] * (2 + k % 3) + [[55 + k]] for k in range(12)]


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "names.txt"
    path.write_text("\n".join(WORDS) + "\n")
    return path


@pytest.fixture(scope="module")
def tunes(tmp_path_factory):
    path = tmp_path_factory.mktemp("music") / "tunes.json"
    path.write_text(json.dumps({"train": TUNES[:8], "valid": TUNES[8:10], "test": TUNES[10:]}))
    return path


@pytest.fixture(scope="module")
def trained_on(tmp_path_factory, names, tunes):
    """A run on either."""
    from ppl_vae.cli.main import main

    runs = {}
    for kind, data in (("text", names), ("notes", tunes), ("plain", "digits")):
        runs[kind] = tmp_path_factory.mktemp("runs") / kind
        epochs = ["--epochs", "2"] if kind != "plain" else ["--epochs", "1", "--batch-size", "500"]
        assert main(["train", *SMALL, "--data", str(data), *epochs, "--out", str(runs[kind])]) == 0
    return runs


KINDS = ("text", "notes", "plain")


@pytest.mark.parametrize("kind", ["text", *(pytest.param(kind, marks=pytest.mark.slow) for kind in KINDS[1:])])
def test_a_run_has_its_pictures_and_report(cli, trained_on, shown, tmp_path, kind):
    """Those of its observations; the others are as all runs have them."""
    run = shutil.copytree(trained_on[kind], tmp_path / "run")
    with shown("reconstructions", "prior", "grid"):
        assert cli("train", "--resume", run)[0] == 0
    made = {path.stem for path in (run / "figures").glob("*.png")}
    assert {"reconstructions", "prior", "grid"} <= made
    page = (run / "report.html").read_text()
    for part in ("bigram", "unigram", "Nats per "):
        assert part in page
    assert "left out" not in page


def test_what_is_known_of_the_data_is_recorded(trained_on):
    info = Run.open(trained_on["text"]).record.info
    assert (info.layout, info.event_shape) == ("text", (8, 1 + len(info.alphabet)))
    assert info.alphabet == "".join(sorted(set("".join(WORDS))))
    assert Run.open(trained_on["notes"]).record.info.layout == "notes"
    assert Run.open(trained_on["plain"]).record.info.layout == "plain"


@pytest.mark.parametrize("kind", KINDS)
def test_evaluate_says_nats_per_step_beside_ngrams(cli, trained_on, kind):
    status, out, _ = cli("evaluate", trained_on[kind], "--num-samples", "4", "--no-diagnose", "--limit", "40", "--json")
    assert status == 0
    found = json.loads(out)
    per_step = found["per_step"]
    assert per_step["step"] == {"text": "character (the end is one)", "notes": "time step", "plain": "row"}[kind]
    run = Run.open(trained_on[kind])
    splits = load(run.record.config.data)
    test, train = splits.test.fixed(0).head(40), splits.train.fixed(0)
    steps = {"text": test.x[..., 0].sum(1) + 1, "notes": test.x[..., 0].sum(1)}.get(kind, torch.full((40,), 8.0))
    for order, name in ((1, "unigram"), (2, "bigram")):
        expected = ngram_log_prob(train.x, test.x, kind, order).sum() / steps.sum()
        assert per_step[name]["mean"] == pytest.approx(expected.item())
    assert per_step["elbo"]["mean"] == pytest.approx(found["elbo"] / steps.mean().item(), rel=1e-5)
    difference = per_step["elbo"]["mean"] - per_step["bigram"]["mean"]
    assert per_step["above_bigram"]["mean"] == pytest.approx(difference, rel=1e-4, abs=1e-6)
    assert found["protocol"]["binarization"] == ("dynamic" if kind == "plain" else "none")
    _, table, _ = cli("evaluate", trained_on[kind], "--num-samples", "4", "--no-diagnose", "--limit", "40")
    assert f"nats per {per_step['step']}:" in table
    assert f"bigram        {with_error(per_step['bigram']['mean'], per_step['bigram']['stderr'])}" in table


def test_other_models_have_no_steps(cli, trained):
    _, out, _ = cli("evaluate", trained, "--num-samples", "2", "--no-diagnose", "--limit", "5", "--json")
    assert "per_step" not in json.loads(out)


def test_the_error_of_a_ratio_is_that_of_many_samples():
    from ppl_vae.evaluation.per_step import PerStep

    steps = torch.randint(1, 20, (4000, 50)).double()
    values = -2.0 * steps + torch.randn(4000, 50, dtype=torch.float64) * steps.sqrt()
    means = [PerStep(*row).mean for row in zip(values, steps, strict=True)]
    errors = [PerStep(*row).stderr for row in zip(values, steps, strict=True)]
    spread = np.std(means)
    assert np.mean(errors) == pytest.approx(spread, rel=0.1)
    assert np.mean(means) == pytest.approx(-2, abs=5 * spread / 4000**0.5)


def test_resuming_text_is_the_uninterrupted_run(cli, names, tmp_path):
    """Word dropout's masks are drawn from the generator that a checkpoint keeps."""
    flags = [*SMALL, "--data", names, "--word-dropout", "0.5", "--validation-fraction", "0.2"]
    assert cli("train", *flags, "--epochs", "4", "--out", tmp_path / "whole")[0] == 0
    assert cli("train", *flags, "--epochs", "2", "--out", tmp_path / "parts")[0] == 0
    assert cli("train", "--resume", tmp_path / "parts", "--epochs", "4")[0] == 0
    one, other = (Run.open(tmp_path / name).load_pair(torch.device("cpu")) for name in ("whole", "parts"))
    for left, right in zip((*one.model.parameters(), *one.guide.parameters()), other_parameters(other), strict=True):
        assert torch.equal(left, right)


def other_parameters(pair):
    return (*pair.model.parameters(), *pair.guide.parameters())


def test_draws_of_text_are_written_as_text(cli, trained_on, tmp_path):
    status, out, _ = cli("sample", trained_on["text"], "prior", "--num-samples", "5", "--out", tmp_path / "p.npz")
    assert status == 0
    alphabet = Run.open(trained_on["text"]).record.info.alphabet
    with np.load(tmp_path / "p.npz") as arrays:
        expected = decode_text(torch.from_numpy(arrays["x"]), alphabet)
    lines = (tmp_path / "p.txt").read_text().splitlines()
    assert lines == expected
    assert all(1 <= len(line) <= 8 for line in lines)
    assert all(line in out for line in lines)
    assert {path.name for path in tmp_path.iterdir()} == {"p.npz", "p.png", "p.svg", "p.txt"}


def test_reconstructions_stand_beside_observations(cli, trained_on, tmp_path):
    assert cli("sample", trained_on["text"], "posterior", "--num-samples", "3", "--out", tmp_path / "p.npz")[0] == 0
    rows = [line.split("\t") for line in (tmp_path / "p.txt").read_text().splitlines()]
    assert len(rows) == 3
    assert all(observation in WORDS and len(rest) == 1 for observation, *rest in rows)


def test_a_way_begins_and_ends_at_the_given_words(cli, trained_on, tmp_path):
    flags = ["--images", "0", "2", "1", "--steps", "4", "--out", tmp_path / "way.npz"]
    assert cli("sample", trained_on["text"], "interpolate", *flags)[0] == 0
    record = Run.open(trained_on["text"]).record
    given = decode_text(load(record.config.data).test.x[[0, 2, 1]], record.info.alphabet)
    rows = [line.split("\t") for line in (tmp_path / "way.txt").read_text().splitlines()]
    assert [(row[0], row[-1], len(row)) for row in rows] == [(given[0], given[1], 6), (given[1], given[2], 6)]
    with np.load(tmp_path / "way.npz") as arrays:
        between = torch.from_numpy(arrays["means"])
    assert [row[1:-1] for row in rows] == [decode_text(way, record.info.alphabet) for way in between]


def test_music_is_written_as_midi_files(cli, trained_on, tunes, tmp_path):
    out = tmp_path / "way.npz"
    status, said, _ = cli("sample", trained_on["notes"], "interpolate", "--steps", "3", "--out", out)
    assert status == 0
    assert "5 MIDI files" in said
    with np.load(out) as arrays:  # of music draws are shown, from the same noise all along the way
        drawn = decode_notes(torch.from_numpy(arrays["x"][0]))
    names = [f"1-{number:02d}.mid" for number in range(5)]
    assert sorted(path.name for path in (tmp_path / "way").iterdir()) == names
    given = decode_notes(load(str(tunes)).test.x)
    for name, piece in zip(names, [given[0], *drawn, given[1]], strict=True):
        score = symusic.Score(tmp_path / "way" / name)
        quarter = score.ticks_per_quarter
        for step, notes in enumerate(piece):
            at = (step + 0.5) * quarter
            sounding = [n.pitch for track in score.tracks for n in track.notes if n.start < at < n.end]
            assert sorted(sounding) == notes


# Draws of the plain kind are shown as those of any model.
SAMPLED = [
    pytest.param(kind, what, marks=[pytest.mark.slow] * (kind == "plain" and what not in ("prior", "interpolate")))
    for kind in KINDS
    for what in ("prior", "posterior", "interpolate", "neighbours", "traverse", "grid")
]


@pytest.mark.parametrize(("kind", "what"), slow_after(7, SAMPLED))
def test_everything_can_be_sampled(cli, trained_on, kind, what):
    few = {"neighbours": ["--count", "2", "--images", "0", "1"], "grid": ["--steps", "3"], "traverse": ["--steps", "2"]}
    status, out, err = cli("sample", trained_on[kind], what, *few.get(what, ["--seed", "1"]))
    assert (status, err) == (0, "")
    assert "picture" in out


@pytest.mark.parametrize("arguments", [["conditional"], ["arithmetic", "--from-label", "0", "--to-label", "1"]])
def test_what_needs_labels_is_refused(cli, trained_on, arguments):
    refused(cli("sample", trained_on["text"], *arguments), "labels")


def test_arithmetic_of_words(cli, trained_on, tmp_path):
    flags = ["--subtract", "0", "--add", "1", "--images", "2", "--strengths", "0", "1", "--out", tmp_path / "a.npz"]
    assert cli("sample", trained_on["text"], "arithmetic", *flags)[0] == 0


def test_the_explorer_is_refused(cli, trained_on):
    refused(cli("explore", trained_on["text"]), "sequence cannot be explored")


@pytest.mark.slow
def test_holes_and_generators_of_words(cli, trained_on, tmp_path):
    run, out = trained_on["text"], tmp_path / "x.npz"
    assert cli("holes", run, "--split", "train", "--num-places", "2", "--out", tmp_path / "h.npz")[0] == 0
    assert cli("generators", run, "--columns", "3", "--out", out)[0] == 0
    assert out.exists()


@pytest.mark.slow
def test_a_film_of_words(cli, names, tmp_path, monkeypatch):
    monkeypatch.setattr(film, "_NUM_FRAMES", 3)
    flags = [*SMALL, "--data", names, "--epochs", "2", "--film", "--out", tmp_path / "run"]
    assert cli("train", *flags)[0] == 0
    assert (tmp_path / "run" / "film.gif").exists()


def test_infer_takes_what_the_run_was_trained_on(cli, trained_on, tunes, tmp_path):
    new = tmp_path / "new.txt"
    new.write_text("anna\nida\n")
    assert cli("infer", trained_on["text"], "--input", new, "--out", tmp_path / "text.npz")[0] == 0
    alphabet = Run.open(trained_on["text"]).record.info.alphabet
    np.savez(tmp_path / "new.npz", x=encode_text(["anna", "ida"], alphabet, 8).numpy())
    flags = ["--input", tmp_path / "new.npz", "--out", tmp_path / "array.npz"]
    assert cli("infer", trained_on["text"], *flags)[0] == 0
    with np.load(tmp_path / "text.npz") as one, np.load(tmp_path / "array.npz") as other:
        assert one["z_mean"].shape == (2, 2)
        np.testing.assert_array_equal(one["elbo"], other["elbo"])
    assert cli("infer", trained_on["notes"], "--input", tunes, "--out", tmp_path / "notes.npz")[0] == 0
    with np.load(tmp_path / "notes.npz") as arrays:
        assert arrays["z_mean"].shape == (12, 2)
    new.write_text("anna\nxaver\n")
    refused(cli("infer", trained_on["text"], "--input", new, "--out", tmp_path / "no.npz"), "'xaver' holds", "alphabet")
    assert not (tmp_path / "no.npz").exists()


@pytest.mark.slow
def test_the_gap_of_words(cli, trained_on):
    small = "--limit 3 --elbo-samples 4 --num-samples 4 --chains 2 --temperatures 3 --infer-steps 5"
    assert (
        cli(
            "gaps",
            trained_on["text"],
            "--families",
            "diagonal",
            *small.split(),
            "--prior-temperatures",
            "3",
            "--engine",
            "eager",
        )[0]
        == 0
    )


@pytest.mark.parametrize("guide", ["per-datapoint", "semi-amortized"])
def test_other_guides(cli, tunes, tmp_path, guide):
    flags = [*SMALL, "--data", tunes, "--guide", guide, "--epochs", "1", "--out", tmp_path / "run"]
    assert cli("train", *flags)[0] == 0
    small = ["--num-samples", "2", "--infer-steps", "3", "--no-diagnose"]
    assert cli("evaluate", tmp_path / "run", *small)[0] == 0


@pytest.mark.slow
def test_a_vae_of_words_is_drawn_too(cli, names, tmp_path, shown):
    """Other models take a word as an array of independent bits; pictures show the likeliest characters."""
    flags = ["--data", names, "--hidden", "8", "--latent-dim", "2", "--epochs", "1", "--out", tmp_path / "run"]
    with shown("reconstructions", "prior", "grid"):
        status, _, err = cli("train", *flags)
    assert (status, err) == (0, "")
    assert (tmp_path / "run" / "figures" / "prior.png").exists()


ROWS = {
    "grey levels": (["--binarization", "none"], ["site 'x'", "binarize the data"]),
    "no hidden layer": (["--hidden"], ["--hidden"]),
    "all dropped": (["--word-dropout", "1"], ["--word-dropout", "less than 1"]),
    "flat": (["--data", "FLAT"], ["(N, steps, size)", "(5,)"]),
    "no text": (["--data", "nowhere.txt"], ["nowhere.txt: no such file"]),
}


@pytest.mark.parametrize("row", ROWS)
def test_what_cannot_be_trained_is_refused(cli, npz, tmp_path, row):
    arguments, parts = ROWS[row]
    flat = str(npz(x=np.zeros((20, 5), dtype=np.uint8)))
    out = tmp_path / "run"
    given = [flat if word == "FLAT" else word for word in arguments]
    refused(cli("train", *SMALL, "--epochs", "1", "--out", out, *given), *parts)
    assert not out.exists()


@pytest.mark.slow
def test_its_steps_are_compiled(cli, names, tmp_path):
    run = tmp_path / "run"
    flags = [*SMALL, "--data", names, "--epochs", "2", "--device", "cpu", "--engine", "traced"]
    status, out, err = cli("train", *flags, "--out", run)
    assert (status, err) == (0, "")
    assert "engine   traced: one step compiled" in out
    metrics = np.genfromtxt(run / "metrics.csv", delimiter=",", names=True)
    assert np.isfinite(metrics["elbo"]).all()
