"""What the README shows runs as it stands."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="needs the checkout, not an installed wheel")


def test_python_blocks_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), {})
    assert re.search(r"log p\(x\) ≥ -2[3-6]\.\d+ ± 0\.\d+ nats", capsys.readouterr().out)


def test_pictures_and_files_exist():
    targets = re.findall(r"\]\((?!http)([^)]+)\)", README.read_text())
    assert len(targets) >= 4
    for target in targets:
        assert (README.parent / target).is_file(), target
