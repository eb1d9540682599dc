"""Claims on DenseAV, of chapters 50 and 51."""

from __future__ import annotations

from dataclasses import replace

from avcore.claims.claim import Claim, Side

SMALLEST = 0.02  # two points in a hundred of a score between 0 and 1

DENSEAV = "DenseAV (CVPR 2024)"
SOUNDS = "avcore.papers.denseav.experiments:sound_experiment"
MIXED = "avcore.papers.denseav.experiments:mixed_experiment"
MISA = "mean over time, max over space"

D1 = Claim(
    id="D1",
    paper=DENSEAV,
    sentence="A maximum over space in training makes dense features that localise the source; "
    "averaged, global features do not.",
    experiment=SOUNDS,
    treatment=Side(MISA, "ap"),
    baseline=Side("global features", "ap"),
    effect=SMALLEST,
    explanation="The gap is wide on every seed: {treatment.mean:.2f} against {baseline.mean:.2f} "
    "in average precision, and the peak is on the source more than twice as often. Features that "
    "were averaged before they were compared still beat marking everything: a mean over places "
    "passes on a little of what each place shows. This reason was not tested.",
)

D2 = Claim(
    id="D2",
    paper=DENSEAV,
    sentence="Good retrieval does not imply localisation: global features retrieve further ahead "
    "of where they point than dense features do.",
    experiment=SOUNDS,
    treatment=Side("global features", "ahead"),
    baseline=Side(MISA, "ahead"),
    effect=SMALLEST,
    explanation="The recalls lie close together, four or five times what chance gives, the "
    "pointing far apart. So recall says little about pointing. That a network retrieves well and "
    "does not localise is not shown: recall at 10 is low for both, because dozens of pictures "
    "show the right kind of thing and any of them fits the sound, and both point better than "
    "they retrieve, the dense one by far more.",
)

D3 = Claim(
    id="D3",
    paper=DENSEAV,
    sentence="Two heads come to separate speech from other sounds without any label, beyond what "
    "two halves of a single head's channels do.",
    experiment=MIXED,
    treatment=Side("two heads", "pred_dis"),
    baseline=Side("one head, channels split", "pred_dis"),
    effect=SMALLEST,
    explanation="The interval excludes zero, by one point in a hundred: do not read it as the "
    "paper's separation. Prediction of the kind from the heads is right in {treatment.low:.2f} "
    "to {treatment.high:.2f}, hardly more than random scores get, so both heads hear words and "
    "sounds alike. On validation scenes, with one seed, three times as many steps did not change "
    "this, nor did ten times the weight of the disentangling term. With words and sounds about "
    "different kinds of things, as in the paper's two sets, it was better, with two heads and with "
    "the halves of one alike, and worse again after longer training.",
)

D4 = Claim(
    id="D4",
    paper=DENSEAV,
    sentence="The disentangling term sharpens the separation of the two heads.",
    experiment=MIXED,
    treatment=Side("two heads", "act_dis"),
    baseline=Side("two heads, no disentangling", "act_dis"),
    effect=SMALLEST,
    explanation="The seeds disagree, in both directions. Since the heads hardly separate words "
    "from sounds at this scale (D3), there is little to sharpen.",
)

D5 = Claim(
    id="D5",
    paper=DENSEAV,
    sentence="Without the stability terms training collapses, so that localisation is lost.",
    experiment=MIXED,
    treatment=Side("two heads", "ap"),
    baseline=Side("no stability terms", "ap"),
    effect=SMALLEST,
    explanation="Nothing collapses in 600 steps, with the terms or without. The paper speaks of "
    "trainings a thousand times longer, in half precision and with pretrained "
    "transformers, and this scale cannot reach them. Claims D5b to D5e leave out "
    "single terms.",
)

SPARED = {
    "D5b": ("the total variation over time", "no smoothness"),
    "D5c": ("the non-negative pressure", "no nonnegative pressure"),
    "D5d": ("the silence term", "no silence term"),
    "D5e": ("the temperature balance", "no temperature balance"),
}
D5_SINGLE = tuple(
    replace(
        D5,
        id=claim_id,
        sentence=f"Any single stability term can be spared: without {term} nothing is lost.",
        baseline=Side(variant, "ap"),
        direction="equal",
        effect=0.05,
        explanation="The margin was chosen before the runs: a tenth of a good score. All of the "
        "networks train, with the term or without, but the seeds differ from each other by more "
        "than the margin, so three of them cannot show equality.",
    )
    for claim_id, (term, variant) in SPARED.items()
)

D6 = Claim(
    id="D6",
    paper=DENSEAV,
    sentence="Warming up the aligners alone, before the whole network learns, makes training "
    "better behaved and its end better.",
    experiment="avcore.papers.denseav.experiments:warm_up_experiment",
    treatment=Side("warm-up", "ap"),
    baseline=Side("no warm-up", "ap"),
    effect=SMALLEST,
    explanation="The ends differ by less than the seeds do, in both directions, and how "
    "steady the trainings were is not recorded. Small backbones that were taught for minutes have "
    "little to lose to random aligners; the paper warms up transformers that were trained on "
    "thousands of hours.",
)

D7 = Claim(
    id="D7",
    paper=DENSEAV,
    sentence="The mean over time and the maximum over space localise better than the mean over "
    "both.",
    experiment=SOUNDS,
    treatment=Side(MISA, "ap"),
    baseline=Side("mean over time and space", "ap"),
    effect=SMALLEST,
    explanation="All seeds agree. The mean over space is a comparison of averages and never asks "
    "where; it still learns something about places, probably because its features see a part "
    "of the picture each.",
)

D7B = replace(
    D7,
    id="D7b",
    sentence="The mean over time and the maximum over space localise better than the maximum "
    "over both.",
    baseline=Side("max over time and space", "ap"),
    explanation="All seeds agree: the maximum over both hardly leaves chance in as many steps, "
    "since one step and one place of each pair receive all of the gradient.",
)

CLAIMS = (D1, D2, D3, D4, D5, *D5_SINGLE, D6, D7, D7B)
