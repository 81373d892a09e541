"""Where torch's compiler has no place for its cache, only compiling is left, and it is said what to set."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ppl_vae.tracing import compiler_cache
from ppl_vae.tracing.capture import NotTraceableError, trace
from ppl_vae.tracing.compiler_cache import secure_compiler_cache

# As a user has it: in a fresh process, before torch's compiler is imported.
FIT = """
import os, sys
from ppl_vae import FitConfig, fit

from tests.pairs import stripes_data, vae_pair
before = dict(os.environ)
for engine in ("eager", "traced"):
    settings = FitConfig(epochs=1, device="cpu", engine=engine)
    assert len(fit(*vae_pair(), stripes_data(20), settings=settings, on_engine=print)) == 1
assert dict(os.environ) == before
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", [None, "LOGNAME"])
def test_training_needs_no_place(tmp_path: Path, name: str | None) -> None:
    nowhere = tmp_path / "a file" / "cache"
    nowhere.parent.touch()
    code = FIT
    if name:  # a container that runs under a number
        code = "import pwd, os\ndef getpwuid(number): raise KeyError(number)\npwd.getpwuid = getpwuid\n" + FIT
    names = ("LOGNAME", "USER", "LNAME", "USERNAME")
    environment = {key: word for key, word in os.environ.items() if not (name and key in names)}
    environment |= {} if name else {"TORCHINDUCTOR_CACHE_DIR": str(nowhere)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    eager, traced = run.stdout.splitlines()
    assert eager == "eager"
    what = "set LOGNAME to one" if name else "set TORCHINDUCTOR_CACHE_DIR to a folder that can be written"
    assert traced.startswith("eager: the step cannot be traced (torch's compiler has no place for its cache")
    assert what in traced


def test_a_place_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "new" / "cache"))
    assert secure_compiler_cache() is None
    assert (tmp_path / "new" / "cache").is_dir()


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        ("TORCHINDUCTOR_CACHE_DIR", "a file/cache", "set TORCHINDUCTOR_CACHE_DIR to a folder"),
        ("LOGNAME", None, "LOGNAME"),
    ],
)
def test_without_a_place_it_says_what_to_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None, what: str
) -> None:
    (tmp_path / "a file").touch()
    if value:
        monkeypatch.setenv(name, str(tmp_path / value))
    else:
        monkeypatch.setattr("getpass.getuser", lambda: {}["nobody"])
    seen: dict[str, str] = {}
    monkeypatch.setattr(compiler_cache, "import_module", lambda module: seen.update(os.environ))
    before = dict(os.environ)
    said = secure_compiler_cache()
    assert said is not None
    assert what in said
    assert "\n" not in said
    assert Path(seen["TORCHINDUCTOR_CACHE_DIR"]).is_dir()
    assert seen["LOGNAME"]
    assert dict(os.environ) == before
    with pytest.raises(NotTraceableError, match=what):
        trace(lambda x: (x,), [torch.zeros(2)])
