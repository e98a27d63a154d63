"""What ingest says and refuses before anything is trained."""

from __future__ import annotations

from pathlib import Path

import pytest

from gtrans_core.config import load_config
from gtrans_core.errors import DataError
from gtrans_core.steps.ingest import _few_images, _require_enough


def test_fewer_different_images_than_can_be_learnt_from_are_refused():
    with pytest.raises(DataError, match="part: 4 different good training images, at least 5"):
        _require_enough(4, Path("part"))
    _require_enough(5, Path("part"))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (12, ["12 good images can promise a false-alarm rate of 7.69 % at best; 5 % needs 19"]),
        (19, []),
        (209, []),
    ],
)
def test_what_few_images_cannot_promise_is_said(images: int, said: list[str]):
    lines = _few_images(images, load_config())
    assert [line.partition(":")[0] for line in lines] == said
