"""What IEr's text leaves open, and what the book decided."""

from __future__ import annotations

from typing import NamedTuple


class Choice(NamedTuple):
    """One decision: what was open, what was chosen, why, and what else was tried.

    Trials were judged on validation scenes of one seed alone.
    """

    open: str
    chosen: str
    why: str
    tried: str


CHOICES = (
    Choice(
        "stage one",
        "CSOL's, with one round of pseudo-labels; one negative picture for each sound",
        "the paper says that it follows CSOL; both then start from the same network",
        "nothing else",
    ),
    Choice(
        "shape of the identifier's MLP (“512-128-128”)",
        "hidden layers of 512 and 128, then a step of 128 for each class",
        "the widths can be read in several ways; this one gives K steps",
        "the same step for all classes: worse, the more the louder the other sound is",
    ),
    Choice(
        "what “mid-level” features are",
        "maps of the ear's last convolution, pooled by maximum and mean",
        "the last features before anything is said about classes",
        "the ear's output; claim I2 compares the two",
    ),
    Choice(
        "what trains besides the MLP",
        "the ear as well, from where stage one left it; prototypes stay",
        "the public notes speak of a feature extractor that learns with the steps",
        "nothing else",
    ),
    Choice(
        "scale of the cosine before the BCE",
        "a learned scale and bias",
        "a cosine alone cannot reach the probabilities 0 and 1",
        "nothing else",
    ),
    Choice(
        "levels in mixtures",
        "the first at 0 dB, the others 0 to 20 dB below it, added in power",
        "the paper's subject is unequal volumes, and names no levels",
        "equal levels: much worse at 20 dB",
    ),
    Choice(
        "pooling of the correspondence stage, the mean or the maximum",
        "the maximum",
        "an object is a small part of a picture, and a mean would mostly see what is around it",
        "nothing else",
    ),
    Choice(
        "loss for mixtures",
        "a binary cross-entropy for each class; a divergence teaches the referrer only",
        "several classes are heard at once, and each is asked for by itself",
        "nothing else",
    ),
    Choice(
        "optimiser, rates and batches",
        "AdamW with a cosine schedule; 0.002 for stage one, 0.001 for the identifier, 0.0003 for "
        "the referrer; batches of 64 in the records, but 32 for stage one",
        "what trained steadily on validation scenes in the time of a chapter",
        "a larger rate for the referrer (see the last row)",
    ),
    Choice(
        "the curriculum's course",
        "the share of mixtures grows linearly; two sources in the first half, up to four then",
        "only the end points are given",
        "a constant share of 0.5: worse at 20 dB; of 0.9: as good",
    ),
    Choice(
        "what the class maps are before the filters",
        "a softmax over the cosines with the dictionary's entries less their mean",
        "maps of absent classes become small, which the off-screen filter needs",
        "a sigmoid of each: more silent objects light up",
    ),
    Choice(
        "whether the identifier's answer enters the class-specific maps",
        "it multiplies them: a class must be heard, and heard here",
        "the location alone leaves much of what is silent",
        "the location alone: fewer of the objects that sound are told from silent ones",
    ),
    Choice(
        "whether the off-screen filter works in the test",
        "it multiplies the maps there too",
        "a map has a greatest value somewhere even if its object is out of view",
        "only in the training: most sounds off screen still light something up",
    ),
    Choice(
        "thresholds of the five masks",
        "0.3, 0.3 of the batch's maximum, half of the picture's, three times the batch's mean; "
        "the map's mean has none",
        "no values are given, and a mask is only as good as its threshold",
        "0.1 to 0.7 of each: these told best what is in view from what is off screen",
    ),
    Choice(
        "how much of the picture must be inside the mask",
        "a twentieth counts as wholly in view",
        "without a limit the filter measures how large an object is; the mean has none",
        "no limit: large objects outshine small ones",
    ),
    Choice(
        "training of the referrer",
        "the KL divergence, and half of stage one's loss on solos; a third of the usual rate",
        "with the divergence alone the maps grow and pointing falls",
        "the divergence alone; CSOL's location loss on the mixtures; the usual rate: all worse",
    ),
)
