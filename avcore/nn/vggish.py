"""VGGish: the audio features of AVSBench, from waveforms to 128 numbers each 0.96 s.

Source: Hershey et al., "CNN Architectures for Large-Scale Audio Classification" (ICASSP 2017) and
its public PyTorch port, whose weights load as they are. As in AVSBench the features are taken
after the last ReLU, and the post-processing (PCA, quantisation) is left out.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from avcore.audio import resample
from avcore.nn.official import only_tensors
from avcore.nn.weights import fill
from avcore.support import AvcoreError

SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP, N_FFT = 400, 160, 512  # samples
BANDS, LOW, HIGH = 64, 125.0, 7500.0  # mel bands between two frequencies, Hz
FRAMES = 96  # log-mel frames of one example
OFFSET = 0.01  # added before the logarithm
WIDTHS = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool")


def examples(wave: Tensor, sample_rate: int) -> Tensor:
    """A mono waveform as log-mel examples, one each 0.96 s.

    Parameters
    ----------
    wave
        (n,) float32 or float64 in [-1, 1]; divide whole numbers of 16 bits by 32768 beforehand.
    sample_rate
        Of `wave`, Hz; what is not at 16,000 Hz is resampled.

    Returns
    -------
    (count, 1, 96, 64) of the same type: 96 steps of 10 ms, 64 bands from 125 to 7500 Hz, the
    natural logarithm of their magnitude plus 0.01. What is left at the end and does not fill an
    example is dropped.

    Raises
    ------
    AvcoreError
        When the sound is not mono, not of floating-point numbers, not finite, or shorter than one
        example (0.975 s).
    """
    if wave.ndim != 1:
        raise AvcoreError(f"a mono waveform (n,) is wanted, got {tuple(wave.shape)}")
    wave = resample(wave, sample_rate, SAMPLE_RATE)  # at 16 kHz it is only checked
    shortest = WINDOW + (FRAMES - 1) * HOP
    if len(wave) < shortest:
        raise AvcoreError(
            f"the sound is too short: {len(wave) / SAMPLE_RATE:.2f} s, "
            f"at least {shortest / SAMPLE_RATE:.3f} s"
        )
    windows = wave.unfold(0, WINDOW, HOP)  # (frames, 400)
    hann = torch.hann_window(WINDOW, dtype=wave.dtype, device=wave.device)
    magnitude = torch.fft.rfft(windows * hann, N_FFT).abs()
    log_mel = torch.log(magnitude @ _mel_matrix().to(magnitude) + OFFSET)
    count = len(log_mel) // FRAMES
    return log_mel[: count * FRAMES].view(count, 1, FRAMES, BANDS)


@lru_cache(maxsize=1)
def _mel_matrix() -> Tensor:
    """(257, 64): triangles that are straight on the mel axis, unlike `avcore.audio.mel_filters`."""

    def mel(frequency: Tensor) -> Tensor:
        return 1127.0 * torch.log1p(frequency / 700.0)

    bins = mel(torch.linspace(0, SAMPLE_RATE / 2, N_FFT // 2 + 1, dtype=torch.float64))[:, None]
    low, high = mel(torch.tensor([LOW, HIGH], dtype=torch.float64)).tolist()
    edges = torch.linspace(low, high, BANDS + 2, dtype=torch.float64)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    matrix = torch.minimum(rising, falling).clamp_min(0)
    matrix[0] = 0  # the constant part of the signal counts for nothing
    return matrix


class VGGish(nn.Module):
    """Log-mel examples (B, 1, 96, 64) to features (B, 128), non-negative."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        width = 1
        for step in WIDTHS:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2, 2))
            else:
                layers += [nn.Conv2d(width, step, 3, padding=1), nn.ReLU(inplace=True)]
                width = step
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(512 * 4 * 6, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, 4096), nn.ReLU(inplace=True),
            nn.Linear(4096, 128), nn.ReLU(inplace=True),
        )  # fmt: skip

    @classmethod
    def from_official(cls, state_dict: dict[str, Tensor]) -> VGGish:
        """The network with the public weights, in evaluation mode.

        Raises
        ------
        CheckpointError
            When it is no state dict, or a weight is missing, unknown or of another shape; it is
            named.
        """
        with torch.device("meta"):
            model = cls()
        fill(model, only_tensors(state_dict, "this"), "this state dict", assign=True)
        return model.eval()

    def forward(self, example: Tensor) -> Tensor:
        maps = self.features(example)  # (B, 512, 6, 4)
        return self.embeddings(
            maps.permute(0, 2, 3, 1).flatten(1)
        )  # channels last, as in TensorFlow
