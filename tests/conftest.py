"""Fixtures that all tests share."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyro
import pytest
import torch

from tests.workers import without_workers

# The tensors here are so small that threads cost more than they save, and far more where the machine has other work.
torch.set_num_threads(1)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked ``cuda`` is skipped where there is no GPU."""
    if item.get_closest_marker("cuda") and not torch.cuda.is_available():
        pytest.skip("there is no CUDA GPU")


@pytest.fixture(autouse=True)
def _no_global_state() -> Iterator[None]:
    """Every test starts from the same seed and must leave Pyro's global store and torch's switches as they were."""
    torch.manual_seed(0)
    settings = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.distributions.Distribution._validate_args)
    yield
    left = sorted(pyro.get_param_store().keys())
    pyro.clear_param_store()
    assert not left, f"left in Pyro's global parameter store: {left}"
    now = (torch.get_default_dtype(), torch.is_grad_enabled(), torch.distributions.Distribution._validate_args)
    assert now == settings


@pytest.fixture(scope="session", autouse=True)
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Where trusted files are remembered: the tests are not to touch the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data that every checkout can read; the test is skipped where there is none.

    ``PPL_VAE_SHARED_DATA`` names it, for tests that run away from their checkout. With ``PPL_VAE_REQUIRE_DATA=1`` a
    missing folder is a failure: a submission is not to pass because nothing was looked at.
    """
    named = os.environ.get("PPL_VAE_SHARED_DATA")
    root = Path(named) if named else Path(__file__).resolve().parents[1].parent / "shared" / "data"
    if not root.is_dir():
        reason = f"no shared data at '{root}': set PPL_VAE_SHARED_DATA to the folder that holds MNIST/raw"
        if os.environ.get("PPL_VAE_REQUIRE_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return root


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, the system's own; the test is skipped where there is none.

    With ``PPL_VAE_REQUIRE_BROWSER=1`` a missing one is a failure, as with ``shared_data``.
    """
    names = ("chromium", "chromium-browser", "google-chrome")
    executable = next(filter(None, map(shutil.which, names)), None)
    if executable is None:
        reason = f"no browser: none of {', '.join(names)} is on the PATH"
        if os.environ.get("PPL_VAE_REQUIRE_BROWSER") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    from playwright.sync_api import sync_playwright

    # No sandbox: it does not start for root in a container. The rest keeps Chromium from asking the network for things.
    quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run"]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", *quiet]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Open a file in a tab without a network; it must fetch nothing and complain of nothing."""
    contexts: list[Any] = []
    complaints: list[str] = []

    def asked(request: Any, path: Path) -> None:
        if request.url != path.as_uri() and not request.url.startswith(("data:", "blob:")):
            complaints.append(f"asked for {request.url}")

    def open_(path: Path, **settings: Any) -> Any:
        contexts.append(browser.new_context(offline=True, **settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: message.type == "error" and complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked(request, path))
        page.goto(path.as_uri())
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints


@pytest.fixture
def in_this_process() -> Iterator[None]:
    """Workers of ``compare`` that need no start."""
    with without_workers():
        yield
