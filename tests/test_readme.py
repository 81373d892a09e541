"""What the README shows runs as it stands."""

import re
from pathlib import Path

import numpy as np
import pyro
import pytest

from ppl_vae.cli.main import main
from ppl_vae.reports import effort, pictures

README = Path(__file__).resolve().parents[1] / "README.md"

pytestmark = pytest.mark.skipif(not README.exists(), reason="needs the checkout, not an installed wheel")


def test_python_blocks_run(capsys):
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), {})
        pyro.clear_param_store()  # an AutoGuide's parameters, as the README says
    assert re.search(r"log p\(x\) ≥ -2[3-6]\.\d+ ± 0\.\d+ nats", capsys.readouterr().out)


def test_pictures_and_files_exist():
    targets = re.findall(r"\]\((?!http)([^)]+)\)", README.read_text())
    assert len(targets) >= 4
    for target in targets:
        assert (README.parent / target.partition("#")[0]).is_file(), target


@pytest.mark.slow
def test_the_example_pair_trains_and_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("ppl_vae.cli.train.effort_after_training", lambda *_: effort.FULL._replace(datapoints=20))
    monkeypatch.setattr(pictures, "_PICTURES", {"latent": pictures._PICTURES["latent"]})
    file = README.parent / "examples" / "mine.py"
    names = ["--model", f"{file}:Mine", "--guide", f"{file}:Guide", "--latent-dim", "2"]
    assert main(["train", *names, "--epochs", "2", "--out", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "figures" / "latent.png").is_file()
    assert main(["sample", str(tmp_path / "run"), "posterior"]) == 0
    np.savez(tmp_path / "new.npz", x=np.zeros((3, 8, 8), dtype=np.uint8))
    files = ["--input", str(tmp_path / "new.npz"), "--out", str(tmp_path / "z.npz")]
    assert main(["infer", str(tmp_path / "run"), *files]) == 0
