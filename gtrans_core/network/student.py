"""A student CNN whose shape differs from the AGN's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from gtrans_core.network.plane import resize


class Student(nn.Module):
    """A CNN whose maps are brought to the AGN's channels by 1 x 1 convolutions.

    Args:
        backbone: returns one map a scale, finest first.
        channels: of its maps.
        agn_channels: of the maps to return.
        stride: of all maps to return, where the AGN's have only one; None: that of each is its own.
    """

    def __init__(
        self,
        backbone: nn.Module,
        channels: Sequence[int],
        agn_channels: Sequence[int],
        stride: int | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.stride = stride
        self.adapters = nn.ModuleList(
            nn.Conv2d(own, agn, kernel_size=1, bias=False)
            for own, agn in zip(channels, agn_channels, strict=True)
        )

    def forward(self, inputs_B3HW: Tensor) -> list[Tensor]:
        """Maps [B, C_i, H_i, W_i], C_i the AGN's."""
        maps = self.backbone(inputs_B3HW)
        if self.stride is not None:
            height, width = (int(side) // self.stride for side in inputs_B3HW.shape[2:])
            maps = [resize(m, (height, width)) for m in maps]
        return [adapter(m) for adapter, m in zip(self.adapters, maps, strict=True)]
