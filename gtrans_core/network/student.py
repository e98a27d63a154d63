"""A student CNN whose shape differs from the AGN's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn


class Student(nn.Module):
    """A backbone whose maps are brought to the AGN's channels by 1 x 1 convolutions.

    Args:
        backbone: returns one map a scale, finest first.
        channels: of its maps.
        agn_channels: of the maps to return.
    """

    def __init__(
        self, backbone: nn.Module, channels: Sequence[int], agn_channels: Sequence[int]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.adapters = nn.ModuleList(
            nn.Conv2d(own, agn, kernel_size=1, bias=False)
            for own, agn in zip(channels, agn_channels, strict=True)
        )

    def forward(self, inputs_B3HW: Tensor) -> list[Tensor]:
        """Maps [B, C_i, H_i, W_i], C_i the AGN's."""
        maps = self.backbone(inputs_B3HW)
        return [adapter(m) for adapter, m in zip(self.adapters, maps, strict=True)]
