"""``make gpu-check``, as far as it goes without a GPU: its plumbing, on the CPU."""

import importlib.util
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_check.py"
pytestmark = pytest.mark.skipif(not SCRIPT.exists(), reason="these tests run away from their checkout")


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_without_a_gpu_it_says_so_in_a_line(script, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert script.main(["--results", str(tmp_path / "results.md")]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "no CUDA GPU" in err
    assert not list(tmp_path.iterdir())


def test_the_section_is_replaced_and_the_rest_left_alone(script, tmp_path):
    results = tmp_path / "results.md"
    results.write_text("# Results\n\nOthers.\n")
    script.put("## On one", results)
    assert results.read_text() == f"# Results\n\nOthers.\n\n{script.BEGIN}\n## On one\n{script.END}\n"
    results.write_text(results.read_text() + "\n## After it\n")
    script.put("## On another\n\n| a |", results)
    text = results.read_text()
    assert text == f"# Results\n\nOthers.\n\n{script.BEGIN}\n## On another\n\n| a |\n{script.END}\n\n## After it\n"
    script.put("## On another\n\n| a |", results)
    assert results.read_text() == text


def said(script: ModuleType, *codes: str, seconds: float = 60.0, tables: bool = True) -> tuple[str, bool]:
    part = script.Part("A part", 1, [[sys.executable, "-c", code] for code in codes], tables)
    return script.measured(part, seconds, Path("/nowhere"))


def test_a_part_shows_its_commands_and_what_the_last_one_prints(script):
    piece, well = said(script, "print('first')", "print('### digits'); print('| a |')")
    assert well
    assert piece.startswith("### A part\n\n```\npython -c 'print('")
    assert piece.endswith("```\n\n#### digits\n| a |")
    assert "\nfirst" not in piece
    piece, _ = said(script, "[print(number) for number in range(100)]", tables=False)
    assert piece.endswith("\n98\n99\n```")
    assert "\n60\n" not in piece


def test_a_part_that_fails_or_takes_too_long_says_so(script):
    piece, well = said(script, "raise SystemExit('no such thing')", "print('never')")
    assert not well
    assert piece.endswith("Failed with status 1: no such thing")
    begun = time.monotonic()
    piece, well = said(script, "import time; time.sleep(60)", seconds=0.5)
    assert time.monotonic() - begun < 20
    assert not well
    assert piece.endswith("Ended, its time was up.")
    assert said(script, "print(1)", seconds=-1.0)[0].endswith("Ended, its time was up.")


@pytest.mark.slow
def test_all_of_it_on_the_cpu(script, tmp_path, capfd):
    results = tmp_path / "results.md"
    for only in ([], ["--only", "steps"]):
        status = script.main(["--device", "cpu", "--tiny", "--results", str(results), *only])
        text = results.read_text()
        assert status == 0, text
        assert text.count("\n### ") == (1 if only else 4)
        assert text.count(script.BEGIN) == text.count(script.END) == 1
        assert "| the matrix products alone" in text
    assert "torch" in text
    assert f"{torch.__version__.partition('+')[0]}" in text
    assert "0 of 4 parts failed" in capfd.readouterr().out
