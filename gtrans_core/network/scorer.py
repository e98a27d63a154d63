"""All networks and the score formulas as one module: from pixels to a score."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from gtrans_core.config import GTransConfig
from gtrans_core.network.agn import Agn
from gtrans_core.network.memory import PatchMemory, memory_maps
from gtrans_core.network.scene import AnyScene
from gtrans_core.network.score import heat_map, image_map, image_score, usual_map
from gtrans_core.network.tiling import Tiling
from gtrans_core.network.trans import Trans


class Scorer(nn.Module):
    """Scores images, each on its own, in fp32.

    Args:
        agn: the guide.
        trans: the student side.
        scene: the scene model; None is for a ``scoring.scene_share`` of 0 only.
        config: whose ``scoring`` and ``research`` say how to score.
        memory: the patch memory; None is for a config that does not use it only.

    Raises:
        ValueError: when the scene model or the patch memory is missing.
    """

    def __init__(
        self,
        agn: Agn,
        trans: Trans,
        scene: AnyScene | None,
        config: GTransConfig,
        memory: PatchMemory | None = None,
    ) -> None:
        super().__init__()
        if memory is None and config.has_memory:
            raise ValueError("scoring.memory_share is not 0, but there is no patch memory")
        if scene is None and config.scoring.has_scene:
            raise ValueError("scoring.scene_share is not 0, but there is no scene model")
        self.agn = agn
        self.trans = trans.to(memory_format=torch.channels_last)
        self.scene = scene
        self.memory = memory if config.has_memory else None
        self.config = config
        self.tiling = Tiling(config.image)
        inside = config.image.inside
        self.inside_HW = None if inside is None else torch.from_numpy(inside.copy())
        self.usual_1HW = self._usual_map()
        self.eval()

    def forward(self, views_B3HW: Tensor) -> tuple[Tensor, Tensor]:
        """Heat maps [B, H, W] and scores [B] of uint8 RGB views [B, 3, H, W]."""
        if self.inside_HW is not None:
            views_B3HW = torch.where(self.inside_HW, views_B3HW, torch.zeros_like(views_B3HW))
        inputs = self.agn.spec.normalise(self.tiling.cut(views_B3HW))
        agn_maps = self.agn(inputs)
        # A branch that has no share is not computed.
        trans_maps = self.trans(inputs, agn_maps) if self.config.scoring.scene_weight < 1 else []
        scene_maps = self.scene(agn_maps) if self.scene and self.config.scoring.has_scene else []
        memory_map = (
            self.memory(memory_maps(agn_maps, self.agn.spec.strides)) if self.memory else None
        )
        height, width = views_B3HW.shape[2:]
        maps = agn_maps, trans_maps, scene_maps, memory_map
        map_BHW = heat_map(*maps, (height, width), self.config, self.tiling.join)
        scored_BHW = image_map(map_BHW, *maps, self.config, self.tiling.join)
        if self.inside_HW is not None:
            map_BHW, scored_BHW = map_BHW * self.inside_HW, scored_BHW * self.inside_HW
        scoring, pixels = self.config.scoring, self.config.image.scored_pixels
        return map_BHW, image_score(scored_BHW, self.usual_1HW, scoring, pixels)

    @torch.inference_mode()
    def score_view(self, view_3HW: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.float32], float]:
        """Heat map [H, W] and score of one view [3, H, W].

        Alone in its batch, so that a score cannot depend on other images, not even in the last bit.
        """
        map_1HW, score_1 = self(torch.from_numpy(view_3HW)[None])
        return map_1HW[0].numpy(), float(score_1[0])

    def _usual_map(self) -> Tensor:
        if self.scene is None:
            return torch.ones(1, 1, 1)
        tiles = self.tiling.count
        usual = [self.tiling.join(m.expand(tiles, -1, -1, -1)) for m in self.scene.usual_maps()]
        stride = self.agn.spec.strides[0]
        rows, columns = (stride * side for side in usual[0].shape[2:])
        return usual_map(usual, (rows, columns), self.config)
