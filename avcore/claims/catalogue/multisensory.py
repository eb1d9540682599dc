"""Claims on Multisensory, of chapters 10, 11 and 12."""

from __future__ import annotations

from dataclasses import replace

from avcore.claims.claim import Claim, Gate, Reported, Side

PAPER = "Multisensory (ECCV 2018)"
EXPERIMENTS = "avcore.papers.multisensory.experiments"
NOTES = "a published summary of the paper"
FRESH = 100
SMALLEST = 0.02  # of an accuracy
AUDIBLE = 0.3  # dB
SEPARATES = 3.0  # dB over the mixture, in the better order of the outputs
LEARNED = 0.65  # a held-out accuracy of a pretext task, where chance is .5

M1 = Claim(
    id="M1",
    paper=PAPER,
    sentence="Shifted sound teaches more about actions than the sound of another clip.",
    experiment=f"{EXPERIMENTS}:action_experiment",
    treatment=Side("shift", "accuracy"),
    baseline=Side("random pairs", "accuracy"),
    effect=SMALLEST,
    first_seed=FRESH,
    reported=(
        Reported("UCF-101, shifted sound", 84.2, "%", NOTES),
        Reported("UCF-101, random pairs", 78.7, "%", NOTES),
    ),
    gates=(
        Gate("shift", "accuracy", above="chance_accuracy"),
        Gate("random pairs", "accuracy", above="chance_accuracy"),
        Gate("random pairs", "pretext", above=LEARNED),
    ),
    explanation="Fine-tuned on sixty labelled clips, {treatment.mean:.3f} and {baseline.mean:.3f} "
    "of the held-out clips are named right; by guessing, "
    "{treatment_run[chance_accuracy].mean:.3f}.",
)
M2 = replace(
    M1,
    id="M2",
    sentence="A network that learned from shifted sound names more actions than one from scratch.",
    baseline=Side("scratch", "accuracy"),
    effect=0.05,
    reported=(Reported("UCF-101, loss without pretraining", 14.0, "points", NOTES),),
    gates=(Gate("scratch", "accuracy", above="chance_accuracy"),),
    explanation="With the same labels and steps {treatment.mean:.3f} against {baseline.mean:.3f} "
    "of the held-out clips are named right.",
)
M1B = replace(
    M1,
    id="M1b",
    kind="ours",
    sentence="Whether a sound comes from what is in view is told better by features that learned "
    "from shifted sound than by those that learned from random pairs.",
    treatment=Side("shift", "in_view"),
    baseline=Side("random pairs", "in_view"),
    effect=0.05,
    reported=(),
    gates=(
        Gate("shift", "in_view", above="chance_in_view"),
        Gate("random pairs", "pretext", above=LEARNED),
    ),
    explanation="A linear probe of frozen features, fitted on sixty clips, is right in "
    "{treatment.mean:.3f} and {baseline.mean:.3f} of the held-out clips; by guessing in one half. "
    "Two sources move in every clip, and what is heard is one of them, or a third.",
)
M2B = replace(
    M1B,
    id="M2b",
    sentence="Whether a sound comes from what is in view is told better by features that learned "
    "from shifted sound than by those of an untrained network.",
    baseline=Side("scratch", "in_view"),
    effect=0.1,
    gates=(Gate("shift", "pretext", above=LEARNED),),
    explanation="A linear probe of frozen features, fitted on sixty clips, is right in "
    "{treatment.mean:.3f} of the held-out clips, one of untrained features in {baseline.mean:.3f}.",
)
M3 = replace(
    M1,
    id="M3",
    sentence="Actions are named worse without the sound.",
    baseline=Side("shift, deaf", "accuracy"),
    reported=(Reported("UCF-101, loss without sound", 5.0, "points", NOTES),),
    gates=(Gate("shift, deaf", "accuracy", above="chance_accuracy"),),
    explanation="Both start from the same network; with the features of the sound set to zero "
    "{baseline.mean:.3f} are named right, with them {treatment.mean:.3f}.",
)
M4 = Claim(
    id="M4",
    paper=PAPER,
    sentence="With a single frame the voice in view comes out worse than with a video.",
    experiment=f"{EXPERIMENTS}:separation_experiment",
    treatment=Side("multisensory", "si_sdr_gain"),
    baseline=Side("single frame", "si_sdr_gain"),
    effect=AUDIBLE,
    first_seed=FRESH,
    reported=(
        Reported("on/off loss, video", 11.4, "dB", NOTES),
        Reported("on/off loss, single frame", 14.8, "dB", NOTES),
    ),
    gates=(
        Gate("multisensory", "si_sdr_gain", above="wrong_picture"),
        Gate("single frame", "either", above=SEPARATES),
    ),
    explanation="The SI-SDR of the voice in view changes by {treatment.mean:+.1f} dB against the "
    "mixture with the video and by {baseline.mean:+.1f} dB with its middle frame; with the face of "
    "another clip the gain is {treatment_run[wrong_picture].mean:.1f} dB. Averaged over both "
    "voices, in the better order of the outputs, for which nobody has to know which voice is in "
    "view, the gains are {treatment_run[either].mean:.1f} and {baseline_run[either].mean:.1f} dB. "
    "On/off loss {treatment_run[on_off_loss].mean:.1f} dB and "
    "{baseline_run[on_off_loss].mean:.1f} dB. Most of the difference is which voice comes out: "
    "where one voice is low and one high, and looks could tell, the network with one frame "
    "changes the voice in view by {baseline_run[other_voice].mean:+.1f} dB. It has not learned to "
    "look, which the gate of M5 asks for.",
)
M5 = replace(
    M4,
    id="M5",
    sentence="Motion helps most where both voices are of one kind.",
    treatment=Side("multisensory", "motion_same"),
    baseline=Side("multisensory", "motion_other"),
    reported=(),
    gates=(
        Gate("multisensory", "si_sdr_gain", above="wrong_picture"),
        Gate("multisensory", "still_either", above=SEPARATES),
        # looks have to be learned where they can tell: half of the mixture gains 0 dB
        Gate("single frame", "other_voice", above=0.0),
    ),
    explanation="The video is ahead of its middle frame by {treatment.mean:.1f} dB where both "
    "voices are low or both high, and by {baseline.mean:.1f} dB where they differ. In the paper "
    "voices of one kind are those of one sex.",
)
M6 = replace(
    M4,
    id="M6",
    sentence="Features that learned from shifted sound separate better than features of actions.",
    baseline=Side("action features", "si_sdr_gain"),
    reported=(
        Reported("on/off loss, multisensory features", 11.4, "dB", NOTES),
        Reported("on/off loss, features of Kinetics", 12.3, "dB", NOTES),
    ),
    gates=(
        Gate("multisensory", "si_sdr_gain", above="wrong_picture"),
        Gate("action features", "si_sdr_gain", above="wrong_picture"),
    ),
    explanation="SI-SDR gains of {treatment.mean:.2f} dB and {baseline.mean:.2f} dB. The other "
    "network learned the twelve classes from as many labelled clips in as many steps.",
)
M7 = replace(
    M6,
    id="M7",
    sentence="Early fusion helps: features of the picture alone separate worse.",
    baseline=Side("no early fusion", "si_sdr_gain"),
    reported=(),
    gates=(
        Gate("multisensory", "si_sdr_gain", above="wrong_picture"),
        Gate("no early fusion", "si_sdr_gain", above="wrong_picture"),
    ),
    explanation="SI-SDR gains of {treatment.mean:.2f} dB with features that have heard the "
    "mixture and of {baseline.mean:.2f} dB with features of the picture alone; the U-Net hears the "
    "mixture in both.",
)
M8 = Claim(
    id="M8",
    paper=PAPER,
    sentence="It does not matter whether the network hears a waveform or a spectrogram.",
    experiment=f"{EXPERIMENTS}:pretext_experiment",
    treatment=Side("waveform", "accuracy"),
    baseline=Side("shift", "accuracy"),
    direction="equal",
    effect=0.03,
    first_seed=FRESH,
    gates=(Gate("shift", "accuracy", above="chance_accuracy"),),
    explanation="Aligned is told from shifted sound in {treatment.mean:.3f} of the held-out "
    "excerpts with waveforms and in {baseline.mean:.3f} with log-mels.",
)
M9 = replace(
    M8,
    id="M9",
    kind="ours",
    sentence="Learning from shifted sound stays at chance longer than learning from random pairs.",
    treatment=Side("shift", "plateau"),
    baseline=Side("random pairs", "plateau"),
    direction="higher",
    effect=0.05,
    gates=(
        Gate("shift", "accuracy", above=LEARNED),
        Gate("random pairs", "accuracy", above=LEARNED),
    ),
    explanation="A held-out accuracy of .6 is exceeded after {treatment.mean:.0%} of the training "
    "with shifted sound and after {baseline.mean:.0%} with random pairs. It is measured ten times "
    "in a training, so that each run is known to a tenth.",
)

CLAIMS = (M1, M1B, M2, M2B, M3, M4, M5, M6, M7, M8, M9)
