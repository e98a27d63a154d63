"""The shape in which images are seen: about their own, decided by the training images alone."""

from __future__ import annotations

import numpy as np
import pytest

from gtrans_core.config import GTransConfig, ImageConfig, load_config
from gtrans_core.data.manifest import Manifest, Sample
from gtrans_core.data.shape import STEP, shape_for
from gtrans_core.features.cache_index import cache_identity
from gtrans_core.network.backbone import BackboneSpec

SPEC = BackboneSpec("any", (8, 16, 32), (1, 1, 1), (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("image", "seen"),
    [
        ((1024, 1024), (288, 288)),
        ((300, 300), (288, 288)),
        ((1000, 1050), (288, 288)),
        ((600, 800), (256, 320)),
        ((900, 1200), (256, 320)),
        ((1200, 900), (320, 256)),
        ((6, 8), (256, 320)),
        ((800, 600), (320, 256)),
        ((1000, 1500), (224, 352)),
        ((1080, 1920), (192, 352)),
        ((400, 4000), (96, 864)),
        ((8, 100_000), (32, 2048)),
    ],
)
def test_the_shape_of(image: tuple[int, int], seen: tuple[int, int]) -> None:
    assert shape_for([image]) == seen


def test_any_shape_is_kept_about_within_the_pixels_of_the_square() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        image = tuple(map(int, rng.integers(100, 1000, 2)))
        height, width = shape_for([image])
        assert height % STEP == width % STEP == 0
        assert height * width <= 288**2
        stretch = height * image[1] / (width * image[0])
        assert max(stretch, 1 / stretch) < 1.2


def test_the_median_image_decides_and_a_coarser_stride_divides_both_sides() -> None:
    images = [(100, 100), (600, 800), (600, 801), (100, 900), (100, 100), (600, 800)]
    assert shape_for(images) == shape_for([(600, 800)]) == (256, 320)
    assert shape_for([(600, 800)], step=64) == (256, 320)


def manifest(*sizes: tuple[int, int]) -> Manifest:
    samples = tuple(
        Sample(path=f"{i}.png", sha256=f"{i:064}", defect="good", width=width, height=height)
        for i, (width, height) in enumerate(sizes)
    )
    return Manifest(category="part", source="here", split="train", root="/", samples=samples)


class TestSettled:
    def test_what_is_not_square_keeps_about_its_shape(self) -> None:
        image = manifest((800, 600)).settled(GTransConfig()).image
        assert (image.size, image.view_shape) == ((256, 320), (256, 320))

    def test_a_square_is_a_number_and_so_is_its_key(self) -> None:
        square = manifest((900, 900))
        settled = square.settled(GTransConfig())
        assert settled.to_json() == load_config(overrides=["image.size=288"]).to_json()
        identity = cache_identity(square, SPEC, "0" * 64, settled.image)
        before = ImageConfig(size=288)
        assert identity.key == cache_identity(square, SPEC, "0" * 64, before).key

    @pytest.mark.parametrize("size", ["image.size=128", "image.size=[64, 96]"])
    def test_what_the_config_says_stays(self, size: str) -> None:
        config = load_config(overrides=[size])
        assert manifest((800, 600)).settled(config) == config

    def test_a_crop_is_one_of_the_square_of_papers(self) -> None:
        config = load_config(overrides=["image.crop=224"])
        assert config.image.view_shape == (224, 224)
        assert manifest((800, 600)).settled(config).image.size == 256


def test_a_stored_config_means_the_square_that_it_meant() -> None:
    """Of a version that knew no other: written out, or left out in a section that is there."""
    for text in ('{"image": {"size": 256}}', '{"image": {}}'):
        config = GTransConfig.from_json(text)
        assert manifest((800, 600)).settled(config).image.view_shape == (256, 256)
