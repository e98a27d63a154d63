"""Grey levels of 16-bit images: how many survive, and the range that is fixed where few would."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gtrans_core.config import GTransConfig, ImageConfig, load_config
from gtrans_core.data.images import decode_view
from gtrans_core.data.layout import scan_category
from gtrans_core.data.levels import GreyLevels, counts_of, stretch
from gtrans_core.data.manifest import Manifest
from gtrans_core.errors import ConfigError, DataError
from tests.support.categories import put, sound_category
from tests.support.images import encoded

RNG = np.random.default_rng(0)


def values(low: int, high: int, outliers: tuple[int, ...] = ()) -> np.ndarray:
    """16-bit noise of 64 x 64 in a range, with a few hot or dead pixels."""
    found = RNG.integers(low, high + 1, (64, 64)).astype(np.uint16)
    found.flat[: len(outliers)] = outliers
    return found


def levels_of(*images: np.ndarray) -> GreyLevels:
    levels = GreyLevels()
    for image in images:
        levels.add(counts_of(image))
    return levels


@pytest.mark.parametrize(
    ("image", "chosen"),
    [
        (values(0, 65535), None),
        (values(0, 40000), None),
        (values(0, 4095), (0, 4095)),
        (values(0, 1023), (0, 1023)),
        (values(0, 16383), (0, 16383)),
        (values(100, 3000), (0, 4095)),
        (values(51200, 51455), (51137, 51518)),
        (np.full((64, 64), 9, np.uint16), None),
        (values(0, 1) * np.uint16(65535), None),
    ],
)
def test_a_range_is_fixed_where_few_levels_would_survive(
    image: np.ndarray, chosen: tuple[int, int] | None
) -> None:
    assert levels_of(image).choose() == chosen


def test_hot_and_dead_pixels_do_not_decide() -> None:
    chosen = levels_of(*[values(51200, 51455, (0, 65535)) for _ in range(3)]).choose()
    assert chosen is not None
    assert 51000 < chosen[0] < 51200
    assert 51455 < chosen[1] < 51600


def test_what_is_outside_the_range_is_its_end() -> None:
    stretched = stretch(np.array([0, 1000, 1500, 2000, 65535]), (1000, 2000))
    assert stretched.tolist() == [0, 0, 128, 255, 255]


def test_a_view_is_stretched_as_the_config_says() -> None:
    image = values(51200, 51455)
    data = encoded(Image.fromarray(image))
    config = ImageConfig(size=64, levels=(51200, 51455))
    view = decode_view(data, "a.png", config)
    np.testing.assert_array_equal(view[0], (image - 51200).astype(np.uint8))
    lost = decode_view(data, "a.png", ImageConfig(size=64))
    assert np.unique(lost).size == 1


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_where_a_range_is_set_8_bits_are_refused(mode: str) -> None:
    data = encoded(Image.new(mode, (64, 64), 7 if mode == "L" else (7, 7, 7)))
    with pytest.raises(DataError, match=r"^a\.png: not a grey image of 16 bits, but the training"):
        decode_view(data, "a.png", ImageConfig(size=64, levels=(5, 900)))


class TestConfig:
    def test_they_survive_the_way_to_another_step(self) -> None:
        config = load_config(overrides=["image.levels=[7, 900]", "image.max_megapixels=80"])
        again = GTransConfig.from_json(config.to_json())
        assert (again.image.levels, again.image.max_megapixels) == ((7, 900), 80)

    @pytest.mark.parametrize("wrong", ["[9, 9]", "[9, 70000]", "[-1, 9]"])
    def test_a_range_must_be_one(self, wrong: str) -> None:
        with pytest.raises(ConfigError, match=r"image"):
            load_config(overrides=[f"image.levels={wrong}"])


class TestScan:
    @pytest.fixture
    def category(self, tmp_path: Path) -> Path:
        return sound_category(tmp_path / "screw")

    def deepen(self, category: Path, low: int, high: int, parts: str = "*") -> None:
        """All images of some parts become 16-bit noise in a range."""
        for path in [*category.glob(f"{parts}/*/*.png")]:
            if "ground_truth" not in path.parts:
                noise = RNG.integers(low, high + 1, (16, 16)).astype(np.uint16)
                path.write_bytes(encoded(Image.fromarray(noise)))

    def scan(self, category: Path, image: ImageConfig | None = None) -> tuple[Manifest, list[str]]:
        notes: list[str] = []
        train, test = scan_category(
            category, "screw", "folder", image=image or ImageConfig(), note=notes.append
        )
        assert test.levels == train.levels
        return train, notes

    def test_a_narrow_range_is_kept_in_the_manifest_and_settles_the_config(
        self, category: Path
    ) -> None:
        self.deepen(category, 51200, 51455)
        train, [note] = self.scan(category)
        assert train.levels is not None
        assert "(image.levels), which leaves 172 levels instead of 1, in training and in" in note
        settled = train.settled(GTransConfig())
        assert settled.image.levels == train.levels
        assert Manifest.model_validate_json(train.model_dump_json()) == train

    def test_a_full_range_changes_nothing(self, category: Path) -> None:
        self.deepen(category, 0, 65535)
        train, notes = self.scan(category)
        assert train.levels is None
        assert notes == []
        assert train.settled(GTransConfig()).image.levels is None

    def test_the_configs_own_range_is_taken(self, category: Path) -> None:
        self.deepen(category, 51200, 51455)
        train, notes = self.scan(category, ImageConfig(levels=(0, 65535)))
        assert train.levels is None
        assert notes == []

    @pytest.mark.parametrize("parts", ["train", "test"])
    def test_a_mixture_is_refused(self, category: Path, parts: str) -> None:
        self.deepen(category, 51200, 51455, parts)
        if parts == "test":  # nothing to learn a range from: 8 bits are read, as always
            assert self.scan(category)[0].levels is None
            return
        with pytest.raises(DataError, match=r"test/.*: not a grey image of 16 bits, as 7 of the"):
            self.scan(category)

    def test_colour_that_was_cut_to_few_levels_is_refused_with_their_count(
        self, category: Path
    ) -> None:
        low, high = (np.uint16(51200).tobytes(), np.uint16(51711).tobytes())
        for number in range(12):
            noise = b"".join((low, high)[bit] for bit in RNG.integers(0, 2, 16 * 16 * 3).tolist())
            put(category, f"train/good/{number:03}.tif", tiff_of_48_bits(noise, 16))
            (category / f"train/good/{number:03}.png").unlink()
        with pytest.raises(DataError, match=r"16 bits a channel 2 of 256 levels are left"):
            self.scan(category)

    def test_pictures_of_one_value_are_refused(self, category: Path) -> None:
        self.deepen(category, 700, 700)
        with pytest.raises(DataError, match=r"every pixel of all 19 images has the same value"):
            self.scan(category)


def tiff_of_48_bits(pixels: bytes, side: int) -> bytes:
    """An uncompressed RGB TIFF with 16 bits a channel, little-endian; Pillow writes none."""
    fields = [
        (256, 3, 1, side),
        (257, 3, 1, side),
        (258, 3, 3, 8 + 2 + 12 * 9 + 4),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8 + 2 + 12 * 9 + 4 + 6),
        (277, 3, 1, 3),
        (278, 3, 1, side),
        (279, 4, 1, len(pixels)),
    ]
    ifd = len(fields).to_bytes(2, "little")
    for tag, kind, count, value in fields:
        ifd += b"".join(
            number.to_bytes(size, "little")
            for number, size in ((tag, 2), (kind, 2), (count, 4), (value, 4))
        )
    depth = (16).to_bytes(2, "little") * 3
    return b"II*\0" + (8).to_bytes(4, "little") + ifd + bytes(4) + depth + pixels
