"""Claims on AVS, of chapters 40 and 41."""

from __future__ import annotations

from dataclasses import replace

from avcore.claims.claim import Claim, Gate, Reported, Side

SMALLEST = 0.02  # two points in a hundred of a score between 0 and 1
AREA = 0.1  # a tenth of the true area
LEARNED = 0.5  # the mean IoU of a network that has learned to outline what it marks
FRESH = 100  # the first seed of the runs on the strong ground

AVS = "AVS (ECCV 2022)"
SEGMENT = "avcore.papers.avs.experiments:segmentation_experiment"
GAIN = "avcore.papers.avs.experiments:gain_experiment"
PAGE = "table of the project page, mean IoU"
TABLE = f"{PAGE}, PVT-v2"
RESNET = f"{PAGE}, ResNet-50"


def listens(*variants: str) -> tuple[Gate, ...]:
    """Networks that have to beat the perfect segmenter that never listens."""
    return tuple(Gate(variant, "miou", above="blind_miou") for variant in variants)


A1 = Claim(
    id="A1",
    paper=AVS,
    sentence="The sound matters more where several objects sound: without it the mean IoU falls "
    "further in the multi-source setting than in the single-source one.",
    experiment=GAIN,
    treatment=Side("MS3", "gain_miou"),
    baseline=Side("S4", "gain_miou"),
    effect=SMALLEST,
    first_seed=FRESH,
    gates=listens("MS3", "S4"),
    reported=(
        Reported("gain on MS3", 4.85, "points", TABLE),
        Reported("gain on S4", 0.98, "points", TABLE),
        Reported("gain on MS3", 3.08, "points", RESNET),
        Reported("gain on S4", 2.67, "points", RESNET),
    ),
    explanation="The sound adds {treatment.mean:.2f} to the mean IoU on MS3 and "
    "{baseline.mean:.2f} on S4. A perfect segmenter that never listens has "
    "{treatment_run[blind_miou].mean:.2f} on our MS3 and {baseline_run[blind_miou].mean:.2f} on "
    "our S4, where half of the clips show one object; the rest, up to 1, is what listening could "
    "add.",
)

A2 = Claim(
    id="A2",
    paper=AVS,
    sentence="TPAVI brings the sound in better than adding it to every pixel does, where objects "
    "travel, come and go, and sound whenever they are in view.",
    experiment=SEGMENT,
    treatment=Side("MS3, TPAVI", "miou"),
    baseline=Side("MS3, addition", "miou"),
    effect=SMALLEST,
    first_seed=FRESH,
    gates=listens("MS3, TPAVI", "MS3, addition"),
    reported=(Reported("TPAVI minus addition on MS3", 1.51, "points", TABLE),),
    explanation="{treatment.mean:.2f} with TPAVI against {baseline.mean:.2f} by addition. We "
    "expected TPAVI's best chance in these scenes: the frames of a clip differ, and no object in "
    "view pauses.",
)
# Scenes, setting, which networks have to beat the one that never listens (what TPAVI cannot do
# with pauses is the question), the paper's figures, and what to know.
WORLDS: dict[str, tuple[str, str, tuple[str, ...], tuple[Reported, ...], str]] = {
    "A2b": (
        "where sources also pause",
        "MS3 with pauses",
        ("addition",),
        (),
        "A pause concerns one second, and TPAVI adds up all seconds before it looks.",
    ),
    "A2c": (
        "where objects stand still and sound all the time",
        "MS3 still",
        ("TPAVI", "addition"),
        (),
        "The frames of a clip look alike and have the same answer, so nothing depends on when.",
    ),
    "A2d": (
        "where objects stand still and pause",
        "MS3 still with pauses",
        ("addition",),
        (),
        "Frames that look alike have different answers here. TPAVI adds up all seconds before it "
        "looks and cannot tell these frames apart; addition can.",
    ),
    "A2e": (
        "with a single source",
        "S4",
        ("TPAVI", "addition"),
        (Reported("TPAVI minus addition on S4", 1.09, "points", TABLE),),
        "In S4 the source sounds all the time, so nothing depends on when.",
    ),
}
A2_OTHERS = tuple(
    replace(
        A2,
        id=claim_id,
        kind="paper" if figures else "ours",
        sentence=f"TPAVI brings the sound in better than adding it to every pixel does, {scenes}.",
        treatment=Side(f"{setting}, TPAVI", "miou"),
        baseline=Side(f"{setting}, addition", "miou"),
        gates=listens(*(f"{setting}, {fusion}" for fusion in able)),
        reported=figures,
        explanation="{treatment.mean:.2f} with TPAVI against {baseline.mean:.2f} by addition. "
        + why,
    )
    for claim_id, (scenes, setting, able, figures, why) in WORLDS.items()
)

A3 = Claim(
    id="A3",
    paper=AVS,
    sentence="Where a single object can be seen, adding the sound does nothing.",
    experiment=SEGMENT,
    treatment=Side("solo, addition", "miou"),
    baseline=Side("solo, no sound", "miou"),
    direction="equal",
    effect=SMALLEST,
    first_seed=FRESH,
    gates=(
        Gate("solo, addition", "miou", above=LEARNED),
        Gate("solo, no sound", "miou", above=LEARNED),
    ),
    reported=(
        Reported("addition minus no sound on S4", -0.11, "points", TABLE),
        Reported("addition minus no sound on S4", 0.42, "points", RESNET),
    ),
    explanation="{treatment.mean:.3f} with the sound added and {baseline.mean:.3f} without. The "
    "margin was declared before the runs. A1 has the gain on our S4, where half of the clips show "
    "a silent object too.",
)

A4 = Claim(
    id="A4",
    paper=AVS,
    sentence="The masked audio-visual matching loss gives a small gain with several sources.",
    experiment=SEGMENT,
    treatment=Side("MS3 large, TPAVI with matching", "miou"),
    baseline=Side("MS3 large, TPAVI", "miou"),
    effect=SMALLEST / 4,
    first_seed=FRESH,
    gates=listens("MS3 large, TPAVI"),
    reported=(Reported("gain on MS3", 0.94, "points", TABLE),),
    explanation="{treatment.mean:.3f} with the loss and {baseline.mean:.3f} without, from the same "
    "trained S4 network, with large objects. With the sound of another clip the two have "
    "{treatment_run[wrong_sound_miou].mean:.2f} and {baseline_run[wrong_sound_miou].mean:.2f}. "
    "The largest of the 32 shares of the aligned sound's softmax is "
    "{treatment_run[largest_share].mean:.3f} with the loss and "
    "{baseline_run[largest_share].mean:.3f} without; uniform is one in 32, and two uniform "
    "distributions match whatever is heard. The weight is the published one, on a sum over frames.",
)

A5 = Claim(
    id="A5",
    paper=AVS,
    sentence="Where labelled clips of several sources are scarce, training on single sources first "
    "helps.",
    experiment=SEGMENT,
    treatment=Side("MS3 scarce, TPAVI after S4", "miou"),
    baseline=Side("MS3 scarce, TPAVI from nothing", "miou"),
    effect=SMALLEST,
    first_seed=FRESH,
    gates=(Gate("MS3 scarce, TPAVI after S4", "miou", above="wrong_sound_miou"),),
    explanation="{treatment.mean:.2f} after S4 and {baseline.mean:.2f} from nothing, which takes "
    "as many steps as both phases of the other together, on the same sixty clips. So few clips "
    "need not be enough to beat a perfect segmenter that never listens, "
    "{treatment_run[blind_miou].mean:.2f}; the gate asks only that the network listens.",
)

A6 = Claim(
    id="A6",
    paper=AVS,
    sentence="AVS marks sounding objects better than localisation learned the hard way (LVS), "
    "which sees no masks.",
    experiment=SEGMENT,
    treatment=Side("MS3, TPAVI", "miou"),
    baseline=Side("MS3, LVS", "miou"),
    effect=SMALLEST,
    first_seed=FRESH,
    gates=listens("MS3, TPAVI"),
    reported=(
        Reported("AVS with PVT-v2 on MS3", 54.00, "%", PAGE),
        Reported("LVS on MS3", 29.45, "%", PAGE),
    ),
    explanation="{treatment.mean:.2f} against {baseline.mean:.2f}. LVS learned from all scenes of "
    "S4 without their masks, in fewer steps and larger batches, and from no clip of MS3; the limit "
    "at which its maps are cut was chosen on true masks. The paper's AVS has the matching loss, "
    "ours has not.",
)
UNHEARD = (
    "{treatment.mean:.2f} against {baseline.mean:.2f}. Without sound a network can mark objects, "
    "not those that sound; perfectly done, that gives {treatment_run[blind_miou].mean:.2f}."
)
FAMILIES = {
    "A6b": (
        "a second localiser without masks, correspondence learning",
        "MS3, correspondence",
        "{treatment.mean:.2f} against {baseline.mean:.2f}. As LVS it learned from S4 without "
        "masks, and its maps are cut where true masks say.",
        (("MSSL", 26.13),),
    ),
    "A6c": (
        "video segmentation without sound, by convolution along time",
        "MS3, video convolution",
        UNHEARD,
        (("3DC", 36.92),),
    ),
    "A6d": (
        "video segmentation without sound, by self-attention",
        "MS3, video self-attention",
        UNHEARD,
        (("SST", 42.57),),
    ),
    "A6e": (
        "salient object segmentation, which sees single frames",
        "MS3, no sound",
        UNHEARD,
        (("iGAN", 42.89), ("LGVT", 40.71)),
    ),
}
A6_OTHERS = tuple(
    replace(
        A6,
        id=claim_id,
        sentence=f"AVS marks sounding objects better than {family}.",
        baseline=Side(variant, "miou"),
        reported=(
            A6.reported[0],
            *(Reported(f"{name} on MS3", x, "%", PAGE) for name, x in rivals),
        ),
        explanation=why,
    )
    for claim_id, (family, variant, why, rivals) in FAMILIES.items()
)
A6F = replace(
    A6,
    id="A6f",
    kind="ours",
    sentence="With a single source a method that never listens marks better than AVS.",
    treatment=Side("S4, no sound", "miou"),
    baseline=Side("S4, TPAVI", "miou"),
    gates=(Gate("S4, no sound", "miou", above=LEARNED), *listens("S4, TPAVI")),
    reported=(
        Reported("LGVT (salient objects) on S4", 74.94, "%", PAGE),
        Reported("AVS with ResNet-50 on S4", 72.79, "%", PAGE),
        Reported("AVS with PVT-v2 on S4", 78.74, "%", PAGE),
    ),
    explanation="{treatment.mean:.2f} without sound, {baseline.mean:.2f} with TPAVI. In the paper "
    "the two have different image networks; here they share everything but the sound. A perfect "
    "segmenter that never listens has {baseline_run[blind_miou].mean:.2f} on our S4.",
)

A7 = Claim(
    id="A7",
    paper=AVS,
    kind="ours",
    sentence="Frames in which nothing sounds lift the mean IoU as it is coded.",
    experiment=SEGMENT,
    treatment=Side("MS3, TPAVI", "miou"),
    baseline=Side("MS3, TPAVI", "miou_filled"),
    effect=SMALLEST,
    first_seed=FRESH,
    gates=listens("MS3, TPAVI"),
    explanation="{treatment.mean:.2f} as coded, {baseline.mean:.2f} over the frames with a source. "
    "In a frame without one the score is the share of the picture left alone, here "
    "{treatment_run[empty_right].mean:.2f}.",
)
A7B = replace(
    A7,
    id="A7b",
    sentence="The F-measure as it is coded rises when the batches of the test get smaller.",
    treatment=Side("MS3, TPAVI", "f_by_clip"),
    baseline=Side("MS3, TPAVI", "f_whole"),
    effect=SMALLEST / 4,
    explanation="{treatment.mean:.3f} with one clip per batch, {baseline.mean:.3f} with all clips "
    "in one. The best threshold is chosen for each batch, so with batches of equal weight F could "
    "not fall. Here some batches have fewer frames with a source than others, and it could.",
)

A8 = Claim(
    id="A8",
    paper=AVS,
    kind="ours",
    sentence="With several sources the mask shrinks when the sound is replaced by silence.",
    experiment=SEGMENT,
    treatment=Side("MS3, TPAVI", "silence_area"),
    baseline=Side("MS3, TPAVI", "area"),
    effect=AREA,
    direction="lower",
    first_seed=FRESH,
    gates=listens("MS3, TPAVI"),
    explanation="From {baseline.mean:.2f} of the true area to {treatment.mean:.2f}. MS3 has "
    "seconds in which nothing sounds, so training asks for empty masks.",
)
A8B = replace(
    A8,
    id="A8b",
    sentence="With a single source the mask shrinks when the sound is replaced by silence.",
    treatment=Side("S4, TPAVI", "silence_area"),
    baseline=Side("S4, TPAVI", "area"),
    gates=listens("S4, TPAVI"),
    explanation="From {baseline.mean:.2f} of the true area to {treatment.mean:.2f}. In S4 "
    "something sounds in every frame of the training, and no frame ever asks for an empty mask.",
)

CLAIMS = (A1, A2, *A2_OTHERS, A3, A4, A5, A6, *A6_OTHERS, A6F, A7, A7B, A8, A8B)
