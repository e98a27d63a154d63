"""How many grey levels of a category's images survive, and the range that lets enough of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gtrans_core.config import ImageConfig
from gtrans_core.data.checking import Checked
from gtrans_core.data.levels import GreyLevels, Range

_FEW = 64
"""Of 256 levels; colour that has fewer after it was cut to 8 bits has lost what tells parts."""


class Depth:
    """Gathers the grey levels of images as they are checked."""

    def __init__(self) -> None:
        self._levels = GreyLevels()
        self._cut = np.zeros(256, np.int64)

    def take(self, one: Checked) -> Checked:
        """Count an image's levels; returns it without them."""
        if one.counts is not None:
            self._levels.add(one.counts)
        if one.cut_counts is not None:
            self._cut += one.cut_counts
        return replace(one, counts=None, cut_counts=None)

    def settle(
        self, images: Sequence[Checked], config: ImageConfig
    ) -> tuple[Range | None, list[str], list[str]]:
        """The range to read 16-bit images by, if not all of it; problems; notes.

        A range that the config names is taken; all images must then be deep.
        """
        problems = self._cut_problems()
        chosen = config.levels or self._levels.choose()
        if chosen is None:
            return None, problems, []
        shallow = [image for image in images if not image.is_deep]
        low, high = chosen
        if shallow:
            problems.append(
                f"{shallow[0].file.name}: not a grey image of 16 bits, as {len(shallow)} of the "
                f"{len(images)} images; the others are, and their grey levels {low} to {high} are "
                "to be read (else too few survive): save all images alike"
            )
        if config.levels:
            return None, problems, []
        used = self._levels.used
        note = (
            f"16-bit images use grey levels {used[0]} to {used[1]}; {low} to {high} become 0 to "
            f"255 (image.levels), which leaves {self._levels.left(chosen)} levels instead of "
            f"{self._levels.left(None)}, in training and in use"
        )
        return chosen, problems, [note]

    def _cut_problems(self) -> list[str]:
        left = int(np.count_nonzero(self._cut))
        if not left or left >= _FEW:
            return []
        return [
            f"of the colour images of 16 bits a channel {left} of 256 levels are left, since only "
            "their upper 8 bits are read: save them as 16-bit grey, or stretched to 8 bits"
        ]
