"""Folders of images: classes by folder, one size for all, and the same arrays as an .npz of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from ppl_vae import UserError, load
from ppl_vae.data.files.images import read_images
from ppl_vae.data.info import DataInfo
from ppl_vae.data.inputs import read_input

RNG = np.random.default_rng(0)


def save(path: Path, pixels: Any, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path, **options)
    return path


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape).astype(np.uint8)


@pytest.mark.parametrize("channels", [(), (3,)], ids=["grey", "colour"])
def test_two_hundred_images_are_the_arrays_that_their_npz_has(tmp_path: Path, channels: tuple[int, ...]) -> None:
    x, y = noise(200, 6, 5, *channels), np.sort(RNG.permutation(200) % 3)
    for number, (pixels, label) in enumerate(zip(x, y, strict=True)):
        save(tmp_path / "photos" / "abc"[label] / f"{number:03}.png", pixels)
    np.savez(tmp_path / "photos.npz", x=x, y=np.array(list("abc"))[y])
    folder, archive = load(tmp_path / "photos"), load(tmp_path / "photos.npz")
    assert folder.fingerprint() == archive.fingerprint()
    for name in ("train", "validation", "test"):
        one, other = getattr(folder, name), getattr(archive, name)
        assert one.kept.dtype == torch.uint8
        assert torch.equal(one.kept, other.kept)
        assert torch.equal(one.y, other.y)
    assert (folder.scale, folder.class_names) == (archive.scale, archive.class_names) == (255, ("a", "b", "c"))


def test_a_flat_folder_has_no_labels_and_says_what_it_left_aside(tmp_path: Path) -> None:
    x = noise(3, 4, 4)
    for number in (2, 0, 1):
        save(tmp_path / "all" / f"{number}.png", x[number])
    (tmp_path / "all" / ".hidden.png").write_bytes(b"nothing")
    (tmp_path / "all" / "notes.txt").write_text("mine")
    found = read_images(tmp_path / "all")
    assert np.array_equal(found.x.numpy(), x)
    assert (found.y, found.class_names) == (None, ())
    assert found.notes == (
        "all: 3 images, 4 × 4 pixels, grey.",
        "all: 2 files left aside, of kinds that are not read (.hidden.png, .txt).",
    )
    for name in ("a.HEIC", "b.heic", "c.dng"):
        (tmp_path / "all" / name).write_bytes(b"a photograph")
    left = read_images(tmp_path / "all").notes[1]
    assert left.endswith("to have its images, 1 .dng, 2 .heic, save them as JPEG or PNG.")


def test_images_of_several_sizes_are_cut_to_squares(tmp_path: Path) -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = (255, 0, 0)  # what the square in the middle is of
    save(tmp_path / "a.png", wide)
    save(tmp_path / "b.png", np.full((40, 12), 100))
    found = read_images(tmp_path)
    assert found.x.shape == (2, 10, 10, 3)
    assert found.x[0].unique(dim=0).unique(dim=1).tolist() == [[[255, 0, 0]]]
    assert found.x[1].unique().tolist() == [100]
    assert (
        "10 × 30 to 40 × 12 pixels, cut to the square in the middle and resized to 10 × 10 (`image_size` "
        in found.notes[0]
    )
    assert read_images(tmp_path, 6).x.shape == (2, 6, 6, 3)
    save(tmp_path / "a.png", noise(300, 200))
    save(tmp_path / "b.png", noise(300, 201))
    assert read_images(tmp_path).x.shape == (2, 64, 64)


def test_what_is_grey_though_it_is_stored_in_colour_is_read_as_grey(tmp_path: Path) -> None:
    grey = noise(4, 4)
    save(tmp_path / "a.png", np.repeat(grey[..., None], 3, axis=-1))
    found = read_images(tmp_path)
    assert np.array_equal(found.x[0].numpy(), grey)
    save(tmp_path / "b.png", noise(4, 4, 3))  # one in colour makes all so
    both = read_images(tmp_path)
    assert np.array_equal(both.x[0].numpy(), np.repeat(grey[..., None], 3, axis=-1))


def test_modes_of_all_kinds(tmp_path: Path) -> None:
    red = np.zeros((4, 4, 4), np.uint8)
    red[..., 0] = 255
    red[:2, :, 3] = 255  # the upper half is opaque
    save(tmp_path / "a.png", red)
    Image.fromarray(np.full((4, 4), 257 * 40, np.uint16)).save(tmp_path / "b.png")
    Image.fromarray(np.eye(4) > 0).save(tmp_path / "c.png")
    Image.fromarray(noise(4, 4, 3)).quantize(4).save(tmp_path / "d.png")
    found = read_images(tmp_path).x.numpy()
    assert found[0, 0, 0].tolist() == [255, 0, 0]
    assert found[0, 3, 0].tolist() == [255, 255, 255]  # on white
    assert np.unique(found[1]).tolist() == [40]
    assert np.array_equal(found[2, ..., 0], 255 * np.eye(4))


def test_photographs_stand_upright(tmp_path: Path) -> None:
    upright = noise(6, 4, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise by a quarter
    save(tmp_path / "a.png", np.rot90(upright), exif=exif)
    save(tmp_path / "b.png", upright)
    found = read_images(tmp_path)
    assert found.x.shape == (2, 6, 4, 3)
    assert np.array_equal(found.x[0].numpy(), upright)


def test_new_images_are_read_as_those_of_the_run(tmp_path: Path) -> None:
    info = DataInfo((5, 5, 3), 2, 9, "", scale=255, class_names=("cat", "dog"))
    save(tmp_path / "new" / "dog" / "1.png", noise(9, 7))
    found = read_input(tmp_path / "new", info)
    assert (found.x.shape, found.y.tolist()) == ((1, 5, 5, 3), [1])
    assert "9 × 7 pixels, cut to the square in the middle and resized to 5 × 5, colour" in found.notes[0]
    assert read_input(tmp_path / "new" / "dog" / "1.png", info).x.shape == (1, 5, 5, 3)
    save(tmp_path / "new" / "cow" / "1.png", noise(9, 7))
    with pytest.raises(UserError, match="there is a folder 'cow', and the run's labels are cat, dog"):
        read_input(tmp_path / "new", info)
    save(tmp_path / "colour.png", noise(5, 5, 3))
    with pytest.raises(UserError, match=r"images of shape \(5, 5, 3\), where the run's observations have shape \(5, 5"):
        read_input(tmp_path / "colour.png", DataInfo((5, 5), 0, 9, "", scale=255))
    with pytest.raises(UserError, match="the run's images have 5 × 4 pixels, and some of these have not"):
        read_input(tmp_path / "colour.png", DataInfo((5, 4), 0, 9, "", scale=255))


def broken(folder: Path) -> None:
    whole = save(folder / "a.png", noise(40, 40)).read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])


def test_all_damaged_images_are_named_at_once(tmp_path: Path) -> None:
    broken(tmp_path)
    for name in ("b.png", "c.png", "d.png"):
        (tmp_path / name).write_bytes((tmp_path / "a.png").read_bytes())
    save(tmp_path / "c.png", noise(40, 40))
    with pytest.raises(
        UserError, match=r"a\.png: not .*, nor are 2 more: .*b\.png, .*d\.png; replace them or take them"
    ):
        load(tmp_path)


def beside(folder: Path) -> None:
    save(folder / "cat" / "1.png", noise(4, 4))
    save(folder / "2.png", noise(4, 4))


def parts(folder: Path) -> None:
    save(folder / "train" / "1.png", noise(4, 4))
    save(folder / "test" / "1.png", noise(4, 4))


BAD: dict[str, tuple[Any, str]] = {
    "broken": (broken, "a.png: not a readable image"),
    "text": (lambda folder: (folder / "b.jpg").write_text("no image"), "b.jpg: not a readable image"),
    "none": (lambda folder: (folder / "a.txt").write_text("no image"), "a folder without images; they end in .bmp"),
    "beside": (beside, "'2.png' stands beside folders of images"),
    "parts": (parts, "its folders test, train are parts of a data set, not classes"),
    "name": (lambda folder: save(folder / " " / "1.png", noise(4, 4)), "its folders holds ' '; a name has"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_folders(tmp_path: Path, kind: str) -> None:
    make, message = BAD[kind]
    make(tmp_path)
    with pytest.raises(UserError, match=message) as caught:
        load(tmp_path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_what_images_do_not_read_is_refused_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`image_size`: nothing in digits reads it; it is for folders of images"):
        load("digits", image_size=8)
    with pytest.raises(UserError, match="nowhere: no such file"):
        load(tmp_path / "nowhere")


def test_links_to_folders_are_followed_and_no_circle_is(tmp_path: Path) -> None:
    for name in "ab":
        for number in range(2):
            save(tmp_path / "elsewhere" / name / f"{number}.png", noise(5, 4))
    (tmp_path / "linked").mkdir()
    for name in "ab":
        (tmp_path / "linked" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "a" / "back").symlink_to(tmp_path / "linked")
    found = read_images(tmp_path / "linked")
    assert found.class_names == ("a", "b")
    assert len(found.x) == 4


def test_of_an_animation_the_first_image_is_taken_and_that_is_said(tmp_path: Path) -> None:
    first, second = (Image.fromarray(np.full((5, 4), level, dtype=np.uint8)) for level in (0, 255))
    (tmp_path / "moving").mkdir()
    first.save(tmp_path / "moving" / "a.gif", save_all=True, append_images=[second])
    found = read_images(tmp_path / "moving")
    assert (found.x == 0).all()
    assert found.notes[-1] == "moving: of 1 with several images the first is taken."


def test_real_numbers_are_not_cut_off(tmp_path: Path) -> None:
    Image.fromarray(RNG.random((5, 4)).astype(np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(UserError, match=r"a.tif: an image of real numbers; store .* in an .npz"):
        read_images(tmp_path)


def test_a_folder_of_images_is_no_table(tmp_path: Path) -> None:
    save(tmp_path / "photos" / "a.png", noise(4, 4))
    for setting in ({"columns": {"age": "real"}}, {"label_column": "kind"}):
        with pytest.raises(UserError, match=r"nothing in .*photos reads it; it is for tables"):
            load(tmp_path / "photos", **setting)
