"""Multisensory: self-supervised audio-visual features (Owens and Efros, ECCV 2018).

`clips`         excerpts of clips, and the stage's scenes
`model`         the early-fusion network, small
`shift`         its pretext task: aligned or shifted sound
`localization`  class activation maps
`actions`       fine-tuning on labelled clips
`separation`    on- and off-screen separation by a U-Net that sees
`evaluation`    its scores
`experiments`   the claims
`task`          training by name on real `videos`, by a `learner` of any of them
"""

from avcore.papers.multisensory.actions import ActionNet
from avcore.papers.multisensory.clips import Clips, Excerpts, draw
from avcore.papers.multisensory.model import EarlyFusion
from avcore.papers.multisensory.separation import Mixtures, Separator, separation_loss
from avcore.papers.multisensory.shift import Pairs, Pretext, pretext_loss

__all__ = [
    "ActionNet",
    "Clips",
    "EarlyFusion",
    "Excerpts",
    "Mixtures",
    "Pairs",
    "Pretext",
    "Separator",
    "draw",
    "pretext_loss",
    "separation_loss",
]
