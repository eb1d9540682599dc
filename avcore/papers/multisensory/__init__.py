"""Multisensory: self-supervised audio-visual features (Owens and Efros, ECCV 2018).

`model`  the early-fusion network, small
`shift`  its pretext task: aligned or shifted sound
"""

from avcore.papers.multisensory.model import EarlyFusion
from avcore.papers.multisensory.shift import Shift, shifted_pairs

__all__ = ["EarlyFusion", "Shift", "shifted_pairs"]
