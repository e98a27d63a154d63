"""Folders as plants have them: what is read all the same, with a note, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter, ImageOps

from gtrans_core.config import ImageConfig
from gtrans_core.config.region import packed
from gtrans_core.data.kinds import is_good_name
from gtrans_core.data.layout import scan_category
from gtrans_core.data.manifest import Manifest, data_digest
from gtrans_core.data.reading import read_mask
from gtrans_core.errors import DataError
from tests.support.categories import put, sound_category
from tests.support.images import SIDE, encoded, mask, png

MASKS = "ground_truth/dent"


@pytest.fixture
def category(tmp_path: Path) -> Path:
    return sound_category(tmp_path / "screw")


def scan(root: Path, image: ImageConfig | None = None) -> tuple[Manifest, Manifest, list[str]]:
    notes: list[str] = []
    seen = image or ImageConfig()
    train, test = scan_category(root, "screw", "folder", image=seen, note=notes.append)
    return train, test, notes


def refused(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        scan(root)
    return str(caught.value)


def marks(*boxes: tuple[int, int, int, int], size: int = SIDE) -> Image.Image:
    image = Image.new("L", (size, size))
    for box in boxes:
        image.paste(255, box)
    return image


def mask_of(test: Manifest, name: str) -> np.ndarray:
    sample = next(sample for sample in test.samples if sample.path == name)
    found = read_mask(test, sample)
    assert found is not None
    return found


class TestSubfolders:
    def test_they_are_read_at_any_depth_and_noted(self, category: Path) -> None:
        flat = data_digest(*scan(category)[:2])
        for number in range(12):
            path = category / f"train/good/{number:03}.png"
            day = category / f"train/good/2026-11-{number % 2 + 1:02}/line 3"
            day.mkdir(parents=True, exist_ok=True)
            path.rename(day / path.name)
        train, test, notes = scan(category)
        assert data_digest(train, test) == flat
        assert notes == [
            "12 images or masks are in subfolders: train/good/2026-11-01/line 3 (6), "
            "train/good/2026-11-02/line 3 (6)"
        ]

    def test_masks_follow_their_images(self, category: Path) -> None:
        for part, name in (("test/dent", "000.png"), (MASKS, "000_mask.png")):
            put(category, f"{part}/monday/{name}", (category / part / name).read_bytes())
            (category / part / name).unlink()
        _, test, _ = scan(category)
        assert "ground_truth/dent/monday/000_mask.png" in {s.mask for s in test.samples}

    def test_links_are_followed_and_lead_in_no_circle(self, category: Path, tmp_path: Path) -> None:
        put(tmp_path, "elsewhere/900.png", png(900))
        (category / "train/good/more").symlink_to(tmp_path / "elsewhere")
        (category / "train/good/self").symlink_to(category / "train/good")
        assert scan(category)[0].counts() == {"good": 13}

    def test_an_empty_one_is_noted_where_it_is_a_kind(self, category: Path) -> None:
        (category / "train/good/empty").mkdir()
        (category / "test/hole/deeper").mkdir(parents=True)
        assert scan(category)[2] == ["test/hole: holds no image"]


class TestGoodByName:
    @pytest.mark.parametrize(
        "name",
        [
            "OK",
            "ok",
            "Pass",
            "NORMAL",
            "good_2",
            "Good parts",
            "defect-free",
            "ok 2026-11-02",
            "IO",
        ],
    )
    def test_is_no_kind_of_defect(self, category: Path, name: str) -> None:
        assert is_good_name(name)
        (category / "test/good").rename(category / "test" / name)
        _, test, notes = scan(category)
        assert test.counts() == {"good": 3, "dent": 2, "scratch": 2}
        assert notes == [f"test/{name}: taken for good parts, by its name"]

    @pytest.mark.parametrize("name", ["not_ok", "NOK", "no_good", "nio", "passivation", "okra"])
    def test_other_names_are_kinds_of_defects(self, name: str) -> None:
        assert not is_good_name(name)

    def test_beside_good_and_in_training(self, category: Path) -> None:
        put(category, "test/OK/1.png", png(901))
        put(category, "train/good_2/1.png", png(902))
        train, test, _ = scan(category)
        assert (train.counts()["good"], test.counts()["good"]) == (13, 4)

    def test_what_may_be_meant_so_is_noted(self, category: Path) -> None:
        put(category, "test/normal_wear/1.png", png(901))
        put(category, "ground_truth/normal_wear/1.png", mask())
        [note] = scan(category)[2]
        assert note.startswith("test/normal_wear: taken for a kind of defect; if these are good")


def test_what_is_no_image_is_left_out_and_counted_and_images_need_no_suffix(category: Path) -> None:
    for name in ("a.txt", "b.TXT", "film.mp4", "LICENSE", "empty"):
        put(category, f"train/good/{name}", b"" if name == "empty" else b"BM words")
    put(category, "test/readme.md", b"words")
    put(category, "train/good/shot", png(903))
    put(category, "train/good/shot.dib", encoded(Image.open(io.BytesIO(png(904))), "BMP"))
    put(category, "train/good/Mac\u202fshot \u3000.PNG", png(905))
    train, _, notes = scan(category)
    assert train.counts() == {"good": 15}
    assert notes == [
        "left out, since they are no images: 2 without a suffix, 2 .txt, 1 .md, 1 .mp4"
    ]


class TestMaskStyles:
    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("000/000.png", "000/001.png"),
            ("000_mask/a.png", "000_mask/b.png"),
            ("000_mask_1.png", "000_mask_2.png"),
            ("000_1.png", "000-2.png"),
            ("000_mask.png", "000_mask (2).bmp"),
            ("masks/000.png", "masks/000_gt.png"),
            ("mask_000.png", "000.png_mask.png"),
        ],
    )
    def test_several_masks_are_united(self, category: Path, first: str, second: str) -> None:
        (category / MASKS / "000_mask.png").unlink()
        put(category, f"{MASKS}/{first}", encoded(marks((1, 1, 3, 3))))
        put(category, f"{MASKS}/{second}", encoded(marks((8, 8, 12, 12))))
        _, test, notes = scan(category)
        both = np.asarray(marks((1, 1, 3, 3), (8, 8, 12, 12))) > 0
        np.testing.assert_array_equal(mask_of(test, "test/dent/000.png"), both)
        assert any("1 images have several masks, which are united" in note for note in notes)

    def test_a_further_mask_changes_the_digest(self, category: Path) -> None:
        before = scan(category)[1].digest
        put(category, f"{MASKS}/000_mask_2.png", encoded(marks((8, 8, 12, 12))))
        assert scan(category)[1].digest != before

    def test_names_are_matched_as_a_mac_does(self, category: Path) -> None:
        (category / "test/dent/000.png").rename(category / "test/dent/Fla\u0308che.PNG")
        (category / MASKS / "000_mask.png").rename(category / MASKS / "fl\u00e4che_MASK.png")
        (category / "ground_truth/dent").rename(category / "ground_truth/Dent")
        assert scan(category)[1].has_masks

    def test_an_image_with_a_number_keeps_its_own_mask(self, category: Path) -> None:
        put(category, "test/dent/000_1.png", png(906))
        put(category, f"{MASKS}/000_1.png", encoded(marks((8, 8, 12, 12))))
        _, test, notes = scan(category)
        assert mask_of(test, "test/dent/000_1.png").sum() == 16
        assert notes == []

    def test_two_images_that_share_one_are_both_named(self, category: Path) -> None:
        put(category, "test/dent/000.jpg", encoded(Image.open(io.BytesIO(png(907))), "JPEG"))
        text = refused(category)
        assert "test/dent/000.png and test/dent/000.jpg: both would take" in text
        (category / MASKS / "000_mask.png").rename(category / MASKS / "000.png.png")
        put(category, f"{MASKS}/000.jpg_mask.png", mask())
        assert scan(category)[1].has_masks

    def test_black_masks_of_good_images_are_accepted(self, category: Path) -> None:
        put(category, "ground_truth/good/000.png", mask(value=0))
        put(category, "ground_truth/OK/001_mask.png", mask(value=0))
        assert scan(category)[2] == []


class TestMaskValues:
    def write(self, category: Path, image: Image.Image, suffix: str = "png") -> None:
        """An image of 64 x 64 with this mask; a JPEG is too coarse for less."""
        (category / MASKS / "000_mask.png").unlink()
        put(category, "test/dent/000.png", png(908, (64, 64)))
        put(category, f"{MASKS}/000_mask.{suffix}", encoded(image, suffix.upper()))

    @pytest.mark.parametrize("how", ["blurred", "jpeg", "webp"])
    def test_soft_ones_are_cut_at_half(self, category: Path, how: str) -> None:
        sharp = marks((10, 12, 40, 50), size=64)
        soft = sharp.filter(ImageFilter.GaussianBlur(1)) if how == "blurred" else sharp
        self.write(category, soft, "png" if how == "blurred" else how)
        _, test, notes = scan(category)
        off = mask_of(test, "test/dent/000.png") != (np.asarray(sharp) > 0)
        assert off.sum() <= 8  # corners
        assert "masks have grey edges and are cut at half" in notes[-1] or how == "webp"

    @pytest.mark.parametrize("drawn", ["black", "white"])
    def test_one_drawn_in_the_alpha_channel(self, category: Path, drawn: str) -> None:
        sharp = marks((10, 12, 40, 50), size=64)
        colour = Image.new("L", (64, 64), 0 if drawn == "black" else 255)
        self.write(category, Image.merge("RGBA", [colour] * 3 + [sharp]))
        found = mask_of(scan(category)[1], "test/dent/000.png")
        np.testing.assert_array_equal(found, np.asarray(sharp) > 0)

    def test_numbers_of_classes_are_refused(self, category: Path) -> None:
        image = marks((10, 12, 40, 50), size=64)
        image.paste(100, (45, 45, 60, 60))
        self.write(category, image)
        assert "not a two-valued mask: it has 3 values (0, 100, 255)" in refused(category)

    def invert(self, path: Path) -> None:
        ImageOps.invert(Image.open(path)).save(path)

    def test_inverted_ones_are_refused(self, category: Path) -> None:
        for path in category.glob("ground_truth/*/*"):
            self.invert(path)
        text = refused(category)
        assert "half of the 4 masks mark more than 94% of their image" in text
        assert "expected white on black" in text
        assert "\n" not in text

    def test_a_single_inverted_one_is_named(self, category: Path) -> None:
        self.invert(category / MASKS / "001_mask.png")
        assert f"{MASKS}/001_mask.png: marks 94% of its image, all round its edge" in refused(
            category
        )

    def test_a_mask_of_the_whole_image_is_noted(self, category: Path) -> None:
        put(category, f"{MASKS}/000_mask.png", encoded(Image.new("L", (SIDE, SIDE), 255)))
        [note] = scan(category)[2]
        assert note.endswith(f"more than half of their image: {MASKS}/000_mask.png (100%)")


class TestExif:
    def turned(self, category: Path, orientation: int, size: tuple[int, int]) -> None:
        """A defective image that EXIF turns, with a mask of the pixels as the file has them."""
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        Image.open(io.BytesIO(png(909, size))).save(buffer, "JPEG", exif=exif)
        (category / "test/dent/000.png").unlink()
        put(category, "test/dent/000.jpg", buffer.getvalue())
        put(category, f"{MASKS}/000_mask.png", mask(size=size))

    @pytest.mark.parametrize("orientation", [5, 6, 7, 8])
    def test_a_mask_on_raw_pixels_is_refused_with_the_reason(
        self, category: Path, orientation: int
    ) -> None:
        self.turned(category, orientation, (20, 10))
        assert (
            "000_mask.png: 20 x 10 pixels, but test/dent/000.jpg has 10 x 20, as test/dent/000.jpg "
            f"is turned by its EXIF orientation ({orientation})"
        ) in refused(category)

    @pytest.mark.parametrize("orientation", [2, 3, 4, 6])
    def test_turned_images_are_noted_where_sizes_cannot_tell(
        self, category: Path, orientation: int
    ) -> None:
        self.turned(category, orientation, (SIDE, SIDE))
        [note] = scan(category)[2]
        assert note == (
            f"1 images are turned as their EXIF orientation says ({orientation}), such as "
            "test/dent/000.jpg; 1 of them have a mask, which must show them turned"
        )


def test_sizes_and_shapes_are_noted(category: Path) -> None:
    put(category, "train/good/000.png", png(0, (20, 10)))
    [note] = scan(category)[2]
    assert note.startswith(f"images of 2 sizes, all resized to one: 18 of {SIDE} x {SIDE}, 1 of 20")
    assert "width : height is from 1.00 to 2.00" in note


def test_a_mask_of_another_shape_than_the_images_is_noted(category: Path) -> None:
    """Painted over a picture in landscape, and laid over portraits."""
    landscape, square = (packed(Image.new("L", size, 255)) for size in ((60, 40), (41, 40)))
    [note] = scan(category, ImageConfig(region=landscape))[2]
    assert note.startswith("image.region: the mask is 1.50 times as wide as high, and the images")
    for region in (square, ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))):
        assert scan(category, ImageConfig(region=region))[2] == []


class TestRepeats:
    @pytest.mark.parametrize("file_format", ["PNG", "BMP", "TIFF", "WEBP"])
    def test_a_training_image_saved_again_is_found_in_the_test_split(
        self, category: Path, file_format: str
    ) -> None:
        buffer = io.BytesIO()
        options = {"lossless": True} if file_format == "WEBP" else {}
        Image.open(io.BytesIO(png(5))).convert("RGBA").save(buffer, file_format, **options)
        put(category, f"test/good/again.{file_format.lower()}", buffer.getvalue())
        assert "the same image as train/good/005.png, in training" in refused(category)

    def test_training_images_that_repeat_pixels_are_left_out(self, category: Path) -> None:
        put(category, "train/good/zz.bmp", encoded(Image.open(io.BytesIO(png(5))), "BMP"))
        train, _, [note] = scan(category)
        assert train.counts() == {"good": 12}
        assert note.endswith("1 images, such as train/good/zz.bmp (as train/good/005.png)")

    def test_deep_images_are_compared_by_all_their_bits(self, category: Path) -> None:
        for number, part in enumerate(["train/good", "test/good"] * 2):
            deep = np.arange(SIDE * SIDE, dtype=np.uint16).reshape(SIDE, SIDE) * 256 + number
            put(category, f"{part}/deep{number}.png", encoded(Image.fromarray(deep)))
        scan(category)
