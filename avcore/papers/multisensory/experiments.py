"""The experiments behind claims M1 to M9, and the trainings of chapters 10, 11 and 12.

All variants of a seed learn from the same clips in as many steps. Deviations: drawn clips of three
seconds, a small network, the stage's twelve classes in place of UCF-101 and drawn talkers in place
of VoxCeleb.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from avcore.papers.multisensory import actions, evaluation, localization, separation, shift
from avcore.papers.multisensory.clips import Clips, draw, draw_views
from avcore.papers.multisensory.model import EarlyFusion
from avcore.stage import ProceduralBank
from avcore.support import Splits, by_scale, choose
from avcore.training import History, pick_device, seeded

LABELS_EACH = 5  # labelled clips of a class
LABELS_VIEW = 30  # labelled clips whose sound is of what is in view, and as many whose is not
CHECKS = 10  # held-out accuracies along a pretext training
LEARNED = 0.6  # held-out accuracy, above which the plateau at chance is left


@dataclass(frozen=True)
class Pretext:
    """How a network learns without labels."""

    negatives: str = "shift"
    senses: str = "both"
    sound: str = "log-mel"


PRETEXTS = {
    "shift": Pretext(),
    "random pairs": Pretext(negatives="random pairs"),
    "waveform": Pretext(sound="waveform"),
    "sound only": Pretext(senses="sound only"),
    "picture only": Pretext(senses="picture only"),
}


@dataclass(frozen=True)
class Start:
    """Where a network for another task starts, and what it is given."""

    start: str = "shift"
    deaf: bool = False
    eye: str = "multisensory"
    single_frame: bool = False


ACTIONS = {
    "shift": Start(),
    "random pairs": Start("random pairs"),
    "scratch": Start(""),
    "shift, deaf": Start(deaf=True),
    "scratch, deaf": Start("", deaf=True),
}
ORDER = "both"  # of the outputs of networks that see: all learn to separate, also without motion
SEPARATIONS = {
    "multisensory": Start(),
    "action features": Start("actions"),
    "scratch": Start(""),
    "single frame": Start(single_frame=True),
    "no early fusion": Start(eye="picture"),
    "sound alone": Start("", eye="none"),
}


def pretext_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims M8 and M9, for one of `PRETEXTS`.

    "accuracy" of its own task on held-out clips, and "shift_accuracy" of telling aligned from
    shifted sound; "chance_accuracy" is one half. "pointing": the peak of the class activation map
    lies on the source that sounds, where another moves in silence; "chance_pointing" is that of a
    random place. "plateau" is the share of the training before a held-out accuracy of `LEARNED`.
    """
    how = choose(PRETEXTS, variant, "variant")
    model, history = pretrained(variant, seed, scale, device)
    test, movers = clips("pretext", seed, scale).test, silent_movers(seed, scale)
    return {
        "accuracy": shift.accuracy(model, test, how.negatives, how.senses, seed + 1),
        "shift_accuracy": shift.accuracy(model, test, "shift", how.senses, seed + 1),
        "chance_accuracy": 0.5,
        "plateau": plateau(history),
        "pointing": localization.pointing(model, movers).float().mean().item(),
        "chance_pointing": localization.random_place(movers),
    }


def action_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims M1 to M3, for one of `ACTIONS`.

    "accuracy" of naming twelve classes after fine-tuning, and "chance_accuracy" of guessing.
    "pretext" is the held-out accuracy of the pretext task that the network comes from.
    "in_view": a linear probe of the frozen features tells sound of a source in view from sound of
    another; "chance_in_view" is one half.
    """
    how = choose(ACTIONS, variant, "variant")
    data = clips("action", seed, scale)
    config = replace(actions.train_config(scale, seed, device), progress=False)
    start, history = pretrained(how.start, seed, scale, device) if how.start else (None, None)
    model, _ = actions.fine_tune(start, data.train, config, how.deaf)
    values = {
        "accuracy": actions.accuracy(model, data.test),
        "chance_accuracy": 1 / len(ProceduralBank().classes),
    }
    if history:
        values["pretext"] = history.scores["accuracy"][-1]
    if how.deaf:
        return values
    with seeded(seed):
        frozen = start or EarlyFusion().to(pick_device(device))
    learn, measure = views(seed, scale)
    in_view = actions.probe_accuracy(frozen, learn, measure)
    return {**values, "in_view": in_view, "chance_in_view": 0.5}


def separation_experiment(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> dict[str, float]:
    """Claims M4 to M7, for one of `SEPARATIONS`; all but "on_off_loss" are gains in dB.

    "si_sdr_gain" of the on-screen voice over the mixture, mean of both kinds of mixture;
    "same_voice" where both voices are low or both high, and "other_voice" where they differ;
    "either" with the better order of the outputs. "wrong_picture" is the gain with the face of
    another clip. "on_off_loss" in dB, as in the paper. Of "multisensory" also "motion_same" and
    "motion_other": what it is ahead of a single frame on both kinds of mixture, and "still_either",
    the single frame's "either".
    """
    values = _separated(variant, seed, scale, device)
    if variant == "multisensory":
        still = _separated("single frame", seed, scale, device)
        ahead = {f"motion_{kind}": values[f"{kind}_voice"] - still[f"{kind}_voice"]
                 for kind in ("same", "other")}  # fmt: skip
        values = {**values, **ahead, "still_either": still["either"]}
    return values


@lru_cache(maxsize=8)
def _separated(variant: str, seed: int, scale: str, device: str) -> dict[str, float]:
    how = choose(SEPARATIONS, variant, "variant")
    model = separator(variant, seed, scale, device)
    test = clips("talker", seed, scale).test
    mixed = {same: evaluation.mixtures(test, same, seed) for same in (True, False)}
    found = {same: evaluation.gains(model, mixed[same]) for same in mixed}
    mean = {name: sum(gain[name].mean().item() for gain in found.values()) / 2
            for name in ("on", "either")}  # fmt: skip
    every = evaluation.mixtures(test, None, seed)
    wrong = every._replace(frames=every.frames.roll(1, 0))
    return {
        "si_sdr_gain": mean["either"] if how.eye == "none" else mean["on"],
        "same_voice": found[True]["on"].mean().item(),
        "other_voice": found[False]["on"].mean().item(),
        "either": mean["either"],
        "wrong_picture": evaluation.gains(model, wrong)["on"].mean().item(),
        "on_off_loss": evaluation.level_loss(model, every).mean().item(),
    }


def plateau(history: History) -> float:
    """The share of a training after which the held-out accuracy first exceeds `LEARNED`."""
    steps, scores = history.scored, history.scores["accuracy"]
    first = next((s for s, score in zip(steps, scores, strict=True) if score > LEARNED), steps[-1])
    return first / steps[-1]


# --- what a seed has in common -------------------------------------------------------------------


def counts(kind: str, scale: str) -> tuple[int, int, int]:
    """Clips for training, validation and test."""
    classes = len(ProceduralBank().classes)
    each = by_scale(scale, smoke=2, quick=LABELS_EACH, full=20)
    return {
        "pretext": by_scale(scale, smoke=(12, 4, 6), quick=(900, 60, 200), full=(8000, 200, 1000)),
        "action": (each * classes, 1, by_scale(scale, smoke=12, quick=300, full=1000)),
        "talker": by_scale(scale, smoke=(6, 1, 6), quick=(600, 1, 100), full=(5000, 1, 300)),
    }[kind]


@lru_cache(maxsize=4)
def clips(kind: str, seed: int, scale: str) -> Splits[Clips]:
    """The clips of a kind that all variants share."""
    workers = _workers(scale)
    train, val, test = (
        draw(kind, split, count, seed, workers)
        for split, count in zip(("train", "val", "test"), counts(kind, scale), strict=True)
    )
    return Splits(train, val, test)


@lru_cache(maxsize=1)
def silent_movers(seed: int, scale: str) -> Clips:
    """Held-out clips of two sources, of which one moves in silence."""
    count = by_scale(scale, smoke=6, quick=200, full=1000)
    workers = _workers(scale)
    return draw("silent mover", "test", count, seed, workers, where=True)


@lru_cache(maxsize=1)
def views(seed: int, scale: str) -> tuple[Clips, Clips]:
    """Clips to fit and to measure probes on, whose sound comes from what is in view or not."""
    train, test = by_scale(scale, smoke=(4, 4), quick=(LABELS_VIEW, 100), full=(100, 500))
    return draw_views("train", train, seed), draw_views("test", test, seed, _workers(scale))


@lru_cache(maxsize=4)
def pretrained(
    variant: str, seed: int, scale: str, device: str = "auto"
) -> tuple[EarlyFusion, History]:
    """The network of one of `PRETEXTS`; "actions" learned from the labels of as many clips."""
    config = replace(shift.train_config(scale, seed, device), progress=False)
    if variant == "actions":
        train = draw("action", "train", counts("pretext", scale)[0], seed, _workers(scale))
        model, history = actions.fine_tune(None, train, config)
        return model.network, history
    how, data = choose(PRETEXTS, variant, "variant"), clips("pretext", seed, scale)

    def check(model: EarlyFusion) -> dict[str, float]:
        heard = shift.accuracy(model, data.val, how.negatives, how.senses)
        return {"accuracy": heard}

    return shift.pretrain(
        data.train,
        config,
        how.negatives,
        how.senses,
        how.sound,
        evaluate=check,
        evaluate_every=max(config.steps // CHECKS, 1),
    )


@lru_cache(maxsize=2)
def separator(variant: str, seed: int, scale: str, device: str = "auto") -> separation.Separator:
    """The trained network of one of `SEPARATIONS`."""
    how = choose(SEPARATIONS, variant, "variant")
    config = replace(separation.train_config(scale, seed, device), progress=False)
    start = pretrained(how.start, seed, scale, device)[0] if how.start else None
    train = clips("talker", seed, scale).train
    return separation.learn_to_separate(
        start, train, config, how.eye, how.single_frame, order=ORDER
    )[0]


def _workers(scale: str) -> int:
    return by_scale(scale, smoke=0, quick=2, full=8)
