"""The last lines of a training, and the report that is made at another time."""

import json
import shlex

import pytest

SMALLEST = ["--hidden", "8", "--latent-dim", "2", "--epochs", "1"]

ENDING = ["run", "result", "report", "next"]


def ending(out):
    lines = out.splitlines()[-len(ENDING) :]
    assert [line.split()[0] for line in lines] == ENDING
    return [line[9:] for line in lines]


@pytest.mark.parametrize(
    "flags", [[], ["--guide", "per-datapoint"], ["--family", "point"], ["--objective", "iwae", "--num-particles", "2"]]
)
def test_training_ends_in_what_came_of_it(cli, tmp_path, flags):
    """Without a report too, and the next command runs."""
    path = tmp_path / "run"
    status, out, err = cli("train", *SMALLEST, *flags, "--no-report", "--out", path)
    assert (status, err) == (0, "")
    run, result, report, following = ending(out)
    assert run.startswith(f"{path}: ")
    assert " on digits, 1 epoch in " in run
    assert run.endswith("; the loss is minus the reconstruction, minus log p(z)") == ("point" in flags)
    assert result.split()[0] == ("reconstruction" if "point" in flags else "elbo")
    assert result.endswith(f"{'training' if 'per-datapoint' in flags else 'test'} datapoints; higher is better")
    assert report.endswith(f"ppl-vae report {path}")
    _, *command = shlex.split(following.partition("   (")[0])
    assert command == ["train", "--resume", str(path), "--epochs", "46"]  # of so few steps nothing is to be read
    assert cli(*command[:-1], 2, "--no-report")[0] == 0
    assert not list((path / "figures").glob("*"))


def test_the_result_is_that_of_evaluate(cli, tmp_path):
    path = tmp_path / "run"
    _, result, *_ = ending(cli("train", *SMALLEST, "--no-report", "--out", path)[1])
    found = json.loads(cli("evaluate", path, "--no-diagnose", "--json")[1])
    assert float(result.split()[1]) == pytest.approx(found["elbo"], abs=0.01)


@pytest.mark.usefixtures("one_picture")
def test_a_report_at_another_time_is_the_full_one(cli, tmp_path, monkeypatch):
    path = tmp_path / "run"
    _, _, report, _ = ending(cli("train", *SMALLEST, "--out", path)[1])
    assert report == f"{path / 'report.html'} (its pictures: {path / 'figures'})"
    assert "ppl-vae report" in (path / "report.html").read_text()  # the tests' own is of 20 datapoints
    status, out, err = cli("report", path)
    assert (status, err) == (0, "")
    assert out.splitlines() == [f"report   {report}"]
    assert "this report looks at" not in (path / "report.html").read_text()
