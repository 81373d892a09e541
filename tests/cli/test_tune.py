"""``ppl-vae tune``: what it prints and leaves, and what it refuses in the words of its flags."""

SMALL = ("--epochs", "2", "--batch-size", "647", "--hidden", "8", "--engine", "eager", "--num-samples", "5")


def test_it_prints_the_trials_what_the_best_gains_and_where_the_report_is(cli, tmp_path):
    out = tmp_path / "study"
    study = ("tune", "--search", "learning-rate=1e-3,1e-2", *SMALL, "--device", "cpu", "--out", out)
    code, printed, _ = cli(*study, "--trials", "2", "--no-report")
    assert code == 0
    assert "2 trials, 0 ended early" in printed
    assert "warning  All 2 trials have settings that were given or drawn at random" in printed
    assert "With more --trials the same study goes on." in printed
    assert not (out / "report.html").exists()
    code, printed, _ = cli(*study, "--trials", "3")
    assert code == 0
    assert f"\nreport   {out / 'report.html'}\n" in printed
    assert printed.splitlines()[-1].startswith("next     ppl-vae ")
    assert "1e-3" not in (page := (out / "report.html").read_text()).partition("<h2>How it was made")[0]
    assert "learning-rate=1e-3,1e-2" in page  # as it was typed, to go on with
    code, _, errors = cli(*study, "--trials", "3", "--data-seed", "1")
    assert code == 2
    assert (
        errors
        == f"ppl-vae: {out} holds a study on other terms (--data-seed); repeat its command, or choose another --out.\n"
    )


def test_a_guide_without_a_validation_bound_is_refused_before_anything_is_written(cli, tmp_path):
    out = tmp_path / "rows"
    code, _, errors = cli("tune", "--search", "guide=amortized,mean-field", *SMALL, "--out", out)
    assert code == 2
    assert errors.startswith("ppl-vae: --guide mean-field: a study chooses by the bound on validation data")
    assert errors.count("\n") == 1
    assert not out.exists()
