"""Images from a folder: one folder in it for each class, or images alone.

Images of one size stay as they are. Others are cut to the square in their middle and resized to the side that is asked
for, or to the shortest side that any of them has, at most 64 pixels. What is grey in all images is read as grey, (N, H,
W), all else as colour, (N, H, W, 3), 8 bits, 255 for 1. Transparent images stand on white. A photograph stands upright
as its EXIF data says; of an animation the first image is taken. Rows are in the order of classes and, inside them, of
the files' names.
"""

import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from ppl_vae.data.arrays import Observations
from ppl_vae.data.classes import names_checked
from ppl_vae.data.files.archive import refuse_too_large
from ppl_vae.runtime.errors import UserError, reason
from ppl_vae.runtime.progress import bar
from ppl_vae.runtime.shown import listed

_T = TypeVar("_T")

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
_OTHER_IMAGES = frozenset(
    (".arw", ".avif", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jp2", ".jxl", ".nef", ".orf", ".psd", ".raf", ".svg")
)
_PARTS = {"train", "test", "val", "valid", "validation"}
_LARGEST_SIDE = 64  # of images of several sizes, where nobody has said another
_PATIENCE = 2.0  # seconds before a bar is shown
_EXIF_ORIENTATION, _ON_ITS_SIDE = 0x0112, (5, 6, 7, 8)
_GREY, _16_BITS = ("1", "L", "LA", "La"), ("I", "I;16", "I;16L", "I;16B", "I;16N")


def read_images(
    path: Path,
    size: int | None = None,
    event_shape: tuple[int, ...] | None = None,
    known: Mapping[str, int] | None = None,
) -> Observations:
    """Read a folder of images, or one image.

    Args:
        path: the folder.
        size: of the square that they are brought to; None keeps those that are all of one size.
        event_shape: of an observation, if that has been decided: (H, W) or (H, W, 3).
        known: labels by their names, if those have been decided; folders of other names are then refused.

    Raises:
        UserError: there is no image, one is damaged, or they are too many for memory.
    """
    files, classes, ignored = _found(path)
    sizes, animated = _looked_at(files)
    if event_shape is not None and len(event_shape) not in (2, 3):
        raise UserError(f"{path}: images, where the run's observations have shape {event_shape}; give an .npz.")
    shape, how = _size(path, sizes, size, event_shape)
    refuse_too_large(str(path), len(files) * shape[0] * shape[1] * 3, "say by `image_size` how small they may be")
    x = _read(files, shape, event_shape)
    said = f"{path.name}: {len(files):,} image{'s' * (len(files) > 1)}, {how}, {'grey' if x.ndim == 3 else 'colour'}"
    y: torch.Tensor | None = None
    names: tuple[str, ...] = ()
    if classes:
        names = names_checked(str(path), "its folders", sorted(set(classes)))
        numbers = {name: number for number, name in enumerate(names)} if known is None else known
        if foreign := [name for name in names if name not in numbers]:
            raise UserError(
                f"{path}: there is a folder '{foreign[0]}', and the run's labels are {', '.join(numbers) or 'none'}."
            )
        y = torch.tensor([numbers[name] for name in classes])
        said += f", in {len(names)} class{'es' * (len(names) > 1)}: {listed(names)}"
    moving = f"of {animated:,} with several images the first is taken" if animated else ""
    notes = (f"{said}.", *(f"{path.name}: {words}." for words in (ignored, moving) if words))
    return Observations(torch.from_numpy(x), y, 255, notes, names if known is None else ())


def _found(path: Path) -> tuple[list[Path], list[str], str]:
    """The images in their order, the class of each (none where no image has one), and what was left aside."""
    if path.is_file():
        return [path], [], ""
    if not path.is_dir():
        raise UserError(f"{path}: no such folder; give the path of a folder of images.")
    files: list[Path] = []
    others: list[Path] = []
    above = {path: {os.path.realpath(path)}}  # the folders that each is in, to go round in no circle of links
    for folder, inner, names in os.walk(path, followlinks=True):
        within = {name: os.path.realpath(Path(folder, name)) for name in inner if not name.startswith(".")}
        inner[:] = [name for name, real in within.items() if real not in above[Path(folder)]]
        above |= {Path(folder, name): above[Path(folder)] | {within[name]} for name in inner}
        for name in names:
            is_image = not name.startswith(".") and name.lower().endswith(SUFFIXES)
            (files if is_image else others).append(Path(folder, name))
    if not files:
        there = f" ({_left_aside(others)})" if others else ""
        raise UserError(f"{path}: a folder without images; they end in {', '.join(SUFFIXES)}{there}.")
    files.sort(key=lambda file: file.relative_to(path).parts)
    inside = [file.relative_to(path).parts for file in files]
    classes = [parts[0] for parts in inside if len(parts) > 1]
    if classes and len(classes) < len(files):
        alone = next(parts[0] for parts in inside if len(parts) == 1)
        raise UserError(
            f"{path}: '{alone}' stands beside folders of images; put each image into the folder of its class, or all "
            "of them into none."
        )
    if classes and {name.lower() for name in classes} <= _PARTS:
        raise UserError(
            f"{path}: its folders {listed(sorted(set(classes)))} are parts of a data set, not classes; give the path "
            "of one of them, whose rows are then split by `test_fraction` and `validation_fraction`."
        )
    return files, classes, _left_aside(others)


def _left_aside(files: Sequence[Path]) -> str:
    """Files that are not read, in words, by how their names end; photographs of other kinds are no rubbish."""
    if not files:
        return ""
    found = (file.name if file.name.startswith(".") else file.suffix.lower() or file.name for file in files)
    kinds = Counter(sorted(found))
    said = f"{len(files):,} file{'s' * (len(files) > 1)} left aside, of kinds that are not read ({listed([*kinds])})"
    lost = [f"{number:,} {kind}" for kind, number in kinds.items() if kind in _OTHER_IMAGES]
    return f"{said}; to have its images, {', '.join(lost)}, save them as JPEG or PNG" if lost else said


def _looked_at(files: Sequence[Path]) -> tuple[Counter[tuple[int, int]], int]:
    """How many have which height and width, upright, read from their first bytes; and how many are animated."""
    looked = [found for _, found in _of_each(files, "looking", _look)]
    return Counter(size for size, _ in looked), sum(moves for _, moves in looked)


def _look(file: Path) -> tuple[tuple[int, int], bool]:
    """Height and width of an image, upright; and whether it is animated."""
    with _opened(file) as image:
        if image.mode == "F":
            raise UserError(f"{file}: an image of real numbers; store those of all of them in an .npz, as x.")
        width, height = image.size
        turned = image.getexif().get(_EXIF_ORIENTATION) in _ON_ITS_SIDE
        return (width, height) if turned else (height, width), getattr(image, "n_frames", 1) > 1


def _of_each(files: Sequence[Path], doing: str, take: Callable[[Path], _T]) -> Iterator[tuple[int, _T]]:
    """What is taken of each image, with its row.

    Raises:
        UserError: at the end, where some are damaged: all of them.
    """
    damaged: list[_DamagedError] = []
    with bar(len(files), "image", doing, delay=_PATIENCE) as progress:
        for row, file in enumerate(files):
            try:
                yield row, take(file)
            except _DamagedError as error:
                damaged.append(error)
            progress.update()
    if damaged:
        first, *others = damaged
        nor = f", nor are {len(others):,} more: {listed([str(each.file) for each in others])}" if others else ""
        them = "them" if others else "it"
        raise UserError(f"{first.file}: not a readable image ({first.why}){nor}; replace {them} or take {them} out.")


def _size(
    path: Path, sizes: Mapping[tuple[int, int], int], size: int | None, event_shape: tuple[int, ...] | None
) -> tuple[tuple[int, int], str]:
    """Height and width to which all are brought, and what that is, in words."""
    (height, width), *others = sizes
    hint = "" if size or event_shape else " (`image_size` says otherwise)"
    if event_shape is not None:
        wanted = event_shape[0], event_shape[1]
        if set(sizes) != {wanted} and wanted[0] != wanted[1]:
            raise UserError(
                f"{path}: the run's images have {wanted[0]} × {wanted[1]} pixels, and some of these have not; resize "
                "them."
            )
        size = None if set(sizes) == {wanted} else wanted[0]
    if size is None and not others:
        return (height, width), f"{height} × {width} pixels"
    side = size or min(_LARGEST_SIDE, *map(min, sizes))
    smallest, largest = min(sizes), max(sizes)
    found = f"{smallest[0]} × {smallest[1]}" + (f" to {largest[0]} × {largest[1]}" if others else "")
    square = " cut to the square in the middle and" if any(high != wide for high, wide in sizes) else ""
    return (side, side), f"{found} pixels,{square} resized to {side} × {side}{hint}"


def _read(files: Sequence[Path], shape: tuple[int, int], event_shape: tuple[int, ...] | None) -> np.ndarray:
    """The pixels, ``(N, H, W)`` where all are grey and ``(N, H, W, 3)`` otherwise, uint8."""
    grey: np.ndarray | None = np.empty((len(files), *shape), dtype=np.uint8)
    colour: np.ndarray | None = None
    for row, pixels in _of_each(files, "reading", partial(_pixels, shape=shape)):
        if colour is None and pixels.ndim == 3 and not (pixels == pixels[..., :1]).all():
            assert grey is not None
            colour = np.empty((*grey.shape, 3), dtype=np.uint8)
            colour[:row] = grey[:row, ..., None]
            grey = None
        if colour is not None:
            colour[row] = pixels if pixels.ndim == 3 else pixels[..., None]
        else:
            assert grey is not None
            grey[row] = pixels if pixels.ndim == 2 else pixels[..., 0]
    x = grey if grey is not None else colour
    assert x is not None
    if event_shape is None or x.shape[1:] == event_shape:
        return x
    if x.ndim == 3 and event_shape[2:] == (3,):
        return np.repeat(x[..., None], 3, axis=-1)
    raise UserError(
        f"{files[0].parent}: images of shape {x.shape[1:]}, where the run's observations have shape {event_shape}; "
        "convert them."
    )


def _pixels(file: Path, shape: tuple[int, int]) -> np.ndarray:
    """An image, ``(H, W)`` or ``(H, W, 3)``, upright, on white, of this size."""
    from PIL import Image, ImageOps  # slow to import, and only images need it

    with _opened(file) as opened:
        image = ImageOps.exif_transpose(opened)
        if image.mode in _16_BITS:
            deep = np.asarray(image).astype(np.int64)
            image = Image.fromarray((deep >> 8 if deep.max() > 255 else deep).clip(0, 255).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image).convert("RGB")
        image = image.convert("L" if image.mode in _GREY else "RGB")
        if (image.height, image.width) != shape:
            image = ImageOps.fit(image, (shape[1], shape[0]), method=Image.Resampling.LANCZOS)
        return np.asarray(image)


class _DamagedError(Exception):
    """A file is not a readable image, and why."""

    def __init__(self, file: Path, why: str) -> None:
        super().__init__(why)
        self.file, self.why = file, why


@contextmanager
def _opened(file: Path) -> Iterator[Any]:
    """A file as an image inside the block; whatever is wrong with it is a :class:`_DamagedError`."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # metadata may be damaged where the image is not
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                yield image
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged file can raise anything
        raise _DamagedError(file, reason(error)) from None
