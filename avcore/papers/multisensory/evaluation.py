"""How well a separator works: gains in dB over the mixture, and two faces of which one is hidden.

Source: Owens and Efros (ECCV 2018), Sec. 6, whose scores are the on/off loss and BSS Eval's ratios.
"""

from __future__ import annotations

import torch
from torch import Tensor

from avcore.audio import stft
from avcore.metrics.separation import on_off_loss, si_sdr_gain
from avcore.papers.multisensory.clips import Clips
from avcore.papers.multisensory.separation import HOP, WINDOW, Mixing, Mixtures, Separator
from avcore.support import choose
from avcore.training import predict

QUIETEST = 1e-5  # of full scale: -100 dB, below which levels are not told apart
BATCH = 20


def mixtures(clips: Clips, same_voice: bool | None, seed: int = 0) -> Mixtures:
    """A mixture for each clip, with its picture."""
    generator = torch.Generator().manual_seed(seed)
    return Mixing(clips, 1, same_voice).draw(torch.arange(len(clips)), generator)


def separated(model: Separator, frames: Tensor, sound: Tensor) -> Tensor:
    """On- and off-screen sounds (N, 2, n) of frames (N, 3, T, H, W) and mixtures (N, n)."""

    def split(network: Separator, batch: tuple[Tensor, Tensor]) -> Tensor:
        return torch.stack(network.separate(*batch), 1)

    return predict(model, (frames, sound), split, batch_size=BATCH)


def gains(model: Separator, mixed: Mixtures) -> dict[str, Tensor]:
    """SI-SDR over the mixture's in dB, (N,) each.

    "on" of the on-screen sound and "off" of the other; "either" is the mean of both under the
    better order of the outputs (an oracle, for networks that do not see).
    """
    found, sound = separated(model, mixed.frames, mixed.sound), mixed.sound
    direct = torch.stack([si_sdr_gain(found[:, 0], sound, mixed.on),
                          si_sdr_gain(found[:, 1], sound, mixed.off)])  # fmt: skip
    crossed = torch.stack([si_sdr_gain(found[:, 1], sound, mixed.on),
                           si_sdr_gain(found[:, 0], sound, mixed.off)])  # fmt: skip
    either = torch.maximum(direct.mean(0), crossed.mean(0))
    return {"on": direct[0], "off": direct[1], "either": either}


def level_loss(model: Separator, mixed: Mixtures) -> Tensor:
    """The on/off loss in dB, (N,); lower is better."""
    found = separated(model, mixed.frames, mixed.sound)
    sounds = (found[:, 0], found[:, 1], mixed.on, mixed.off)
    return on_off_loss(*(_levels(sound) for sound in sounds))


def _levels(sound: Tensor) -> Tensor:
    """Spectrogram in dB, (N, t, F)."""
    return 20 * torch.log10(stft(sound, WINDOW, HOP).abs().clamp_min(QUIETEST)).transpose(1, 2)


def side_by_side(mixed: Mixtures, others: Tensor, hidden: str) -> Tensor:
    """Two faces in one picture, of which one is hidden: frames (N, 3, T, H, 2W).

    `others` (N, 3, T, H, W) is the face of the off-screen voice, on the right; `hidden` is "left"
    or "right", whose half is black.
    """
    pictures = [mixed.frames, others]
    side = choose({"left": 0, "right": 1}, hidden, "half")
    pictures[side] = torch.zeros_like(pictures[side])
    return torch.cat(pictures, -1)
