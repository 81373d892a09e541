"""What is installed is what git tracks, and there is one copy of it."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import ppl_vae

ROOT = Path(__file__).resolve().parents[1]
in_checkout = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs the checkout, not an installed wheel")


def tracked():
    """The package's files that git knows, by their names in a wheel."""
    command = ["git", "ls-files", "models/*", "guides/*", "ppl_vae/*"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    found = {name if name.startswith("ppl_vae/") else f"ppl_vae/{name}" for name in names}
    assert len(found) > 30
    return found - {"ppl_vae/models", "ppl_vae/guides"}  # symlinks


def test_tests_run_against_the_installed_wheel_where_that_is_asked_for():
    expected = os.environ.get("PPL_VAE_INSTALLED_IN")
    if expected is None:
        pytest.skip("only `make test-wheel` says where the wheel is")
    assert Path(ppl_vae.__file__).is_relative_to(expected)


@in_checkout
def test_every_folder_of_python_is_a_package():
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {str(Path(name).parent).replace("/", ".") for name in tracked() if name.endswith(".py")}
    assert len(folders) > 10
    assert folders == set(packages)


@in_checkout
@pytest.mark.slow
def test_wheel_holds_every_tracked_file(tmp_path):
    script = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); import run_on_wheel, pathlib; "
    script += f"print(run_on_wheel.build_wheel(pathlib.Path({str(tmp_path)!r})))"
    built = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    wheel = built.stdout.strip()
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith("ppl_vae/")}
    assert packed == tracked()


@in_checkout
@pytest.mark.parametrize("name", ["models", "guides"])
def test_a_second_copy_cannot_be_imported(name):
    run = subprocess.run([sys.executable, "-c", f"import {name}"], cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 1
    assert f"import ppl_vae.{name}" in run.stderr


def test_symlinked_packages_are_one_module():
    from ppl_vae.guides import Diagonal
    from ppl_vae.guides.families import Diagonal as Same

    assert Diagonal is Same
    assert Diagonal.__module__ == "ppl_vae.guides.families"


@in_checkout
@pytest.mark.parametrize("name", ["train", *(pytest.param(n, marks=pytest.mark.slow) for n in ("evaluate", "sample"))])
def test_scripts_run_from_a_checkout(name, tmp_path):
    script = ROOT / "scripts" / f"{name}.py"
    run = subprocess.run([sys.executable, str(script), "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert f"ppl-vae {name}" in run.stdout


@pytest.mark.slow
def test_the_embedded_default_needs_no_torchvision():
    code = (
        "import sys; sys.modules['torchvision'] = None\n"
        "import ppl_vae.cli.train\n"
        "from ppl_vae.data import load\n"
        "assert len(load('digits').train) > 1000"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
