"""Builds the wheel, installs it into an empty folder and runs the tests against it, away from the checkout."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def build_wheel(work: Path) -> Path:
    """Build from a copy of what git tracks: an old build/ in the checkout would bring back deleted modules."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in listed.splitlines():
        if (ROOT / name).is_symlink() or (ROOT / name).is_file():
            (work / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, work / "source" / name, follow_symlinks=False)
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(work), str(work / "source")]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = work.glob("*.whl")
    return wheel


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
        wheel = build_wheel(work)
        # --no-deps into a folder: the environment's own libraries are used, its editable install of us is not.
        subprocess.run([*pip, "install", "--no-deps", "--target", str(work / "site"), str(wheel)], check=True)
        for folder in ("tests", "examples"):  # the examples are what a user has of their own
            shutil.copytree(ROOT / folder, work / folder)
        shutil.copy(ROOT / "pyproject.toml", work)
        environment = {
            **os.environ,
            "PYTHONPATH": str(work / "site"),
            "PPL_VAE_SHARED_DATA": os.environ.get("PPL_VAE_SHARED_DATA", str(ROOT.parent / "shared" / "data")),
            "PPL_VAE_INSTALLED_IN": str(work / "site"),
        }
        return subprocess.run([sys.executable, "-m", "pytest", *sys.argv[1:]], cwd=work, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
