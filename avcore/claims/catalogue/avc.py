"""Claims on audio-visual correspondence, of chapter 02."""

from __future__ import annotations

from avcore.claims.claim import Claim, Gate, Side

FRESH = 100  # the first seed of the runs on the pretrained eye
SMALLEST = 0.02  # two points in a hundred of a score between 0 and 1

C7 = Claim(
    id="C7",
    paper="CSOL (TPAMI 2021)",
    kind="ours",
    sentence="Taking the maximum of the similarity map over space localises the sounding object "
    "better than taking its mean.",
    experiment="avcore.papers.avc:localisation_experiment",
    treatment=Side("max", "pointing"),
    baseline=Side("mean", "pointing"),
    effect=SMALLEST,
    first_seed=FRESH,
    gates=(
        Gate("max", "ap", above="trivial_ap"),
        Gate("mean", "pointing", above="wrong_sound_pointing"),
    ),
    explanation="The peak of the map is on the source in {treatment.mean:.2f} of the scenes with "
    "the maximum and in {baseline.mean:.2f} with the mean; listening to another scene's sound, in "
    "{treatment_run[wrong_sound_pointing].mean:.2f} and "
    "{baseline_run[wrong_sound_pointing].mean:.2f}. The maximum teaches the place that it "
    "believes in, the mean asks the background as well to resemble the sound; that this is the "
    "reason was not tested.",
)

CLAIMS = (C7,)
