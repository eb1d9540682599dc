"""On- and off-screen separation, small: a spectrogram U-Net that sees the picture.

Source: Owens and Efros (ECCV 2018), Sec. 6: the features of the multisensory network, averaged over
space, enter the encoder of a U-Net, which gives the spectrograms of the on-screen and of the
off-screen sound; L1 losses, or their smaller permutation. Deviations: the U-Net gives shares of the
mixture's magnitude that sum to one, instead of log-magnitudes and phases; both sounds take the
mixture's phase; the loss compares square roots of magnitudes; bands above 4 kHz, where voices have
only noise, share the mean of the highest bands below. The published form is in
`published_separation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import istft, set_level, stft
from avcore.papers.multisensory.clips import Clips, mirrored, still
from avcore.papers.multisensory.model import FUSED, SEEN, EarlyFusion
from avcore.support import AvcoreError, by_scale, choose
from avcore.training import History, TrainConfig, fit, seeded

WINDOW, HOP = 1024, 512  # samples: 64 ms and 32 ms
BANDS = 256  # of 513, those below 4 kHz
HIGHEST = 32  # of them, whose mean share is taken for all above
LEVEL = -20.0  # dB re. full scale of each of the two sounds: an RMS of 0.1
FLOOR = 1e-3  # added to magnitudes before their square root
SHORTEST = 31 * HOP  # samples, which make 32 steps: the U-Net halves them five times
ORDERS = ("fixed", "free", "both")  # of the outputs, see `separation_loss`
EYES = {"multisensory": 2 * (SEEN + FUSED), "picture": 2 * SEEN, "none": 0}  # channels


class Mixtures(NamedTuple):
    """B excerpts of a talking face, its voice, and another voice that is not in view.

    Attributes
    ----------
    frames
        (B, 3, T, H, W) float32 in [0, 1].
    on, off
        (B, n) float32, at one RMS.
    """

    frames: Tensor
    on: Tensor
    off: Tensor

    @property
    def sound(self) -> Tensor:
        """(B, n): what is heard."""
        return self.on + self.off


@dataclass(frozen=True)
class Mixing:
    """Draws mixtures of two clips; for `fit`, by step.

    Attributes
    ----------
    same_voice
        True: both voices are low, or both are high; False: one is low and one high; None: any.
    """

    clips: Clips
    batch_size: int
    same_voice: bool | None = None

    def __post_init__(self) -> None:
        if len(self.clips) < 2:
            raise AvcoreError("a mixture wants two clips at least")

    def __call__(self, step: int, generator: torch.Generator) -> Mixtures:
        which = torch.randint(len(self.clips), (self.batch_size,), generator=generator)
        mixtures = self.draw(which, generator)
        return mixtures._replace(frames=mirrored(mixtures.frames, generator))

    def draw(self, which: Tensor, generator: torch.Generator) -> Mixtures:
        """An excerpt of each of the clips `which` (B,), with an excerpt of another's voice.

        Raises
        ------
        AvcoreError
            When a clip has no partner of the wanted voice.
        """
        low = self.clips.low
        fits = which[:, None] != torch.arange(len(self.clips))
        if self.same_voice is not None:
            fits &= (low[which][:, None] == low) == self.same_voice
        if not fits.any(1).all():
            raise AvcoreError("a clip has no partner whose voice is of the wanted kind")
        partners = torch.multinomial(fits.float(), 1, generator=generator)[:, 0]
        starts = torch.randint(self.clips.starts, (2, len(which)), generator=generator)
        frames, on = self.clips.cut(which, starts[0])
        off = self.clips.cut_sound(partners, starts[1])
        return Mixtures(frames, set_level(on, LEVEL), set_level(off, LEVEL))


class SpectrogramUNet(nn.Module):
    """Spectrogram (B, 1, F, T), conditions (B, C, steps) → two maps (B, 2, F, T).

    Six layers halve the bands, and all but the first also the time; conditions, brought to
    `NARROW` channels, enter at the third, fourth and fifth, tiled over the bands.
    """

    WIDTHS = (16, 32, 40, 40, 40, 40)
    ENTERING = (2, 3, 4)
    NARROW = 24

    def __init__(self, conditions: int) -> None:
        super().__init__()
        inputs, extra = (1, *self.WIDTHS), self.NARROW if conditions else 0
        self.narrow = nn.Conv1d(conditions, extra, 1) if conditions else nn.Identity()
        self.down = nn.ModuleList(
            _down(inputs[k] + extra * (k in self.ENTERING), width, 2 if k else (2, 1))
            for k, width in enumerate(self.WIDTHS)
        )
        self.up = nn.ModuleList(
            _up(self.WIDTHS[k + 1] + self.WIDTHS[k], self.WIDTHS[k])
            for k in range(len(self.WIDTHS) - 2, -1, -1)
        )
        self.out = nn.Conv2d(self.WIDTHS[0], 2, 3, 1, 1)

    def forward(self, picture: Tensor, conditions: Tensor | None) -> Tensor:
        x, kept = picture, []
        entering = None if conditions is None else self.narrow(conditions)
        for k, layer in enumerate(self.down):
            if k in self.ENTERING and entering is not None:
                now = functional.interpolate(entering, size=x.shape[-1], mode="linear")
                x = torch.cat([x, now[:, :, None].expand(-1, -1, x.shape[2], -1)], 1)
            x = layer(x)
            kept.append(x)
        kept.pop()
        for layer in self.up:
            beside = kept.pop()
            x = functional.interpolate(x, size=beside.shape[-2:])
            x = layer(torch.cat([x, beside], 1))
        return self.out(functional.interpolate(x, size=picture.shape[-2:]))


class Separator(nn.Module):
    """Splits a mixture into what belongs to the picture, and the rest.

    Parameters
    ----------
    network
        Whose features are used; it learns with the rest.
    eye
        "multisensory": features of the streams before and after their fusion; "picture": of the
        picture alone, without early fusion; "none": the U-Net does not see.
    single_frame
        Whether only the middle frame is seen, in place of all.
    """

    def __init__(
        self, network: EarlyFusion, eye: str = "multisensory", single_frame: bool = False
    ) -> None:
        super().__init__()
        self.network, self.eye, self.single_frame = network, eye, single_frame
        self.unet = SpectrogramUNet(choose(EYES, eye, "eye"))

    def conditions(self, frames: Tensor, sound: Tensor) -> Tensor | None:
        """(B, C, T): mean and maximum over space of the features that the U-Net is given."""
        if self.eye == "none":
            return None
        if self.single_frame:
            frames = still(frames)
        seen = self.network.see(frames)
        if self.eye == "picture":
            return _pooled(seen)
        fused = self.network.fuse(seen, self.network.hear(sound, seen.shape[2]))
        later = functional.interpolate(_pooled(fused), size=seen.shape[2], mode="linear")
        return torch.cat([_pooled(seen), later], 1)

    def forward(self, frames: Tensor, sound: Tensor) -> Tensor:
        """Frames (B, 3, T, H, W), mixture (B, n) → shares (B, 2, F, t) of on- and off-screen."""
        magnitude = stft(sound, WINDOW, HOP).abs()
        picture = (torch.log10(magnitude[:, None, :BANDS].clamp_min(FLOOR)) + 1) / 1.5
        shares = self.unet(picture, self.conditions(frames, sound)).softmax(1)
        above = shares[:, :, -HIGHEST:].mean(2, keepdim=True)
        missing = magnitude.shape[1] - BANDS
        return torch.cat([shares, above.expand(-1, -1, missing, -1)], 2)

    def separate(self, frames: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        """The on-screen and the off-screen sound, (B, n) each; their sum is the mixture."""
        spectrum = stft(sound, WINDOW, HOP)
        shares = self(frames, sound)
        on, off = (istft(spectrum * shares[:, k], WINDOW, HOP, sound.shape[-1]) for k in range(2))
        return on, off


def separation_loss(model: nn.Module, batch: Mixtures, order: str = "fixed") -> Tensor:
    """L1 of square roots of the magnitudes of both sounds, below 4 kHz.

    Parameters
    ----------
    order
        "fixed": the first output is the on-screen sound. "free": for each sample the smaller loss
        of both orders counts, which leaves open which output is which (permutation-invariant
        training). "both": the sum of the two, the paper's on/off + PIT. Under "fixed" a network
        that cannot tell which voice is in view is safest with half of the mixture; under "both" it
        learns to separate all the same.
    """
    choose(ORDERS, order, "order")
    magnitude = stft(batch.sound, WINDOW, HOP).abs()[:, :BANDS]
    shares = model(batch.frames, batch.sound)[:, :, :BANDS]
    found = _root(shares * magnitude[:, None])  # (B, 2, F, t)
    wanted = _root(stft(torch.stack([batch.on, batch.off], 1), WINDOW, HOP).abs()[:, :, :BANDS])
    straight = _distance(found, wanted)
    if order == "fixed":
        return straight.mean()
    free = torch.minimum(straight, _distance(found, wanted.flip(1)))
    return (free if order == "free" else straight + free).mean()


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of the separation, the same for all its variants."""
    return TrainConfig(
        steps=by_scale(scale, smoke=2, quick=300, full=6000),
        batch_size=by_scale(scale, smoke=2, quick=10, full=24),
        learning_rate=2e-3,
        weight_decay=1e-3,
        warmup=by_scale(scale, smoke=0, quick=25, full=100),
        clip_norm=10.0,
        seed=seed,
        device=device,
    )


def learn_to_separate(
    start: EarlyFusion | None,
    clips: Clips,
    config: TrainConfig,
    eye: str = "multisensory",
    single_frame: bool = False,
    order: str = "fixed",
    **fit_args,
) -> tuple[Separator, History]:
    """A separator trained on talkers, whose features start from a copy of `start`, or from nothing.

    `order` is that of `separation_loss`. Without an eye it is "free" in any case: the network
    cannot know which voice is in view.
    """
    order = "free" if eye == "none" else order
    with seeded(config.seed):
        model = Separator(EarlyFusion(), eye, single_frame)
    if start is not None:
        model.network.load_state_dict(start.state_dict())

    def loss(model: nn.Module, batch: Mixtures) -> Tensor:
        return separation_loss(model, batch, order)

    return model, fit(model, loss, Mixing(clips, config.batch_size), config, **fit_args)


def _pooled(maps: Tensor) -> Tensor:
    """(B, C, T, h, w) -> (B, 2C, T): mean and maximum over space."""
    return torch.cat([maps.mean((3, 4)), maps.amax((3, 4))], 1)


def _root(magnitude: Tensor) -> Tensor:
    return (magnitude + FLOOR).sqrt()


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    """L1 of both outputs together, (B,)."""
    return (found - wanted).abs().mean((2, 3)).sum(1)


def _down(inputs: int, outputs: int, stride: int | tuple[int, int]) -> nn.Sequential:
    padding = (1, 2) if isinstance(stride, tuple) else 1
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 4, stride, padding, bias=False),
        nn.BatchNorm2d(outputs),
        nn.LeakyReLU(0.2, inplace=True),
    )


def _up(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, 1, 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
