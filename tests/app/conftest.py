import numpy as np
import pytest

from ppl_vae.app import pictures
from ppl_vae.app.cli import main
from tests.app.explored import Explorer, explored, train

_PICTURES = dict(pictures._PICTURES)


@pytest.fixture(scope="session", autouse=True)
def brief_reports():
    """Reports of few datapoints: here nearly every test trains something."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ppl_vae.app.report.NUM_DATAPOINTS", 20)
        yield


@pytest.fixture(scope="module", autouse=True)
def one_picture():
    """Of each run, for the same reason; see :func:`every_picture`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_PICTURES", {"training": _PICTURES["training"]})
        yield


@pytest.fixture
def every_picture(monkeypatch):
    """A run gets all the pictures that it gets outside the tests."""
    monkeypatch.setattr(pictures, "_PICTURES", _PICTURES)


@pytest.fixture
def cli(capsys):
    """Run a command: (exit status, standard output, standard error)."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A small finished run on the digits."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    arguments = ["train", "--latent-dim", "2", "--hidden", "32", "--epochs", "4", "--out", str(path)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "_PICTURES", _PICTURES)
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
