"""Trans: the student whose Transformer relates the features of three resolutions.

Shape suffixes: B batch, C channels, H and W map size, P = H W pixels, L tokens a map,
T = 3 L tokens in all, D token width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import relu

Guidance = Literal["agn", "student", "none"]


class Tokenizer(nn.Module):
    """A filter tokenizer: L learned attentions over pixels compress a map into L tokens."""

    def __init__(self, channels: int, tokens: int, width: int) -> None:
        super().__init__()
        self.attention = nn.Linear(channels, tokens, bias=False)
        self.value = nn.Linear(channels, width, bias=False)
        self.scale = channels**-0.5

    def forward(self, map_BCHW: Tensor) -> Tensor:
        """Tokens [B, L, D] of a map [B, C, H, W]."""
        pixels_BPC = map_BCHW.flatten(2).transpose(1, 2)
        weights_BPL = torch.softmax(self.attention(pixels_BPC) * self.scale, dim=1)
        pooled_BLC = weights_BPL.transpose(1, 2) @ pixels_BPC
        # A^T (u W_v) = (A^T u) W_v: the same tokens for L instead of P projections.
        tokens_BLD: Tensor = self.value(pooled_BLC)
        return tokens_BLD


class TokenBlock(nn.Module):
    """Single-head attention and a feed-forward layer, each with a residual and one shared norm.

    The encoder attends to itself; the decoder's queries attend to the encoder's output.
    """

    def __init__(self, tokens: int, width: int, layer_norm: bool) -> None:
        super().__init__()
        self.query = nn.Linear(width, width, bias=False)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width, bias=False)
        self.expand = nn.Linear(width, width, bias=False)
        self.contract = nn.Linear(width, width, bias=False)
        self.norm: nn.Module = nn.LayerNorm([tokens, width]) if layer_norm else nn.Identity()
        self.scale = width**-0.5

    def forward(self, queries_BTD: Tensor, memory_BTD: Tensor) -> Tensor:
        """Queries [B, T, D] after one look at the memory [B, T, D]."""
        logits_BTT = self.query(queries_BTD) @ self.key(memory_BTD).transpose(1, 2) * self.scale
        attended_BTD = torch.softmax(logits_BTT, dim=-1) @ self.value(memory_BTD)
        hidden_BTD = self.norm(queries_BTD + attended_BTD)
        output_BTD: Tensor = self.norm(hidden_BTD + self.contract(relu(self.expand(hidden_BTD))))
        return output_BTD


class Projector(nn.Module):
    """Brings a scale's decoded tokens back onto its map: every pixel attends to the L tokens."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels, bias=False)
        self.key = nn.Linear(width, channels, bias=False)
        self.value = nn.Linear(width, channels, bias=False)
        self.scale = channels**-0.5

    def forward(self, map_BCHW: Tensor, tokens_BLD: Tensor) -> Tensor:
        """The map [B, C, H, W] plus, at each pixel, what its tokens [B, L, D] add."""
        pixels_BPC = map_BCHW.flatten(2).transpose(1, 2)
        logits_BPL = self.query(pixels_BPC) @ self.key(tokens_BLD).transpose(1, 2) * self.scale
        added_BPC: Tensor = torch.softmax(logits_BPL, dim=-1) @ self.value(tokens_BLD)
        return map_BCHW + added_BPC.transpose(1, 2).reshape(map_BCHW.shape)


class Trans(nn.Module):
    """Student CNN, shared tokenizers, encoder, decoder and projectors.

    Args:
        student: a randomly initialised backbone that returns three maps.
        channels: C_i of the three maps.
        token_width: D.
        tokens_per_map: L.
        passes: n, passes through the one encoder block and through the one decoder block.
        layer_norm: whether the blocks normalise (jointly over [T, D]).
        guidance: whose tokens query the decoder: ``agn``; ``student``, a control without the
            AGN's guidance; or ``none``, a control without tokens: the student CNN alone, which is
            STFPM (Wang et al., arXiv 2103.04257).
    """

    def __init__(
        self,
        student: nn.Module,
        channels: Sequence[int],
        token_width: int,
        tokens_per_map: int,
        passes: int,
        layer_norm: bool,
        guidance: Guidance = "agn",
    ) -> None:
        super().__init__()
        self.student = student
        self.guidance = guidance
        self.tokens_per_map = tokens_per_map
        self.passes = passes
        if guidance == "none":
            return
        tokens = len(channels) * tokens_per_map
        self.tokenizers = nn.ModuleList(Tokenizer(c, tokens_per_map, token_width) for c in channels)
        self.encoder = TokenBlock(tokens, token_width, layer_norm)
        self.decoder = TokenBlock(tokens, token_width, layer_norm)
        self.projectors = nn.ModuleList(Projector(c, token_width) for c in channels)

    def forward(self, inputs_B3HW: Tensor, agn_maps: Sequence[Tensor]) -> list[Tensor]:
        """Predict the AGN's three maps [B, C_i, H_i, W_i] from the image, guided by AGN tokens."""
        student_maps: list[Tensor] = self.student(inputs_B3HW)
        if self.guidance == "none":
            return student_maps
        memory_BTD = self.tokenize(student_maps)
        for _ in range(self.passes):
            memory_BTD = self.encoder(memory_BTD, memory_BTD)
        decoded_BTD = self.tokenize(agn_maps if self.guidance == "agn" else student_maps)
        for _ in range(self.passes):
            decoded_BTD = self.decoder(decoded_BTD, memory_BTD)
        tokens_per_scale = torch.split(decoded_BTD, self.tokens_per_map, dim=1)
        return [
            projector(student_map, tokens_BLD)
            for projector, student_map, tokens_BLD in zip(
                self.projectors, student_maps, tokens_per_scale, strict=True
            )
        ]

    def tokenize(self, maps: Sequence[Tensor]) -> Tensor:
        """Tokens [B, T, D] of three maps, in scale order; the same for AGN and student."""
        tokens = [tokenizer(m) for tokenizer, m in zip(self.tokenizers, maps, strict=True)]
        return torch.cat(tokens, dim=1)
