"""Claims of our own on all localisers, and on words: what a sceptic asks."""

from __future__ import annotations

from avcore.claims.claim import Claim, Gate, Side

OURS = "Seeing Sound"
SCEPTIC = "avcore.sceptic.negatives:sceptic_experiment"
ELSEWHERE = "avcore.sceptic.elsewhere:elsewhere_experiment"
WORDS = "avcore.sceptic.words:word_experiment"
AREA = 0.25  # a quarter of the true area
SHARE = 0.05  # of an average precision
POINTS = 0.1  # a tenth of the scenes
FRESH = 100  # the first seed


def claim(localiser: str, letter: str, number: str, **fields: object) -> Claim:
    """A claim on one localiser; its sentence names it."""
    own = Gate(localiser, "pointing", above="wrong_sound_pointing")
    sides = {side: Side(localiser, str(fields.pop(side))) for side in ("treatment", "baseline")}
    sentence = str(fields.pop("sentence")).format(localiser)
    return Claim(
        id=f"N{number}{letter}",
        paper=OURS,
        kind="ours",
        sentence=sentence,
        first_seed=FRESH,
        gates=(own,),
        **sides,
        **fields,
    )


def on_negatives(localiser: str, letter: str) -> Claim:
    return claim(
        localiser,
        letter,
        "1",
        sentence="With one threshold for all scenes, {} marks less when no source is in view: "
        "silence, noise, or a sound from outside of the picture.",
        experiment=SCEPTIC,
        treatment="negative_area",
        baseline="area",
        direction="lower",
        effect=AREA,
        explanation="With the own sound the marked area is {baseline.mean:.2f} of the true area. "
        "With silence it is {treatment_run[silence_area].mean:.2f}, with noise "
        "{treatment_run[noise_area].mean:.2f}, with an off-screen sound "
        "{treatment_run[offscreen_area].mean:.2f}. The threshold was chosen on validation scenes "
        "by the mean IoU; no negative was used for it.",
    )


def unheard(localiser: str, letter: str) -> Claim:
    return claim(
        localiser,
        letter,
        "2",
        sentence="More than half of the average precision of {} is reached without listening.",
        experiment=SCEPTIC,
        treatment="unheard_share",
        baseline="half",
        effect=SHARE,
        explanation="Average precision {treatment_run[ap].mean:.2f} with the own sound and "
        "{treatment_run[unheard_ap].mean:.2f} for the mean of the maps of eight other scenes' "
        "sounds, a share of {treatment.mean:.0%}; the best trivial baseline has "
        "{treatment_run[trivial_ap].mean:.2f}.",
    )


def elsewhere(localiser: str, letter: str) -> Claim:
    return claim(
        localiser,
        letter,
        "3",
        sentence="Trained on Tux Paint, {} points at the source also with recordings from "
        "elsewhere.",
        experiment=ELSEWHERE,
        treatment="pointing",
        baseline="wrong_sound_pointing",
        effect=POINTS,
        explanation="Pointing is {treatment.mean:.2f} with recordings from elsewhere, "
        "{treatment_run[home_pointing].mean:.2f} with Tux Paint's own held-out excerpts of the "
        "same {treatment_run[classes].mean:.0f} classes, and {baseline.mean:.2f} with a wrong "
        "sound.",
    )


def photographs(localiser: str, letter: str) -> Claim:
    return claim(
        localiser,
        letter,
        "3",
        sentence="Trained on Tux Paint, {} finds the animal that is heard among two whole "
        "photographs from elsewhere.",
        experiment=ELSEWHERE,
        treatment="half_right",
        baseline="wrong_sound_half_right",
        effect=POINTS,
        explanation="The peak lies in the photograph of the animal heard in {treatment.mean:.0%} "
        "of the pairs, with the sound of the other animal in {baseline.mean:.0%}. There are "
        "{treatment_run[photographs].mean:.0f} photographs.",
    )


N4 = Claim(
    id="N4",
    paper=OURS,
    kind="ours",
    sentence="A network that learned words from a synthesiser alone names people's words, and "
    "augmentation makes the difference.",
    experiment=WORDS,
    treatment=Side("augmented", "top1"),
    baseline=Side("as said", "top1"),
    effect=POINTS,
    first_seed=FRESH,
    gates=(Gate("augmented", "top1", above="chance"),),
    explanation="Of {treatment_run[words].mean:.0f} English words said by people "
    "{treatment.mean:.0%} are named and {treatment_run[top5].mean:.0%} are among the first five "
    "with augmentation, {baseline.mean:.0%} and {baseline_run[top5].mean:.0%} without it. Chance "
    "is {treatment_run[chance].mean:.0%}.",
)

LOCALISERS = {"": "correspondence", "b": "AVS", "c": "DenseAV"}
CLAIMS = (
    *(on_negatives(name, letter) for letter, name in LOCALISERS.items()),
    *(unheard(name, letter) for letter, name in LOCALISERS.items()),
    *(elsewhere(name, letter) for letter, name in LOCALISERS.items()),
    *(photographs(name, letter) for letter, name in zip("def", LOCALISERS.values(), strict=True)),
    N4,
)
