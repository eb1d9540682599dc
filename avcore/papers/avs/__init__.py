"""AVS: audio-visual segmentation (Zhou et al., ECCV 2022).

`tpavi`        the sound reaches every pixel, exactly and without the large matrix
`fusion`       what may stand in its place: addition, the frames alone
`model`        encoder, dilated heads, decoder; the published models
`small`        the same for clips of the stage
`losses`       cross-entropy of masks, masked audio-visual matching
`scenes`       clips of five seconds for the two settings, S4 and MS3
`clips`        what a frozen eye and ear make of them, computed once
`training`     the loop; `evaluation` its scores, as coded and without their pathologies
`localizers`   localisation without masks, to compare with
`experiments`  claims A1 to A8
`listening`    the networks for AVSBench; `task` their training and scores there
"""

from avcore.papers.avs.clips import Clips, draw_clips
from avcore.papers.avs.evaluation import f_by_batch, other_sounds, scores, trivial
from avcore.papers.avs.fusion import Addition, TemporalConvolution, VideoSelfAttention
from avcore.papers.avs.losses import all_frames_bce, avm_loss, first_frame_bce
from avcore.papers.avs.model import AVSModel, Segmented
from avcore.papers.avs.scenes import SETTINGS, ClipMaker, Setting
from avcore.papers.avs.small import FUSIONS, SmallAVS, small_avs
from avcore.papers.avs.tpavi import TPAVI
from avcore.papers.avs.training import Recipe, segment, total_loss, train

__all__ = [
    "FUSIONS",
    "SETTINGS",
    "TPAVI",
    "AVSModel",
    "Addition",
    "ClipMaker",
    "Clips",
    "Recipe",
    "Segmented",
    "Setting",
    "SmallAVS",
    "TemporalConvolution",
    "VideoSelfAttention",
    "all_frames_bce",
    "avm_loss",
    "draw_clips",
    "f_by_batch",
    "first_frame_bce",
    "other_sounds",
    "scores",
    "segment",
    "small_avs",
    "total_loss",
    "train",
    "trivial",
]
