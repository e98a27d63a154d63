"""The frozen guide (AGN): any timm backbone, three maps, no gradient, no drift."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from gtrans_core.network.backbone import BackboneSpec


class Agn(nn.Module):
    """A backbone that stays in eval mode: ``train()`` does not reach it, nothing has a gradient.

    Otherwise one ``train()`` call would move its BatchNorm statistics.
    """

    def __init__(self, backbone: nn.Module, spec: BackboneSpec) -> None:
        super().__init__()
        self.backbone = backbone.requires_grad_(False).to(memory_format=torch.channels_last)
        self.spec = spec
        self.eval()

    def train(self, mode: bool = True) -> Agn:
        """Stay in eval mode, whatever ``mode`` is."""
        del mode
        super().train(False)
        return self

    @torch.no_grad()
    def forward(self, inputs_B3HW: Tensor) -> list[Tensor]:
        """Three maps [B, C_i, H_i, W_i], finest first, of normalised inputs."""
        maps: list[Tensor] = self.backbone(inputs_B3HW)
        return maps


@torch.no_grad()
def move_statistics(agn: Agn, batches: Iterable[Tensor]) -> None:
    """Move the BatchNorm statistics of an AGN as one epoch of forwards in train mode does.

    The authors' code does so by oversight. Weights stay, and so does what
    ``Agn.train`` promises: afterwards it is in eval mode again.

    Args:
        agn: changed in place.
        batches: uint8 RGB [B, 3, H, W], in the order of the epoch.
    """
    agn.backbone.train()
    for views_B3HW in batches:
        agn(agn.spec.normalise(views_B3HW))
    agn.eval()


def state_sha256(state: Mapping[str, Tensor]) -> str:
    """sha256 (hex) over names, shapes, types and bytes of a state dict, in name order."""
    digest = hashlib.sha256()
    for key in sorted(state):
        tensor = state[key].detach().cpu().contiguous()
        digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
