"""A part in tiles: cut, put together again, and joined without seams."""

from __future__ import annotations

import pytest
import torch

from gtrans_core.config import ImageConfig
from gtrans_core.network.tiling import Tiling

WAYS = [
    ((1, 1), 32, (64, 64)),
    ((2, 3), 32, (64, 96)),
    ((3, 1), 0, (32, 64)),
    ((4, 4), 16, (32, 32)),
]


@pytest.fixture(params=WAYS, ids=str)
def image(request: pytest.FixtureRequest) -> ImageConfig:
    tiles, overlap, size = request.param
    return ImageConfig(tiles=tiles, overlap=overlap, size=size)


def test_tiles_put_together_are_the_part(image: ImageConfig) -> None:
    tiling = Tiling(image)
    views = torch.randint(0, 256, (2, 3, *image.view_shape), dtype=torch.uint8)
    tiles = tiling.cut(views)
    assert tiles.shape == (2 * tiling.count, 3, *image.input_shape)
    for view, own in zip(views, tiles.split(tiling.count), strict=True):
        assert torch.equal(tiling.paste(own), view)


@pytest.mark.parametrize("stride", [1, 8, 16])
def test_what_tiles_agree_on_is_in_the_joined_map_and_a_seam_is_not(
    image: ImageConfig, stride: int
) -> None:
    tiling = Tiling(image)
    height, width = (side // stride for side in image.view_shape)
    ramp = torch.arange(height * width, dtype=torch.float32).view(1, 1, height, width)
    of_stride = Tiling(
        image.model_copy(
            update={
                "size": tuple(side // stride for side in image.input_shape),
                "overlap": image.overlap // stride,
            }
        )
    )
    tiles = of_stride.cut(ramp.expand(2, 3, -1, -1))[:, :1]
    torch.testing.assert_close(tiling.join(tiles), ramp.expand(2, -1, -1, -1))


def test_where_tiles_differ_one_gives_way_to_the_other_step_by_step() -> None:
    tiling = Tiling(ImageConfig(tiles=(1, 2), overlap=32, size=64))
    tiles = torch.stack([torch.zeros(1, 64, 64), torch.ones(1, 64, 64)])
    line = tiling.join(tiles)[0, 0, 0]
    assert line[:32].eq(0).all()
    assert line[64:].eq(1).all()
    steps = line.diff()
    assert steps.min() >= 0
    assert steps.max() < 0.05


def test_a_part_of_one_tile_is_not_touched() -> None:
    tiling = Tiling(ImageConfig(size=64))
    view, heat = torch.zeros(1, 3, 64, 64, dtype=torch.uint8), torch.rand(1, 1, 8, 8)
    assert tiling.cut(view) is view
    assert tiling.join(heat) is heat
