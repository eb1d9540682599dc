"""Claim N4: words learned from a synthesiser, tested on people.

A small network learns to name the English words of the classes from utterances of eSpeak NG in
many voices; the test are people's recordings of the same words, of which the training hears none.
Warping in time and frequency, filtering, noise and masking (SpecAugment, Park et al., 2019; vocal
tract length perturbation, Jaitly and Hinton, 2013) stand for the speakers, rooms and microphones
that a synthesiser lacks; what a microphone does to every frame alike is subtracted as well
(cepstral mean normalisation, Atal, 1974).

That subtraction and the number of voices were chosen on people's Spanish and French words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import log_mel, set_level
from avcore.data.media import stamps, words
from avcore.data.media.cleaning import tidy
from avcore.data.media.read import resampled
from avcore.data.media.synthesiser import Speaker, say_all
from avcore.nn.backbones import conv_block
from avcore.stage.media import MediaBank
from avcore.support import MediaError, by_scale, choose
from avcore.training import TrainConfig, fit, predict, seeded
from avcore.training.features import cached, code_digest

RATE = 16_000  # Hz
LENGTH = 24_000  # samples of an utterance, 1.5 s; longer ones are cut
LEVEL_DB = -26.0  # re. full scale
CHANNELS = 192
SPEAKERS = 195  # of the synthesiser, each says every word once; each voice has three accents
VOICES = (
    *words.VOICES,
    *("Andrea", "AnxiousAndy", "Denis", "Diogo", "Gene", "Henrique", "Hugo", "Jacky", "Lee"),
    *("Marco", "Mario", "Mike", "Reed", "anika", "antonio", "aunty", "benjamin", "boris", "caleb"),
    *("david", "ed", "edward", "grandma", "grandpa", "ian", "iven", "klatt", "marcelo", "miguel"),
    *("norbert", "pablo", "paul", "pedro", "quincy", "rob", "robert", "sandro", "shelby"),
    *("steph2", "travis", "victor", "zac"),
)
LOUD = 3.0  # nepers of power below the loudest frame within which a frame is speech
VARIANTS = {"augmented": True, "as said": False}  # whether what is said is changed


@dataclass(frozen=True)
class Utterances:
    """N spoken words: log-mel (N, 64, 151), and which word each is, (N,)."""

    mel: Tensor
    label: Tensor

    @classmethod
    def of(cls, waves: Sequence[np.ndarray], label: Sequence[int]) -> Utterances:
        """Waveforms (n,) at 16 kHz, each at the same level."""
        fitted = [torch.from_numpy(wave[:LENGTH].astype(np.float32)) for wave in waves]
        padded = torch.stack([functional.pad(wave, (0, LENGTH - len(wave))) for wave in fitted])
        level = set_level(padded, LEVEL_DB)
        mel = torch.cat([log_mel(part) for part in level.split(256)])
        return cls(mel, torch.tensor(label))


class WordListener(nn.Module):
    """Log-mel (B, 64, n) -> logits of the words (B, count).

    Three convolutions halve time and frequency, two go along time; the responses are averaged
    over each third of the utterance, so that the order of the sounds of a word counts.
    """

    def __init__(self, count: int, width: int = 24) -> None:
        super().__init__()
        self.front = nn.Sequential(
            conv_block(1, width, 2),
            conv_block(width, 2 * width, 2),
            conv_block(2 * width, 3 * width, 2),
        )
        self.along = nn.Sequential(
            nn.Conv1d(3 * width * 8, CHANNELS, 3, padding=1),
            nn.BatchNorm1d(CHANNELS),
            nn.ReLU(),
            nn.Conv1d(CHANNELS, CHANNELS, 3, padding=1),
            nn.BatchNorm1d(CHANNELS),
            nn.ReLU(),
            nn.Dropout(0.2),
        )
        self.name = nn.Linear(4 * CHANNELS, count)

    def forward(self, mel: Tensor) -> Tensor:
        heard = normalised(mel)[:, None] / 4
        x = self.along(self.front(heard).flatten(1, 2))  # (B, CHANNELS, n / 8)
        thirds = functional.adaptive_avg_pool1d(x, 3).flatten(1)
        return self.name(torch.cat([thirds, x.amax(-1)], 1))


def normalised(mel: Tensor) -> Tensor:
    """Log-mel (B, bands, n) less the mean of each band over the loud frames."""
    level = mel.mean(1, keepdim=True)
    loud = (level > level.amax(2, keepdim=True) - LOUD).to(mel)
    return mel - (mel * loud).sum(2, keepdim=True) / loud.sum(2, keepdim=True)


def augmented(mel: Tensor) -> Tensor:
    """Utterances (B, 64, n) as other speakers, rooms and microphones could give them."""

    def draw(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(len(mel), *(shape or (1,)))

    count, bands, frames = mel.shape
    warped = spoken_by_another(mel, draw(0, 20), draw(0.75, 1.3), draw(0.85, 1.18))
    filtered = warped + _curve(1.2 * torch.randn(count, 6), bands)
    loudest = filtered.amax((1, 2), keepdim=True)
    noise = loudest - draw(3, 12, 1, 1) + _curve(torch.randn(count, 5), bands)
    noisy = torch.logaddexp(filtered, noise + 0.5 * torch.randn(mel.shape))
    for _ in range(2):
        hidden = _span(frames, 10, draw)[:, None] | _span(bands, 8, draw)[:, :, None]
        noisy = torch.where(hidden, noisy.mean((1, 2), keepdim=True), noisy)
    return noisy


def spoken_by_another(mel: Tensor, delay: Tensor, speed: Tensor, tract: Tensor) -> Tensor:
    """Utterances (B, 64, n) later by `delay` frames, faster, and from a longer vocal tract.

    `delay`, `speed` and `tract` (a factor of the frequencies' bands) are (B, 1).
    """
    count, bands, frames = mel.shape
    floor = mel.min()
    time, band = torch.arange(frames)[None] - delay, torch.arange(bands)[None]
    across = (2 * time * speed / (frames - 1) - 1)[:, None].expand(count, bands, frames)
    along = (2 * band * tract / (bands - 1) - 1)[:, :, None].expand(count, bands, frames)
    grid = torch.stack([across, along], -1)
    return functional.grid_sample((mel - floor)[:, None], grid, align_corners=True)[:, 0] + floor


def named(model: WordListener, mel: Tensor) -> Tensor:
    """Log-probabilities of the words (B, count), the mean over nine speeds and vocal tracts."""
    ways = []
    for speed, tract in product((0.85, 1.0, 1.15), (0.9, 1.0, 1.1)):
        steady = [torch.full((len(mel), 1), value) for value in (8.0, speed, tract)]
        heard = spoken_by_another(mel, *steady)
        ways.append(predict(model, heard, lambda model, part: model(part)).log_softmax(1))
    return torch.stack(ways).mean(0)


def _curve(points: Tensor, length: int) -> Tensor:
    """A smooth curve through points (B, k), (B, length, 1)."""
    return functional.interpolate(points[:, None], length, mode="linear", align_corners=True)[
        :, 0, :, None
    ]


def _span(length: int, longest: int, draw) -> Tensor:
    """A random stretch of each row, (B, length) bool."""
    first, size = (draw(0, 1) * (length - longest)).long(), (draw(0, 1) * longest).long()
    place = torch.arange(length)[None]
    return (place >= first) & (place < first + size)


def speaker(number: int) -> Speaker:
    """The synthesiser's speaker `number`, the same for every word."""
    rng = np.random.default_rng(number)
    accent, voice = words.ACCENTS[number % len(words.ACCENTS)], VOICES[number % len(VOICES)]
    return Speaker(f"{accent}+{voice}", int(rng.integers(115, 195)), int(rng.integers(25, 75)))


def synthetic(texts: Sequence[str], count: int) -> Utterances:
    """Each text said by the first `count` speakers, kept with the features once it was said."""
    speakers = [speaker(number) for number in range(count)]

    def make() -> dict[str, Tensor]:
        said = []
        for text in texts:
            waves, rate, _ = say_all([text] * count, speakers)
            said += [tidy(resampled(wave, rate, RATE), RATE) for wave in waves]
        return {"mel": Utterances.of(said, []).mel.half()}

    key = {
        "texts": list(texts),
        "speakers": [str(who) for who in speakers],
        "code": code_digest(__name__, "avcore.audio", "avcore.data.media"),
    }
    mel = cached(key, make)["mel"].float()
    return Utterances(mel, torch.arange(len(texts)).repeat_interleave(count))


def train_config(scale: str, seed: int, device: str = "auto") -> TrainConfig:
    """The training of claim N4."""
    return TrainConfig(
        steps=by_scale(scale, smoke=2, quick=700, full=5000),
        batch_size=by_scale(scale, smoke=8, quick=64, full=64),
        learning_rate=3e-3,
        weight_decay=0.05,
        warmup=by_scale(scale, smoke=1, quick=100, full=500),
        clip_norm=1.0,
        seed=seed,
        device=device,
        progress=False,
    )


def teach(said: Utterances, count: int, config: TrainConfig, augment: bool = True) -> WordListener:
    """A listener that learned `count` words from utterances."""
    with seeded(config.seed):
        model = WordListener(count)

    def batch(step: int, generator: torch.Generator) -> Utterances:
        chosen = torch.randint(len(said.label), (config.batch_size,), generator=generator)
        return Utterances(said.mel[chosen], said.label[chosen])

    def loss(model: nn.Module, batch: Utterances) -> Tensor:
        mel = augmented(batch.mel.cpu()).to(batch.mel.device) if augment else batch.mel
        return functional.cross_entropy(model(mel), batch.label, label_smoothing=0.1)

    fit(model, loss, batch, config)
    return model.cpu().eval()


def word_experiment(variant: str, seed: int, scale: str, device: str = "auto") -> dict[str, float]:
    """Claim N4: "augmented" or "as said", learned from synthetic speech and tested on people.

    Returns
    -------
    "top1" and "top5" of people's utterances, "chance" (of top 1), and "words", how many there are.

    Raises
    ------
    MediaError
        The people's recordings are not in the cache, or the synthesiser is not installed.
    """
    folder = stamps.available()
    if folder is None:
        raise MediaError("the people's words are not here; run: avcore data stamps")
    bank = MediaBank(folder, skip_bad=True)
    people = {name: bank.spoken(k) for k, name in enumerate(bank.classes) if bank.spoken(k)}
    count = by_scale(scale, smoke=4, quick=SPEAKERS, full=SPEAKERS)
    learn = synthetic(list(people), count)
    test = Utterances.of(
        [each.wave for spoken in people.values() for each in spoken],
        [k for k, spoken in enumerate(people.values()) for _ in spoken],
    )
    config = train_config(scale, seed, device)
    model = teach(learn, len(people), config, choose(VARIANTS, variant, "variant"))
    found = named(model, test.mel)
    place = (found.argsort(1, descending=True) == test.label[:, None]).int().argmax(1)
    return {
        "top1": (place == 0).double().mean().item(),
        "top5": (place < 5).double().mean().item(),
        "chance": 1 / len(people),
        "words": float(len(people)),
    }
