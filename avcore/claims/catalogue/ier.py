"""Claims on IEr, of chapters 30 and 31. No table of the paper has a public source: directions."""

from __future__ import annotations

from dataclasses import replace

from avcore.claims.claim import Claim, Gate, Side

IER = "IEr (AAAI 2022)"
SOUNDS = "avcore.papers.ier.experiments:identifier_experiment"
MAPS = "avcore.papers.ier.experiments:referrer_experiment"
VOLUMES = "avcore.sceptic.volumes:volume_experiment"
FRESH = 100
SMALLEST = 0.02  # of a share of mixtures, of a mean average precision, or of NSA
LARGE = 0.1  # of a share of objects

I1 = Claim(
    id="I1",
    paper=IER,
    sentence="A step of its own for each class helps most where volumes are unequal.",
    experiment=SOUNDS,
    treatment=Side("steps", "gain@20"),
    baseline=Side("steps", "gain@0"),
    effect=SMALLEST,
    first_seed=FRESH,
    gates=(
        Gate("steps", "named@20", above="chance_named"),
        Gate("one step for all", "named@20", above="chance_named"),
    ),
    explanation="Of two sounds 20 dB apart the quieter is among the two classes named first in "
    "{treatment_run[named@20].mean:.2f} of the mixtures with steps, {treatment.mean:.3f} more than "
    "with one step for all classes; at equal volumes the difference is {baseline.mean:.3f}. "
    "The gain is counted in mixtures, not in errors: at equal volumes "
    "{treatment_run[named@0].mean:.3f} are named with steps, so that little could be gained there. "
    "A plain classifier on the same features has no steps; chapter 30 compares it as well.",
)
I1B = Claim(
    id="I1b",
    paper=IER,
    kind="ours",
    sentence="The quieter of two sources 10 dB apart is found more often than by CSOL.",
    experiment=VOLUMES,
    treatment=Side("IEr", "quiet@10"),
    baseline=Side("CSOL", "quiet@10"),
    effect=LARGE,
    first_seed=FRESH,
    gates=(Gate("CSOL", "loud@10", above="chance_found"),),
    explanation="Found (the peak of its class's map lies on it and above those of both silent "
    "objects) {treatment.mean:.2f} against {baseline.mean:.2f}; the louder source "
    "{treatment_run[loud@10].mean:.2f} and {baseline_run[loud@10].mean:.2f}. Both start from the "
    "same stage one and take as many steps in batches of one size. CSOL learns from mixtures "
    "alone; IEr learns from single sources as well, mixed for its identifier and beside the "
    "mixtures for its referrer. Chapter 31 also shows CSOL before its mixtures. A guess that never "
    "listens finds a third.",
)
I2 = replace(
    I1,
    id="I2",
    sentence="Steps made of mid-level features tell kinds apart better than steps made of the "
    "ear's output.",
    treatment=Side("steps", "named@20"),
    baseline=Side("high-level input", "named@20"),
    gates=(Gate("high-level input", "named@20", above="chance_named"),),
    explanation="The quieter of two sounds 20 dB apart is named in {treatment.mean:.3f} and "
    "{baseline.mean:.3f} of the mixtures; at equal volumes {treatment_run[named@0].mean:.3f} and "
    "{baseline_run[named@0].mean:.3f}. The ear learns with the steps in both.",
)
I3 = Claim(
    id="I3",
    paper=IER,
    sentence="The off-screen filter lowers false activation by sounds whose object is out of view.",
    experiment=MAPS,
    treatment=Side("both filters", "off_screen"),
    baseline=Side("no off-screen filter", "off_screen"),
    direction="lower",
    effect=LARGE,
    first_seed=FRESH,
    gates=(
        Gate("both filters", "sounding", above="silent"),
        Gate("no off-screen filter", "sounding", above="silent"),
    ),
    explanation="The class of a sound from off screen lights up in {treatment.mean:.2f} of the "
    "scenes with the filter and in {baseline.mean:.2f} without, at the threshold that tells "
    "sounding from silent objects best on validation scenes. Of the sounding objects in view "
    "{treatment_run[sounding].mean:.2f} and {baseline_run[sounding].mean:.2f} light up, of the "
    "silent ones {treatment_run[silent].mean:.2f} and {baseline_run[silent].mean:.2f}.",
)
I4 = replace(
    I3,
    id="I4",
    sentence="The silent-object filter raises NSA: maps of classes that do not sound stay dark.",
    treatment=Side("no off-screen filter", "nsa"),
    baseline=Side("no filter", "nsa"),
    direction="higher",
    effect=SMALLEST,
    gates=(Gate("no off-screen filter", "ciou@0.3", above="trivial_ciou@0.3"),),
    explanation="NSA {treatment.mean:.3f} with the filter and {baseline.mean:.3f} without; "
    "CIoU@0.3 {treatment_run[ciou@0.3].mean:.2f} and {baseline_run[ciou@0.3].mean:.2f}. Read NSA "
    "beside CIoU, since a map that is dark everywhere has an NSA of 1.",
)
I5 = replace(
    I1,
    id="I5",
    sentence="A curriculum, from singles and pairs to mixtures of four, teaches more than a fixed "
    "share of mixtures.",
    treatment=Side("steps", "ap@4"),
    baseline=Side("no curriculum", "ap@4"),
    gates=(Gate("no curriculum", "named@0", above="chance_named"),),
    explanation="Mean average precision in mixtures of four sounds {treatment.mean:.3f} and "
    "{baseline.mean:.3f}; the quieter of two sounds 20 dB apart is named in "
    "{treatment_run[named@20].mean:.3f} and {baseline_run[named@20].mean:.3f}. The fixed share is "
    "seven tenths, the curriculum's mean, with two to four sources throughout.",
)
I6 = replace(
    I3,
    id="I6",
    sentence="A mask that adapts to the picture filters better than one with a fixed threshold.",
    treatment=Side("mask: image max", "in_view_accuracy"),
    baseline=Side("mask: fixed", "in_view_accuracy"),
    direction="higher",
    effect=0.03,
    gates=(Gate("mask: fixed", "sounding", above="silent"),),
    explanation="The mean of two shares, sounding objects in view that light up and sounds from "
    "off screen that do not: {treatment.mean:.2f} with half of the picture's greatest response as "
    "the threshold, {baseline.mean:.2f} with a fixed one. Chapter 31 compares all five masks.",
)
I7 = replace(
    I3,
    id="I7",
    sentence="Of two objects of one class it cannot be told which one sounds.",
    treatment=Side("both filters", "one_class"),
    baseline=Side("both filters", "two_classes"),
    gates=(Gate("both filters", "two_classes", above=0.5),),
    explanation="The peak of the class's map lies on the one that sounds in {treatment.mean:.2f} "
    "of the scenes if both are of one class, and in {baseline.mean:.2f} if they are of two.",
)

CLAIMS = (I1, I1B, I2, I3, I4, I5, I6, I7)
