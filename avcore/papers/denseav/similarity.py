"""The similarity volume and everything that pools it into one number a pair.

Source: DenseAV (Hamilton et al., CVPR 2024), Eqs. 1 and 2. Symbols: `audio` a[c,k,f,t] (A, K·C, F,
T), `image` v[c,k,h,w] (V, K·C, H, W), `heads` K. The names of the poolings are those of the
official code (after Harwath et al. 2018): i and a say image and audio, m and s before each say
maximum and mean ("sum"): misa is max over space and mean over time.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from avcore.nn.similarity import spatial_max
from avcore.support import AvcoreError, choose

POOLS = ("misa", "mima", "sisa")
HEAD_POOLS = ("max_elementwise", "max", "sum")


def similarity_volume(audio: Tensor, image: Tensor, heads: int) -> Tensor:
    """Eq. 1 for every sound and every picture, (A, V, K, F, T, H, W). It is large; see the source.

    For training and retrieval use `pooled_similarity`, which never holds it.
    """
    audio, image = _split(audio, image, heads)
    return torch.einsum("akcft,vkchw->avkfthw", audio, image)


def paired_volume(audio: Tensor, image: Tensor, heads: int) -> Tensor:
    """Eq. 1 for each sound and its own picture, (B, K, F, T, H, W)."""
    if len(audio) != len(image):
        raise AvcoreError(f"pairs need as many sounds as pictures: {len(audio)}, {len(image)}")
    audio, image = _split(audio, image, heads)
    return torch.einsum("bkcft,bkchw->bkfthw", audio, image)


def pooled_similarity(
    audio: Tensor,
    image: Tensor,
    mask: Tensor | None,
    heads: int,
    pool: str = "misa",
    head_pool: str = "max_elementwise",
    nonneg: bool = False,
) -> Tensor:
    """One similarity for every sound and every picture, (A, V), without holding the volume.

    Eq. 2 by default: the mean over steps of the maximum over heads and places.

    Parameters
    ----------
    audio, image
        (A, K·C, F, T) and (V, K·C, H, W), floating point; the result is at least float32.
    mask
        (A, T) bool, the steps that count, or None for all. A sound in which none counts has
        similarity 0 with every picture.
    pool
        "misa" (max over space, mean over time), "mima" (max, max) or "sisa" (mean, mean). The
        mean is taken over frequency in all of them.
    head_pool
        "max_elementwise": the best head at every step and place, before anything else; "max": the
        head with the largest pooled similarity; "sum": the sum of the pooled heads.
    nonneg
        Whether negative similarities count as 0.

    Raises
    ------
    AvcoreError
        For shapes that do not fit, names that are unknown, or features that are not finite.
    """
    _check_names(pool, head_pool)
    _check(audio, image, mask, heads)
    over_heads = head_pool == "max_elementwise"
    if pool == "sisa":
        best = _spatial_mean(audio, image, heads, over_heads, nonneg)  # (A, V, K', F, T)
    else:
        sounds, pictures = _split(audio, image, heads)
        best = spatial_max(sounds.flatten(3), pictures.flatten(3), over_heads)
        best = best.unflatten(3, audio.shape[2:])
        best = best.clamp_min(0) if nonneg else best
    pooled = pool_time(best.mean(3), mask, maximum=pool == "mima")  # (A, V, K')
    return pooled.amax(2) if head_pool == "max" else pooled.sum(2)


def pool_time(values: Tensor, mask: Tensor | None, maximum: bool) -> Tensor:
    """Mean or maximum of (A, ..., T) over the steps that `mask` (A, T) marks; 0 where none is."""
    if mask is None:
        return values.amax(-1) if maximum else values.mean(-1)
    mask = mask.bool().view(len(mask), *[1] * (values.ndim - 2), -1)
    if not maximum:
        return (values * mask).sum(-1) / mask.sum(-1).clamp_min(1)
    best = values.masked_fill(~mask, float("-inf")).amax(-1)
    return torch.where(mask.any(-1), best, torch.zeros_like(best))


def global_similarity(audio: Tensor, image: Tensor) -> Tensor:
    """Cosine of two global features, (A, C) and (V, C) -> (A, V): what dense features replace.

    The features are class tokens (as in ImageBind) or means over time and space (CAV-MAE).
    """
    normalised = (torch.nn.functional.normalize(x, dim=1) for x in (audio, image))
    return torch.einsum("ac,vc->av", *normalised)


def _spatial_mean(
    audio: Tensor, image: Tensor, heads: int, over_heads: bool, nonneg: bool
) -> Tensor:
    """Mean over places, (A, V, K or 1, F, T)."""
    sounds, pictures = _split(audio, image, heads)
    if not nonneg and (heads == 1 or not over_heads):  # a mean of products: the mean feature does
        return torch.einsum("akcft,vkc->avkft", sounds, pictures.mean((-2, -1)))

    def one(picture: Tensor) -> Tensor:
        volume = torch.einsum("akcft,kchw->akfthw", sounds, picture)
        volume = volume.amax(1, keepdim=True) if over_heads else volume
        return (volume.clamp_min(0) if nonneg else volume).mean((-2, -1))

    return torch.stack([checkpoint(one, picture, use_reentrant=False) for picture in pictures], 1)


def _split(audio: Tensor, image: Tensor, heads: int) -> tuple[Tensor, Tensor]:
    """Channels as (heads, channels of a head), at least float32."""
    return tuple(
        x.to(torch.promote_types(x.dtype, torch.float32)).unflatten(1, (heads, -1))
        for x in (audio, image)
    )


def check_mask(mask: Tensor | None, audio: Tensor) -> None:
    """An `AvcoreError` unless `mask` is None or has one value per sound and step of `audio`."""
    wanted = (len(audio), audio.shape[-1])
    if mask is not None and tuple(mask.shape) != wanted:
        raise AvcoreError(f"the mask must be {wanted}, got {tuple(mask.shape)}")


def _check_names(pool: str, head_pool: str) -> None:
    choose(POOLS, pool, "pooling")
    choose(HEAD_POOLS, head_pool, "pooling of heads")


def _check(audio: Tensor, image: Tensor, mask: Tensor | None, heads: int) -> None:
    if audio.ndim != 4 or image.ndim != 4:
        raise AvcoreError(
            "audio is (A, K·C, F, T) and image (V, K·C, H, W), "
            f"got {tuple(audio.shape)} and {tuple(image.shape)}"
        )
    if audio.shape[1] != image.shape[1]:
        raise AvcoreError(
            f"audio and image need the same channels, got {audio.shape[1]} and {image.shape[1]}"
        )
    if heads < 1 or audio.shape[1] % heads:
        raise AvcoreError(f"{audio.shape[1]} channels cannot be split into {heads} heads")
    check_mask(mask, audio)
    if not torch.isfinite(audio.detach().float().sum() + image.detach().float().sum()):
        raise AvcoreError("the features of the sounds or pictures are not finite")
