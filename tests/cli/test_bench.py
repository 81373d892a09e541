"""``ppl-vae bench``, with a few steps in place of many."""

import json

import pytest

QUICK = ("--repeats", "2", "--steps", "2", "--threads", "1", "--device", "cpu")


def test_steps_as_tables_and_json(cli, tmp_path):
    tables, everything = tmp_path / "speed.md", tmp_path / "speed.json"
    who = ("--contenders", "eager", "floor", "pyro", "handwritten")
    status, out, err = cli("bench", "--only", "steps", "--sizes", "digits", *who, *QUICK, "--out", tables, everything)
    assert (status, err) == (0, "")
    assert out == tables.read_text()
    assert "### digits: 64-128-10 softplus, batch 128" in out
    assert "| Pyro's SVI.step" in out
    assert "- threads: 1" in out
    results = json.loads(everything.read_text())
    assert results["command"].startswith("ppl-vae bench --only steps --sizes digits --contenders eager floor")
    digits = results["steps"]["digits"]
    assert list(digits["contenders"]) == ["pyro", "handwritten", "floor", "eager"]  # the table's order
    for timing in digits["contenders"].values():
        assert timing["steps"] == 2
        assert len(timing["repetitions"]) == 2
        assert 0 < timing["min"] <= timing["ms"] <= timing["max"]


@pytest.mark.slow
def test_everything_but_starts_and_epochs(cli, monkeypatch):
    """The other parts, on tiny sizes; traced but not compiled, which would take most of a minute."""
    import torch._inductor

    from ppl_vae.bench import evaluation, load, networks, precision, scaling
    from ppl_vae.bench.sizes import IMAGES, SIZES

    tiny = SIZES["digits"]._replace(hidden=(8,), latent_dim=2, num_rows=256)
    monkeypatch.setattr(torch._inductor, "standalone_compile", lambda graph, examples, **_: graph)
    monkeypatch.setattr(evaluation, "_SIZES", ("digits",))
    monkeypatch.setattr(precision, "_SIZES", ("digits",))
    monkeypatch.setattr(load, "_SIZES", ("digits",))
    images = IMAGES._replace(event_shape=(8, 8), channels=(2, 2), hidden=4, num_rows=256)
    monkeypatch.setattr(networks, "NET_SIZES", {"images": images})
    monkeypatch.setattr(scaling, "cases", lambda: {"tiny": (tiny, False)})
    monkeypatch.setitem(SIZES, "digits", tiny)
    parts = ("steps", "load", "networks", "evaluation", "scaling", "precision")
    status, out, err = cli(
        "bench", "--only", *parts, "--sizes", "digits",
        "--contenders", "traced", "floor", *QUICK, "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    results = json.loads(out)
    assert set(results) == {*parts, "command", "machine"}
    for part in ("steps", "load"):
        ratio = results[part]["digits"]["ratios"]["traced/floor"]
        assert 0 < ratio["min"] <= ratio["median"] <= ratio["max"]
    assert all(of_size["digits"]["ratios"]["traced/eager"]["min"] > 0 for of_size in results["evaluation"].values())
    same, shorter = results["precision"]["digits, float32"], results["precision"]["digits, bf16"]
    assert (same["difference"], same["ratio"]["median"]) == (0.0, 1.0)
    assert 0 < abs(shorter["difference"]) < 0.1
    assert set(results["networks"]["images"]["ratios"]) == {"traced/handwritten", "traced/eager"}
    assert results["scaling"]["tiny"]["traced/eager"]["median"] > 0


def test_without_numpyro_it_goes_on_and_says_so(cli, monkeypatch):
    monkeypatch.setattr("ppl_vae.bench.contenders.find_spec", lambda name: None)
    status, out, _ = cli("bench", "--only", "steps", "--sizes", "digits", "--contenders", "numpyro", "floor", *QUICK)
    assert status == 0
    assert "NumPyro, jitted epoch: left out, NumPyro is not installed; pip install 'ppl_vae[bench]'." in out
    assert "the matrix products alone" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "stairs"), "stairs"),
        (("--sizes", "huge"), "huge"),
        (("--repeats", "0"), "--repeats"),
        (("--device", "cuda:99"), "device 'cuda:99' is not there"),
        (("--out", "speed.txt"), "--out speed.txt: the name must end in .md"),
        (("--out", "nowhere/speed.md"), "nowhere is no folder"),
    ],
)
def test_mistakes_are_one_line(cli, arguments, message):
    status, out, err = cli("bench", *arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_results_are_not_overwritten(cli, tmp_path):
    there = tmp_path / "speed.md"
    there.write_text("mine")
    status, _, err = cli("bench", "--out", there)
    assert status == 2
    assert "exists" in err
    assert there.read_text() == "mine"


def test_help_has_examples(capsys):
    from ppl_vae.cli.main import main

    with pytest.raises(SystemExit) as stop:
        main(["bench", "--help"])
    assert stop.value.code in (0, None)
    assert "ppl-vae bench --device cuda" in capsys.readouterr().out
