"""How the shipped listeners were taught; see `avcore.nn.listeners`.

Everything that they hear in training is of the split train: no voice, performance or stretch of
a recording of a test. Sources: the named listener stands for VGGish (Hershey et al., ICASSP
2017), the masked one follows HuBERT (Hsu et al., 2021), with one round of clusters of log-mel
and convolutions in place of the transformer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from sklearn.cluster import MiniBatchKMeans
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn
from torch.nn import functional

from avcore.audio import log_mel, set_level
from avcore.data.media import stamps
from avcore.nn.listeners import (
    LISTENERS,
    MASKED_CHANNELS,
    MaskedListener,
    NamedListener,
    write_listener,
)
from avcore.stage import SPLITS, AssetBank, ProceduralBank
from avcore.stage.media import MediaBank
from avcore.support import MediaError, by_scale, choose
from avcore.training.config import TrainConfig
from avcore.training.loop import fit
from avcore.training.predict import predict
from avcore.training.seeds import seeded

RATE, SECONDS = 16_000, 1.0
LEVEL_DB = -26.0  # of every sound before it is mixed, re. full scale: an RMS of 0.05
CLUSTERS = 100
SPAN = 5  # steps of 40 ms that are hidden at once
HIDDEN = 0.08  # chance that a hidden span begins at a step


def teach(
    name: str, out: str | Path, scale: str = "quick", seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """Teach the listener `name` on the stage's and Tux Paint's sounds, keep it, and measure it.

    Returns
    -------
    Held-out accuracies: of naming ("drawn", "recordings"), or of the probes ("kind", "class").

    Raises
    ------
    MediaError
        Tux Paint's stamps have not been fetched.
    """
    choose(LISTENERS, name, "listener")
    folder = stamps.available()
    if folder is None:
        raise MediaError("the recordings are not here; run: avcore data stamps")
    drawn, recorded = ProceduralBank(), MediaBank(folder)
    each = by_scale(scale, smoke=2, quick=100, full=400)
    sounds = collect([drawn, recorded], "train", each, words=20 * each)
    if name == "named":
        named = teach_named(sounds, scale, seed, device)
        write_listener(named, out)
        found = naming_accuracy(named, collect([drawn, recorded], "test", each // 4 + 1, seed=1))
        count = len(drawn.classes)
        return {"drawn": found[:count].mean().item(), "recordings": found[count:].mean().item()}
    masked = teach_masked(sounds, scale, seed, device)
    write_listener(masked, out)
    parts = (("train", each, 6 * each), ("test", each // 2 + 1, 3 * each))
    return probe_accuracy(masked, *(collect([drawn], s, n, w, seed=2) for s, n, w in parts))


@dataclass(frozen=True)
class Sounds:
    """N single sounds of a second.

    Attributes
    ----------
    waveform
        (N, 16000) float32, each at the same level.
    label
        (N,) int64: an index of `names`; -1 for speech.
    names
        The classes of all banks.
    """

    waveform: Tensor
    label: Tensor
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.label)


def collect(banks: list[AssetBank], split: str, each: int, words: int = 0, seed: int = 0) -> Sounds:
    """Single sounds: `each` of every class of the banks, then `words` spoken names of the first.

    Classes of the same name in two banks stay two classes.
    """
    rng = np.random.default_rng([seed, SPLITS.index(split), 1886])
    waves, labels = [], []
    names: list[str] = []
    for bank in banks:
        for class_id, name in enumerate(bank.classes):
            for _ in range(each):
                performance = bank.performance(class_id, rng, split, SECONDS)
                waves.append(performance.render(RATE))
                labels.append(len(names))
            names.append(name)
    for number in range(words):
        class_id = number % len(banks[0].classes)
        waves.append(banks[0].speak(class_id, rng, split, SECONDS).render(RATE))
        labels.append(-1)
    waveform = set_level(torch.from_numpy(np.stack(waves)), LEVEL_DB)
    return Sounds(waveform, torch.tensor(labels), tuple(names))


def teach_named(
    sounds: Sounds, scale: str = "quick", seed: int = 0, device: str = "auto"
) -> NamedListener:
    """A listener taught to name the classes in mixtures of up to three sounds and noise."""
    kept = sounds.label >= 0
    waveform, label = sounds.waveform[kept], sounds.label[kept]
    with seeded(seed):
        model = NamedListener(sounds.names)

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return mixtures(waveform, label, len(sounds.names), 64, generator)

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
        return functional.binary_cross_entropy_with_logits(model(batch[0]), batch[1])

    fit(_Naming(model), loss, batch, _config(scale, seed, device))
    return model.cpu().eval()


class _Naming(nn.Module):
    """The listener with its naming, as the loop calls it."""

    def __init__(self, listener: NamedListener) -> None:
        super().__init__()
        self.listener = listener

    def forward(self, mel: Tensor) -> Tensor:
        return self.listener.logits(mel)


def mixtures(
    waveform: Tensor, label: Tensor, classes: int, count: int, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Log-mel (count, 64, n) of random mixtures, and which classes are in each, (count, classes).

    One to three sounds at levels up to 6 dB apart from the mean, with noise and a tilt of the
    spectrum that stand for rooms and microphones.
    """

    def draw(*shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(*shape, generator=generator)

    chosen = torch.randint(len(label), (3, count), generator=generator)
    on = (draw(3, count) < torch.tensor([0.92, 0.4, 0.08])[:, None]).float()
    gain = on * 10 ** (draw(3, count, low=-6, high=6) / 20)
    noise = 10 ** (draw(count, 1, low=-80, high=-35) / 20)
    mixed = (gain[..., None] * waveform[chosen]).sum(0)
    mixed = mixed + noise * torch.randn(mixed.shape, generator=generator)
    target = (on[..., None] * functional.one_hot(label[chosen], classes)).amax(0)
    mel = log_mel(mixed)
    tilt = draw(count, 1, 1, low=-1, high=1) * torch.linspace(-1, 1, mel.shape[1])[:, None]
    return mel + tilt, target.float()


def teach_masked(
    sounds: Sounds, scale: str = "quick", seed: int = 0, device: str = "auto"
) -> MaskedListener:
    """A listener that learned to predict the clusters of what was hidden from it; no label is
    looked at."""
    mel = torch.cat([log_mel(part) for part in sounds.waveform.split(512)])
    targets = clusters(mel, seed)  # (N, T)
    with seeded(seed):
        model = MaskedListener()
        whole = _Predicting(model)

    def batch(step: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        chosen = torch.randint(len(mel), (64,), generator=generator)
        starts = torch.rand(64, targets.shape[1], generator=generator) < HIDDEN
        hidden = functional.max_pool1d(starts[:, None].float(), SPAN, 1, SPAN // 2)[:, 0] > 0
        return mel[chosen], targets[chosen], hidden

    def loss(model: nn.Module, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        logits = model(batch[0], batch[2])  # (B, clusters, T)
        return functional.cross_entropy(logits.movedim(1, -1)[batch[2]], batch[1][batch[2]])

    fit(whole, loss, batch, _config(scale, seed, device))
    return model.cpu().eval()


class _Predicting(nn.Module):
    """The listener with the layer that predicts clusters, as the loop calls it."""

    def __init__(self, listener: MaskedListener) -> None:
        super().__init__()
        self.listener = listener
        self.predict = nn.Conv1d(MASKED_CHANNELS, CLUSTERS, 1)

    def forward(self, mel: Tensor, mask: Tensor) -> Tensor:
        return self.predict(self.listener(mel, mask)[:, :, 0])


def clusters(mel: Tensor, seed: int = 0) -> Tensor:
    """Which of `CLUSTERS` k-means clusters each 40 ms of log-mel (N, 64, n) is in, (N, ⌈n / 4⌉).

    Sounds are cut or padded at their ends to whole steps, as many as the listener's strides make.
    """
    padded = functional.pad(mel, (1, 2), mode="replicate")
    steps = padded.unfold(-1, 4, 4).mean(-1).movedim(1, -1)  # (N, T, 64)
    change = torch.diff(steps, dim=1, prepend=steps[:, :1])
    points = torch.cat([steps, 0.5 * change], -1).flatten(0, 1).numpy()
    means = MiniBatchKMeans(CLUSTERS, random_state=seed, n_init=1, batch_size=4096)
    found = means.fit(points[:: max(len(points) // 60_000, 1)]).predict(points)
    return torch.from_numpy(found.astype(np.int64)).unflatten(0, steps.shape[:2])


def naming_accuracy(model: NamedListener, sounds: Sounds) -> Tensor:
    """Share of single sounds whose class has the largest logit, for each class of `names`."""
    mel = torch.cat([log_mel(part) for part in sounds.waveform.split(512)])
    found = predict(model, mel, lambda model, part: model.logits(part)).argmax(1)
    right = (found == sounds.label).float()
    return torch.stack([right[sounds.label == k].mean() for k in range(len(sounds.names))])


def probe_accuracy(model: MaskedListener, train: Sounds, test: Sounds) -> dict[str, float]:
    """What a linear probe of the mean and the maximum over time tells, on held-out sounds.

    Returns
    -------
    "kind": speech from all other sounds; "class": the class of the other sounds.
    """
    features, held_out = (_pooled(model, part.waveform) for part in (train, test))

    def accuracy(wanted, labels: Tensor, answers: Tensor) -> float:
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500, C=0.1))
        probe.fit(features[wanted(train)], labels)
        return float(probe.score(held_out[wanted(test)], answers))

    def sound(part: Sounds) -> np.ndarray:
        return (part.label >= 0).numpy()

    return {
        "kind": accuracy(lambda part: slice(None), train.label >= 0, test.label >= 0),
        "class": accuracy(sound, train.label[sound(train)], test.label[sound(test)]),
    }


def _pooled(model: MaskedListener, waveform: Tensor) -> np.ndarray:
    def pool(model: nn.Module, part: Tensor) -> Tensor:
        maps = model(log_mel(part))[:, :, 0]
        return torch.cat([maps.mean(-1), maps.amax(-1)], 1)

    return predict(model, waveform, pool, 256).numpy()


def _config(scale: str, seed: int, device: str) -> TrainConfig:
    return TrainConfig(
        steps=by_scale(scale, smoke=4, quick=1500, full=10_000),
        learning_rate=3e-3,
        weight_decay=1e-2,
        warmup=by_scale(scale, smoke=1, quick=100, full=200),
        clip_norm=1.0,
        seed=seed,
        device=device,
        log_every=100,
    )
