"""What DenseAV minimises: contrast both ways, and small terms that keep it stable.

Source: DenseAV (Hamilton et al., CVPR 2024), Eqs. 3 to 5 and Sec. 3.4; weights and exact forms
from the official training code. `audio` is (B, K·C, F, T), `image` (B, K·C, H, W), pairs in order.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from avcore.nn import losses
from avcore.papers.denseav.similarity import check_mask, paired_volume


def info_nce(sims: Tensor) -> Tensor:
    """Half the cross-entropy of each sound's own picture plus half that of each picture's sound.

    Eq. 3 and its mirror image; sims (B, B), own pairs on the diagonal. The mean is subtracted
    first, as in the official code, which changes no loss but keeps half precision in range.
    """
    return losses.info_nce(sims - sims.mean())


def disentanglement(audio: Tensor, image: Tensor, heads: int) -> Tensor:
    """Eq. 4: mean |s[i] · s[j]| over pairs of heads, small when only one head is active at a time.

    One head has no other: 0.
    """
    size = paired_volume(audio, image, heads).abs()  # (B, K, F, T, H, W)
    pairs = [(size[:, i] * size[:, j]).mean() for i, j in combinations(range(heads), 2)]
    return torch.stack(pairs).mean() if pairs else size.new_zeros(())


def temporal_smoothness(
    audio: Tensor, image: Tensor, heads: int, mask: Tensor | None = None
) -> Tensor:
    """Total variation: mean square of the change of the paired volume from step to step.

    Steps outside `mask` (B, T) count as 0, as in the official code. A single step has none: 0.

    Raises
    ------
    AvcoreError
        When the mask does not have one value per sound and step.
    """
    check_mask(mask, audio)
    if audio.shape[-1] < 2:
        return audio.new_zeros(())
    if mask is not None:
        audio = audio * mask[:, None, None].to(audio.dtype)
    # s is linear in the sound: the change of s is the s of the change
    return paired_volume(audio.diff(dim=-1), image, heads).square().mean()


def nonnegative_pressure(
    audio: Tensor,
    image: Tensor,
    heads: int,
    samples: int = 250,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Mean min(s, 0)² between steps and places drawn at random from the whole batch.

    Penalises negative similarities.
    """
    steps = audio.unflatten(1, (heads, -1)).permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B·F·T, K, C)
    places = image.unflatten(1, (heads, -1)).permute(0, 3, 4, 1, 2).flatten(0, 2)  # (B·H·W, K, C)

    def draw(rows: Tensor) -> Tensor:
        chosen = torch.randint(len(rows), (samples,), generator=generator)
        return rows[chosen.to(rows.device)]

    s = torch.einsum("akc,vkc->avk", draw(steps), draw(places))
    return s.clamp_max(0).square().mean()


def silence(audio: Tensor, image: Tensor, mask: Tensor, heads: int) -> Tensor:
    """Mean |s| over the steps that `mask` (B, T) leaves out: silence should fit nothing.

    0 where no step is left out. The official code draws 250 such steps; this is all of them.

    Raises
    ------
    AvcoreError
        When the mask does not have one value per sound and step.
    """
    check_mask(mask, audio)
    quiet = (~mask.bool()).to(audio.dtype)
    volume = paired_volume(audio.mean(2, keepdim=True), image, heads).abs().mean((1, 2, 4, 5))
    return (volume * quiet).sum() / quiet.sum().clamp_min(1)


def temperature_balance(log_scale: Tensor, initial: float = 1.0) -> Tensor:
    """max(log initial - log γ, 0)²: the inverse temperature γ must not fall below its start."""
    start = torch.tensor(initial, device=log_scale.device).log()
    return (start - log_scale).clamp_min(0).square().mean()
