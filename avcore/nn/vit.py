"""A vision transformer with the layout and names of DINO's, so that its weights load as they are.

Source: Dosovitskiy et al. (ICLR 2021); Caron et al., "Emerging Properties in Self-Supervised
Vision Transformers" (ICCV 2021), ViT-S/8: 12 blocks of width 384 with 6 heads.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.nn.lora import LoRALinear
from avcore.support import AvcoreError


class Attention(nn.Module):
    """Self-attention of several heads over tokens, (B, N, C) -> (B, N, C)."""

    def __init__(self, width: int, heads: int, lora_rank: int = 0) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = (
            LoRALinear(width, 3 * width, lora_rank) if lora_rank else nn.Linear(width, 3 * width)
        )
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.qkv(x).chunk(3, -1)
        )  # each (B, heads, N, C / heads)
        out = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(out.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention, then a two-layer perceptron, each after layer normalisation and added back."""

    def __init__(self, width: int, heads: int, eps: float = 1e-6, lora_rank: int = 0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps)
        self.attn = Attention(width, heads, lora_rank)
        self.norm2 = nn.LayerNorm(width, eps)
        self.mlp = nn.ModuleDict(
            {"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)}
        )

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](functional.gelu(self.mlp["fc1"](self.norm2(x))))


class VisionTransformer(nn.Module):
    """Pictures to a grid of tokens and one token for the whole.

    Parameters
    ----------
    patch, grid
        Pixels of a patch's side, and patches along a side of the pictures it was trained on
        (other sizes interpolate the position embedding as DINO does).
    eps
        Of the layer normalisations; DenseAV uses 1e-4, DINO 1e-6.
    lora_rank
        Rank of the adaptation of every query-key-value layer; 0 for none.
    """

    def __init__(
        self,
        patch: int = 8,
        grid: int = 28,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        eps: float = 1e-6,
        lora_rank: int = 0,
    ) -> None:
        super().__init__()
        self.patch, self.grid = patch, grid
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(3, width, patch, patch)})
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.pos_embed = nn.Parameter(torch.zeros(1, grid * grid + 1, width))
        nn.init.trunc_normal_(self.cls_token, std=0.02)
        nn.init.trunc_normal_(self.pos_embed, std=0.02)
        self.blocks = nn.ModuleList(Block(width, heads, eps, lora_rank) for _ in range(depth))
        self.norm = nn.LayerNorm(width, eps)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W), normalised as ImageNet -> features (B, C, H/p, W/p) and CLS (B, C)."""
        if image.shape[-1] % self.patch or image.shape[-2] % self.patch:
            raise AvcoreError(
                f"the sides of a picture must be multiples of {self.patch} pixels, "
                f"got {tuple(image.shape[-2:])}"
            )
        patches = self.patch_embed["proj"](image)  # (B, C, h, w)
        height, width = patches.shape[-2:]
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.cls_token.expand(len(tokens), -1, -1), tokens], 1)
        tokens = tokens + self._positions(height, width)
        for block in self.blocks:
            tokens = block(tokens)
        tokens = self.norm(tokens)
        return tokens[:, 1:].transpose(1, 2).unflatten(2, (height, width)), tokens[:, 0]

    def _positions(self, height: int, width: int) -> Tensor:
        if (height, width) == (self.grid, self.grid):
            return self.pos_embed
        grid = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (self.grid, self.grid))
        # DINO passes scale factors of (size + 0.1) / grid, which also shifts where it samples
        scale = ((height + 0.1) / self.grid, (width + 0.1) / self.grid)
        grid = functional.interpolate(grid, scale_factor=scale, mode="bicubic")
        return torch.cat([self.pos_embed[:, :1], grid.flatten(2).transpose(1, 2)], 1)
