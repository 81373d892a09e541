"""Archives that are not what they say, or are too much: what they hold is never read."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy

from ppl_vae import UserError
from ppl_vae.data.files import archive
from ppl_vae.data.files.npz import read_npz


def header(shape: tuple[int, ...], dtype: str = "<f4", version: tuple[int, int] = (1, 0)) -> bytes:
    stream = io.BytesIO()
    stream.write(npy.magic(*version))
    words = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return stream.getvalue() + struct.pack("<H" if version == (1, 0) else "<I", len(words)) + words


def zipped(path: Path, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "x.npz"


def refused_unread(path: Path, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused in one line, and by its header: no array of it is read."""

    def read(*_: Any, **__: Any) -> None:
        raise AssertionError("its contents were read")

    monkeypatch.setattr(npy, "read_array", read)
    with pytest.raises(UserError, match=message) as caught:
        read_npz(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


HEADERS = {
    "more than there is": (header((10**6, 64)), r"array 'x' of shape \(1000000, 64\), float32, has 16 bytes"),
    "less than there is": (header((2, 1)), r"shape \(2, 1\), float32, has 16 bytes"),
    "absurd": (header((10**30, 10**30)), r"has 16 bytes"),
    "many dimensions": (header((1,) * 60 + (10**9,)), r"has 16 bytes"),
    "negative": (header((-2, -2)), r"shape \(-2, -2\), float32, has 16 bytes"),
    "no shape": (header("no").replace(b"no", b"'no'"), r"not a readable .npz"),  # type: ignore[arg-type]
    "unknown dtype": (header((2, 2), "<q9"), r"not a readable .npz"),
    "unknown version": (header((2, 2)).replace(b"NUMPY\x01", b"NUMPY\x09"), r"not a readable .npz"),
    "code": (header((2, 2)).replace(b"(2, 2)", b"exit()"), r"not a readable .npz"),
    "longer than a header": (npy.magic(2, 0) + struct.pack("<I", 2**31) + b" " * 2**15, r"not a readable .npz"),
    "cut short": (header((2, 2))[:20], r"not a readable .npz"),
    "of another kind": (b"x", r"not a readable .npz"),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_headers_that_are_wrong(path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    start, message = HEADERS[kind]
    refused_unread(zipped(path, x=start + bytes(16)), message, monkeypatch)
    good = header((4, 1)) + bytes(16)
    assert read_npz_again(zipped(path, x=good)) == (4, 1)


def read_npz_again(path: Path) -> tuple[int, ...]:
    headers, _ = archive.read_headers(path, ("x",))
    return headers["x"].shape


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_versions_of_the_format(path: Path, version: tuple[int, int]) -> None:
    zipped(path, x=header((2, 2), version=version) + np.eye(2, dtype=np.float32).tobytes())
    assert read_npz(path).x.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_a_bomb(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zipped(path, x=header((2**20, 1)) + bytes(2**22))
    assert read_npz(path).x.shape == (2**20, 1)  # as small as this it does no harm
    monkeypatch.setattr(archive, "_LARGE", 2**22)
    refused_unread(path, r"0.0 MiB that unpack to 0.0 GiB, far more than data packs.*numpy.savez", monkeypatch)


def test_more_than_memory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(path, x=np.zeros((1000, 1000), np.uint8))
    monkeypatch.setattr(archive, "_memory", lambda: 12_000_000)
    assert read_npz(path).x.shape == (1000, 1000)  # 12 bytes an element: float32, and twice a copy of it
    monkeypatch.setattr(archive, "_memory", lambda: 11_999_999)
    refused_unread(path, r"need 0.0 GiB in training, and this machine has 0.0 GiB of memory; take fewer", monkeypatch)


def test_other_arrays_are_not_read(path: Path) -> None:
    zipped(path, x=header((4, 1)) + bytes(16), other=header((10**9, 9)), objects=header((9,), "|O"))
    assert read_npz(path).x.shape == (4, 1)


def test_labels_are_judged_before_anything_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(path, x=np.zeros((4, 1)), y=np.zeros(5, int))
    refused_unread(path, r"y has shape \(5,\) where x has 4 rows; it must be \(4,\)", monkeypatch)


def test_the_machine_has_memory() -> None:
    assert 2**28 < archive._memory() < 2**50
