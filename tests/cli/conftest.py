import math
from contextlib import contextmanager

import numpy as np
import pytest

from ppl_vae.cli.main import main
from ppl_vae.reports import effort, pictures, report
from ppl_vae.runtime import progress
from tests.cli.explored import Explorer, explored, train

FEW = effort.FULL._replace(datapoints=20)
_PICTURES = dict(pictures._PICTURES)
_SHOWN = {"draw_run": pictures.draw_run, "write_report": report.write_report}


@pytest.fixture(scope="module", autouse=True)
def numbers_only():
    """Runs end without pictures and a report: here nearly every test trains something, and few look at them. Nor does
    it depend on how fast the machine is what they say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ppl_vae.cli.train.draw_run", lambda *_: [])
        patch.setattr("ppl_vae.cli.train.write_report", lambda *_: None)
        patch.setattr("ppl_vae.cli.train.effort_after_training", lambda *_: FEW)
        patch.setattr(progress, "FIRST_LINE", math.inf)
        yield


@pytest.fixture(scope="session")
def shown():
    """In a ``with``, runs have their report (of few datapoints), and the pictures that are named; all by default."""

    @contextmanager
    def shown_(*stems):
        with pytest.MonkeyPatch.context() as patch:
            for name, function in _SHOWN.items():
                patch.setattr(f"ppl_vae.cli.train.{name}", function)
            patch.setattr("ppl_vae.cli.train.effort_after_training", lambda *_: FEW)
            patch.setattr(pictures, "_PICTURES", {stem: _PICTURES[stem] for stem in stems or _PICTURES})
            yield

    return shown_


@pytest.fixture
def every_picture(shown):
    """A run gets the report and all the pictures that it gets outside the tests."""
    with shown():
        yield


@pytest.fixture
def one_picture(shown):
    """A run gets its report, and of the pictures that of its training."""
    with shown("training"):
        yield


@pytest.fixture
def cli(capsys):
    """Run a command: (exit status, standard output, standard error)."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory, shown):
    """A small finished run on the digits, with everything that a run has."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    arguments = ["train", "--latent-dim", "2", "--hidden", "32", "--epochs", "4", "--out", str(path)]
    with shown():
        assert main(arguments) == 0
    return path


@pytest.fixture
def npz(tmp_path):
    """Write an .npz and return its path."""

    def write(**arrays):
        path = tmp_path / "input.npz"
        np.savez(path, **arrays)
        return path

    return write


@pytest.fixture(scope="session")
def plane_page(trained, tmp_path_factory):
    return explored(trained, tmp_path_factory.mktemp("pages") / "plane.html")


@pytest.fixture
def plane(plane_page, trained, open_page):
    return Explorer(open_page(plane_page), trained)


@pytest.fixture(scope="session")
def conditional_run(tmp_path_factory):
    return train(tmp_path_factory, "conditional", "--model", "conditional", "--family", "full-rank")


@pytest.fixture(scope="session")
def conditional_page(conditional_run, tmp_path_factory):
    return explored(conditional_run, tmp_path_factory.mktemp("pages") / "conditional.html")


@pytest.fixture
def conditional(conditional_page, conditional_run, open_page):
    return Explorer(open_page(conditional_page), conditional_run)
