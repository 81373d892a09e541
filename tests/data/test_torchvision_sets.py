"""torchvision's sets: through a fake torchvision, and MNIST itself where the shared data is."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

from ppl_vae import UserError
from ppl_vae.data import DataConfig, load, read_source
from ppl_vae.data.torchvision_sets import CLASS_NAMES, NAMES, read

calls: list[dict[str, Any]] = []


class FakeSet:
    """Images without any symmetry, three to train on and two to test on."""

    def __init__(self, **arguments: Any) -> None:
        calls.append({"class": type(self).__name__, **arguments})
        rows = 3 if arguments["train"] else 2
        self.data = torch.arange(rows * 28 * 28).reshape(rows, 28, 28).remainder(256).to(torch.uint8)
        self.targets = torch.arange(rows, dtype=torch.int32)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    calls.clear()
    module = ModuleType("torchvision")
    classes = {name: type(name, (FakeSet,), {}) for name in ("MNIST", "FashionMNIST", "KMNIST", "EMNIST")}
    module.datasets = SimpleNamespace(**classes)
    monkeypatch.setitem(sys.modules, "torchvision", module)
    return module


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("name", NAMES)
def test_images_labels_and_where_they_come_from(name: str, tmp_path: Path) -> None:
    x, y, test_x, test_y = read(name, tmp_path)
    grey = torch.arange(3 * 784).reshape(3, 28, 28).remainder(256).byte()
    # EMNIST's files hold images with rows and columns exchanged.
    torch.testing.assert_close(x, grey.mT if name == "emnist" else grey)
    assert (x.dtype, y.dtype) == (torch.uint8, torch.int64)
    assert (y.tolist(), test_y.tolist()) == ([0, 1, 2], [0, 1])
    assert test_x.shape == (2, 28, 28)
    assert x.is_contiguous()
    assert [call["train"] for call in calls] == [True, False]
    for call in calls:
        assert call["root"] == str(tmp_path)
        assert call["download"]
        assert call.get("split") == ("balanced" if name == "emnist" else None)
    assert calls[0]["class"].lower() == name.replace("-", "")


@pytest.mark.usefixtures("fake")
def test_through_the_table(tmp_path: Path) -> None:
    source = read_source("mnist", tmp_path)
    assert (len(source.x), len(source.test_x)) == (3, 2)


def test_torchvision_that_does_not_load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(UserError, match=r"torchvision does not load .*from one index.*digits") as caught:
        read("mnist", tmp_path)
    assert "\n" not in str(caught.value)


def test_torchvision_that_does_not_match_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What a CPU-only torch beside the registry's torchvision really raises."""
    (tmp_path / "torchvision.py").write_text('raise RuntimeError("operator torchvision::nms does not exist\\nmore")')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    with pytest.raises(UserError, match=r"torchvision does not load \(.*operator torchvision::nms does not exist\)"):
        read("mnist", tmp_path)


def test_the_digits_need_no_torchvision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert len(load("digits").train) > 0


@pytest.mark.parametrize(
    "error", [RuntimeError("Error downloading\nall mirrors"), OSError("Name or service not known"), ValueError("odd")]
)
def test_neither_there_nor_to_be_had(fake: ModuleType, tmp_path: Path, error: Exception) -> None:
    def fail(root: str, **_: object) -> None:
        (Path(root) / "MNIST" / "raw").mkdir(parents=True)  # as torchvision does
        raise error

    fake.datasets.MNIST = fail
    root = tmp_path / "not" / "there"
    with pytest.raises(UserError, match=r"mnist is not in .*could not be downloaded.*`data_root`") as caught:
        read("mnist", root)
    assert "\n" not in str(caught.value)
    assert str(root) in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_mnist(shared_data: Path) -> None:
    before = sorted(path.name for path in shared_data.rglob("*"))
    x, y, test_x, test_y = read("mnist", shared_data)
    assert (x.shape, test_x.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert y.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert test_y.bincount().tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert y[:5].tolist() == [5, 0, 4, 1, 9]
    x = x / 255
    assert (x.min().item(), x.max().item()) == (0.0, 1.0)
    assert x.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert x.std().item() == pytest.approx(0.3081, abs=5e-5)
    upright = x[y == 1].mean(0)  # the average one is taller than it is wide
    rows, columns = (upright.sum(1) > 1).sum(), (upright.sum(0) > 1).sum()
    assert rows > 1.5 * columns
    assert sorted(path.name for path in shared_data.rglob("*")) == before


def test_mnist_splits(shared_data: Path) -> None:
    splits = load(DataConfig(data="mnist", data_root=shared_data))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (54_000, 6_000, 10_000)
    assert splits.num_classes == 10
    assert set(splits.train.batch(torch.arange(100)).x.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("failure", [RuntimeError("no network"), KeyboardInterrupt()])
def test_a_download_that_comes_to_nothing_leaves_no_folder(
    failure: BaseException, fake: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(root: str, **_: Any) -> None:
        (Path(root) / "MNIST" / "raw").mkdir(parents=True)
        raise failure

    monkeypatch.setattr(fake.datasets, "MNIST", broken)
    with pytest.raises(KeyboardInterrupt if isinstance(failure, KeyboardInterrupt) else UserError):
        read("mnist", tmp_path / "deep" / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("name", "number"), {"fashion-mnist": 10, "kmnist": 10, "emnist": 47}.items())
def test_each_class_has_a_name_of_its_own(name: str, number: int) -> None:
    assert len(set(CLASS_NAMES[name])) == len(CLASS_NAMES[name]) == number


@pytest.mark.usefixtures("fake")
def test_names_come_with_the_data(tmp_path: Path) -> None:
    assert load("fashion-mnist", data_root=tmp_path).class_names == ("T-shirt/top", "Trouser", "Pullover")
    assert load("mnist", data_root=tmp_path).class_names == ()
