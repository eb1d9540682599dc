"""Pyramid vision transformer, version 2, with the names of the public weights.

Source: Wang et al., "PVT v2" (Computational Visual Media, 2022). Four stages; each joins patches,
adds blocks of attention whose keys and values are taken from a shrunk picture, and normalises.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn import functional

EPS = 1e-6  # of the blocks' normalisations; the others keep 1e-5


@dataclass(frozen=True)
class PVTConfig:
    """Widths, depths, attention heads and shrinking of the four stages; the default is b5."""

    widths: tuple[int, ...] = (64, 128, 320, 512)
    depths: tuple[int, ...] = (3, 6, 40, 3)
    heads: tuple[int, ...] = (1, 2, 5, 8)
    shrink: tuple[int, ...] = (8, 4, 2, 1)
    ratio: int = 4  # of the perceptron's width to the block's


class Attention(nn.Module):
    """Attention of every token to the tokens of a shrunk picture."""

    def __init__(self, width: int, heads: int, shrink: int) -> None:
        super().__init__()
        self.heads, self.shrink = heads, shrink
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.proj = nn.Linear(width, width)
        if shrink > 1:
            self.sr = nn.Conv2d(width, width, shrink, shrink)
            self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        small = x
        if self.shrink > 1:
            small = self.sr(x.transpose(1, 2).unflatten(2, size)).flatten(2).transpose(1, 2)
            small = self.norm(small)
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.q(x), *self.kv(small).chunk(2, -1))
        )
        out = functional.scaled_dot_product_attention(query, key, value)
        return self.proj(out.transpose(1, 2).flatten(2))


class Perceptron(nn.Module):
    """Two linear layers with a depth-wise 3×3 convolution between them."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.dwconv = nn.ModuleDict(
            {"dwconv": nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden)}
        )
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        maps = self.fc1(x).transpose(1, 2).unflatten(2, size)
        maps = self.dwconv["dwconv"](maps)
        return self.fc2(functional.gelu(maps.flatten(2).transpose(1, 2)))


class Block(nn.Module):
    """Attention, then the perceptron, each after normalisation and added back."""

    def __init__(self, width: int, heads: int, shrink: int, ratio: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, EPS)
        self.attn = Attention(width, heads, shrink)
        self.norm2 = nn.LayerNorm(width, EPS)
        self.mlp = Perceptron(width, ratio * width)

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        x = x + self.attn(self.norm1(x), size)
        return x + self.mlp(self.norm2(x), size)


class PatchEmbed(nn.Module):
    """Overlapping patches as tokens, (B, C, H, W) -> (B, N, width) and the size of the grid."""

    def __init__(self, inputs: int, width: int, patch: int, stride: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(inputs, width, patch, stride, patch // 2)
        self.norm = nn.LayerNorm(width)

    def forward(self, image: Tensor) -> tuple[Tensor, tuple[int, int]]:
        maps = self.proj(image)
        return self.norm(maps.flatten(2).transpose(1, 2)), tuple(maps.shape[-2:])


class PVTv2(nn.Module):
    """Pictures (B, 3, H, W), normalised as ImageNet -> features at 1/4, 1/8, 1/16, 1/32."""

    def __init__(self, config: PVTConfig | None = None) -> None:
        super().__init__()
        config = config or PVTConfig()
        inputs = 3
        for stage, width in enumerate(config.widths, start=1):
            patch, stride = (7, 4) if stage == 1 else (3, 2)
            heads, shrink = config.heads[stage - 1], config.shrink[stage - 1]
            blocks = [
                Block(width, heads, shrink, config.ratio) for _ in range(config.depths[stage - 1])
            ]
            self.add_module(f"patch_embed{stage}", PatchEmbed(inputs, width, patch, stride))
            self.add_module(f"block{stage}", nn.ModuleList(blocks))
            self.add_module(f"norm{stage}", nn.LayerNorm(width, EPS))
            inputs = width
        self.stages = len(config.widths)

    def forward(self, image: Tensor) -> list[Tensor]:
        maps, x = [], image
        for stage in range(1, self.stages + 1):
            x, size = self.get_submodule(f"patch_embed{stage}")(x)
            for block in self.get_submodule(f"block{stage}").children():
                x = block(x, size)
            x = self.get_submodule(f"norm{stage}")(x).transpose(1, 2).unflatten(2, size)
            maps.append(x)
        return maps
