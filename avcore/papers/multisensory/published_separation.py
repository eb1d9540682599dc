"""On/off-screen separation at its published size: a U-Net on the spectrogram that sees.

Source: Owens and Efros (ECCV 2018), Sec. 6, and its public code (`sourcesep.py`, `sep_params.py`),
whose sizes, strides, activations and constants are kept. Deviations, beside those of `published`:

- `istft` divides by the overlapping windows; in the public code it is 1.5 times too loud.
- The last of 1,025 bins, which the network does not predict, is silent and has no loss.
- The features of the video are resized between the middles of steps, not between their beginnings.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import set_level
from avcore.papers.multisensory.published import DECAY, MultisensoryNet
from avcore.support import AvcoreError

WINDOW, HOP, FFT = 1344, 336, 2048  # samples: 64 ms and 16 ms at 21 kHz
BINS, STEPS = 1024, 128  # of the spectrogram of a clip of 2.1 s
FLOOR, LOUDEST = -100.0, 80.0  # dB, mapped to -1 and 1
LEVEL = -20.0  # dB re. full scale of each sound before they are mixed: an RMS of 0.1
FADE = 0.1  # least sum of squared windows that `istft` divides by
SLOPE, EPSILON, SPREAD = 0.2, 1e-5, 0.02  # leaky ReLU, batch normalisation, initial weights
VIDEO = (64, 128, 512)  # channels of `published.Scales`


class Separated(NamedTuple):
    """Spectrograms (B, 2, STEPS, BINS) of the two sounds: level and phase, as `encode` gives."""

    on: Tensor  # on screen
    off: Tensor  # off screen


# ------------------------------------------------------------------------------- spectrograms


def stft(waveform: Tensor, window: int = WINDOW, hop: int = HOP, n_fft: int = FFT) -> Tensor:
    """Short-time Fourier transform, (..., n) -> (..., steps, n_fft/2+1) complex.

    Step k begins at sample k·hop, and the end that fills no window is dropped: 44,144 samples (63
    frames) make 128 steps. `avcore.audio.stft` centres its steps instead.

    Raises
    ------
    AvcoreError
        When the sound is shorter than a window.
    """
    if waveform.shape[-1] < window:
        raise AvcoreError(
            f"a sound of {waveform.shape[-1]} samples is too short for windows of {window}"
        )
    hann = torch.hann_window(window, dtype=waveform.dtype, device=waveform.device)
    return torch.fft.rfft(waveform.unfold(-1, window, hop) * hann, n_fft)


def istft(
    spectrum: Tensor,
    length: int | None = None,
    window: int = WINDOW,
    hop: int = HOP,
    n_fft: int = FFT,
) -> Tensor:
    """Back to the waveform, (..., steps, n_fft/2+1) -> (..., length).

    The first and last 12 ms fade, where windows hardly reach. Samples behind the last window are
    silent.
    """
    hann = torch.hann_window(window, dtype=spectrum.real.dtype, device=spectrum.device)
    steps, reached = spectrum.shape[-2], (spectrum.shape[-2] - 1) * hop + window
    parts = torch.fft.irfft(spectrum, n_fft)[..., :window] * hann  # (..., steps, window)

    def overlap(columns: Tensor) -> Tensor:  # (N, window, steps) -> (N, reached)
        return functional.fold(columns, (1, reached), (1, window), stride=(1, hop))[:, 0, 0]

    total = overlap(parts.reshape(-1, steps, window).transpose(1, 2))
    weight = overlap(hann.square()[None, :, None].expand(1, -1, steps))
    waveform = (total / weight.clamp_min(FADE)).reshape(*spectrum.shape[:-2], reached)
    return waveform if length is None else functional.pad(waveform, (0, length - reached))


def encode(spectrum: Tensor) -> Tensor:
    """Level and phase in [-1, 1], (..., steps, BINS + 1) complex -> (..., 2, steps, BINS).

    20·log10 of at least 1e-5 from -100 to 80 dB, and the angle from -π to π.
    """
    kept = spectrum[..., :-1]
    level = 20 * torch.log10(kept.abs().clamp_min(10 ** (FLOOR / 20)))
    return torch.stack([2 * (level - FLOOR) / (LOUDEST - FLOOR) - 1, kept.angle() / math.pi], -3)


def levels(spectrogram: Tensor) -> Tensor:
    """Levels in dB, (..., 2, steps, BINS) -> (..., steps, BINS)."""
    return (spectrogram.select(-3, 0) + 1) * (LOUDEST - FLOOR) / 2 + FLOOR


def decode(spectrogram: Tensor) -> Tensor:
    """Back from `encode`, (..., 2, steps, BINS) -> (..., steps, BINS + 1) complex."""
    amplitude = 10 ** (levels(spectrogram) / 20)
    spectrum = torch.polar(amplitude, math.pi * spectrogram.select(-3, 1))
    return functional.pad(spectrum, (0, 1))


def mix(on: Tensor, off: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mixture of two sounds (B, n, 2) and both as they are in it, at an RMS of 0.1 each."""
    on, off = (set_level(sound.transpose(1, 2), LEVEL).transpose(1, 2) for sound in (on, off))
    return on + off, on, off


# -------------------------------------------------------------------------------- the network


class Down(nn.Module):
    """Convolution 4×4 that halves the bins, and the steps unless `keep`; batch normalisation."""

    def __init__(self, inputs: int, outputs: int, keep: bool = False) -> None:
        super().__init__()
        self.pad = nn.ZeroPad2d((1, 1, 1, 2 if keep else 1))
        self.convolution = nn.Conv2d(inputs, outputs, 4, (1 if keep else 2, 2), bias=False)
        self.norm = nn.BatchNorm2d(outputs, EPSILON, 1 - DECAY)

    def forward(self, x: Tensor) -> Tensor:
        return functional.leaky_relu(self.norm(self.convolution(self.pad(x))), SLOPE)


class Up(nn.Module):
    """ReLU, transposed convolution 4×4 that doubles what `Down` halved; normalised unless last."""

    def __init__(self, inputs: int, outputs: int, keep: bool = False, last: bool = False) -> None:
        super().__init__()
        self.keep, stride = keep, (1 if keep else 2, 2)
        self.convolution = nn.ConvTranspose2d(inputs, outputs, 4, stride, 1, bias=last)
        self.norm = nn.Identity() if last else nn.BatchNorm2d(outputs, EPSILON, 1 - DECAY)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convolution(torch.relu(x))
        return self.norm(x[:, :, :-1] if self.keep else x)


class SeparationUNet(nn.Module):
    """Spectrogram of a mixture, and the features of the video, to two spectrograms.

    Parameters
    ----------
    video
        Channels of the features, which enter after the third, fourth and fifth layer; () for the
        network that only listens.
    width
        Channels of the first layer, 64 as published; the others follow from it.
    """

    def __init__(self, video: Sequence[int] = VIDEO, width: int = 64) -> None:
        super().__init__()
        c, (low, mid, high) = width, video or (0, 0, 0)
        made = (c, 2 * c, 4 * c, 8 * c, 8 * c, 8 * c, 8 * c, 8 * c, 8 * c)  # by each layer
        kept = tuple(n + v for n, v in zip(made, (0, 0, low, mid, high, 0, 0, 0, 0), strict=True))
        self.seen = len(video)
        self.encoder = nn.ModuleList(
            Down(inputs, outputs, keep=level < 2)
            for level, (inputs, outputs) in enumerate(zip((2, *kept), made, strict=False))
        )
        outputs = (8 * c,) * 5 + (4 * c, 2 * c, c)
        inputs = (kept[8], *(n + k for n, k in zip(outputs, kept[7::-1], strict=True)))
        self.decoder = nn.ModuleList(
            Up(n, m, keep=level == 7)
            for level, (n, m) in enumerate(zip(inputs, outputs, strict=False))
        )
        self.heads = nn.ModuleList(Up(inputs[8], 2, keep=True, last=True) for _ in range(2))
        _initialise(self)

    def forward(self, mixture: Tensor, features: Sequence[Tensor] = ()) -> Separated:
        """Spectrogram (B, 2, steps, bins) and maps (B, C, T, h, w) -> both sounds, like it.

        Steps are a multiple of 128, bins of 512.
        """
        if mixture.shape[2] % 128 or mixture.shape[3] % 512 or len(features) != self.seen:
            raise AvcoreError(
                "a spectrogram of a multiple of 128 steps and 512 bins is wanted, with "
                f"{self.seen} maps of the video; got {tuple(mixture.shape)} with {len(features)}"
            )
        x, skips = mixture, []
        for level, layer in enumerate(self.encoder):
            x = layer(x)
            if 2 <= level < 2 + self.seen:
                x = torch.cat([x, _over_bins(features[level - 2], x)], 1)
            skips.append(x)  # ReLU follows, so that the slope of what is kept does not matter
        x = skips.pop()
        for layer in self.decoder:
            x = torch.cat([layer(x), skips.pop()], 1)
        return Separated(*(torch.tanh(head(x)) for head in self.heads))


class Separator(nn.Module):
    """The multisensory network, as the pretext left it, and the U-Net, trained together.

    The head of the first, which is not asked any more, does not learn.
    """

    def __init__(self, video: MultisensoryNet, unet: SeparationUNet | None = None) -> None:
        super().__init__()
        self.video, self.unet = video, unet or SeparationUNet(video.channels)
        video.head.requires_grad_(False)

    def forward(self, frames: Tensor, mixture: Tensor) -> Separated:
        """Frames (B, 3, T, H, W) in [0, 1] and the waveform (B, n, 2) of the mixture over them.

        The waveform makes a multiple of 128 steps: 44,144 samples, 2.1 s, make 128.

        Raises
        ------
        AvcoreError
            When it makes another number of steps.
        """
        spectrogram = encode(stft(mixture.mean(2)))  # (B, 2, steps, BINS)
        steps = spectrogram.shape[2]
        if steps % STEPS:
            raise AvcoreError(
                f"a sound of {mixture.shape[1]} samples makes {steps} steps, not a multiple of "
                f"{STEPS}; take {(STEPS - 1) * HOP + WINDOW} to {STEPS * HOP + WINDOW - 1} samples "
                "and the frames of that time"
            )
        return self.unet(spectrogram, self.video.features(frames, mixture))


def _over_bins(maps: Tensor, like: Tensor) -> Tensor:
    """Maps of the video, averaged over space, at the steps and bins of `like`."""
    curve = functional.interpolate(maps.mean((3, 4)), like.shape[2], mode="linear")
    return curve[..., None].expand(-1, -1, -1, like.shape[3])


def _initialise(model: SeparationUNet) -> None:
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(module.weight, 0, SPREAD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, SPREAD)
