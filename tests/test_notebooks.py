"""The notebooks run as they stand, without a red line; they hold no outputs, and their links lead somewhere."""

import re
import warnings
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.test_docs import ROOT, anchors

FOLDER = ROOT / "docs" / "notebooks"
NAMES = ["holes-in-a-table", "swap-the-guide", "tutorial", "what-inference-loses", "your-own-pair"]
QUICK = "holes-in-a-table"
PICTURES = {"holes-in-a-table": 1, "swap-the-guide": 1, "tutorial": 5, "what-inference-loses": 2, "your-own-pair": 2}

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="needs the checkout, not an installed wheel")


def notebook(name: str) -> Any:
    return nbformat.read(FOLDER / f"{name}.ipynb", 4)


def test_they_are_all_here_and_linked() -> None:
    assert sorted(path.stem for path in FOLDER.iterdir()) == NAMES
    how_to = (ROOT / "docs" / "how-to.md").read_text()
    assert all(f"notebooks/{name}.ipynb" in how_to for name in NAMES)


def test_training_comparing_gaps_and_draws_take_eight_lines_and_two_imports() -> None:
    page = (ROOT / "docs" / "how-to.md").read_text()
    block = next(each for each in re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL) if "pv.compare(" in each)
    lines = [line for line in block.splitlines() if line.strip()]
    imports = [line for line in lines if line.startswith(("import ", "from "))]
    assert len(imports) <= 2
    assert len(lines) - len(imports) <= 8
    assert all(name in block for name in ("pv.fit(", "pv.compare(", "pv.inference_gaps(", "predictive."))


def test_nine_cells_have_eight_lines_and_two_imports_at_most() -> None:
    page = (ROOT / "docs" / "python.md").read_text()
    cells = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    assert len(cells) == 9
    for cell in cells:
        lines = [line for line in cell.splitlines() if line.strip()]
        assert len(lines) <= 8, cell
        assert sum(line.startswith(("import ", "from ")) for line in lines) <= 2, cell


@pytest.mark.parametrize("name", NAMES)
def test_one_is_valid_holds_no_outputs_and_explains_each_of_its_steps(name: str) -> None:
    found = notebook(name)
    nbformat.validate(found)
    kinds = [cell.cell_type for cell in found.cells]
    assert kinds[0] == "markdown"
    assert "codecodecodecode" not in "".join(kinds)
    assert all(not cell.outputs and cell.execution_count is None for cell in found.cells if cell.cell_type == "code")
    texts = [cell.source for cell in found.cells if cell.cell_type == "markdown"]
    assert max(len(line) for text in texts for line in text.split("\n")) <= 125
    for link in re.findall(r"\]\(([^)]+)\)", "\n".join(texts)):
        target, _, anchor = link.partition("#")
        file = FOLDER / target
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != QUICK)) for name in NAMES])
def test_one_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is printed in red, each figure is a picture, and each bar has one line."""
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    found = notebook(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Jupyter's own
        nbclient.NotebookClient(
            found, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
    outputs = [output for cell in found.cells if cell.cell_type == "code" for output in cell.outputs]
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == PICTURES[name]
    plain = [output.data.get("text/plain", "") for output in outputs if "data" in output]
    assert sum("<Picture" in text or "<Figure" in text for text in plain) == len(pictures)
    for cell in found.cells:
        if cell.cell_type == "code":
            bars = [o for o in cell.outputs if "<progress" in o.get("data", {}).get("text/html", "")]
            assert len(bars) <= len(re.findall(r"pv\.(fit|compare)\(|family in", cell.source)) * 3
