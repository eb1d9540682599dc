"""AVS: audio-visual segmentation (Zhou et al., ECCV 2022).

`tpavi`        the sound reaches every pixel, exactly and without the large matrix
`fusion`       what may stand in its place: addition, the frames alone
`model`        encoder, dilated heads, decoder; the published models
`small`        the same for clips of the stage
`losses`       cross-entropy of masks, masked audio-visual matching
`scenes`       clips of five seconds for the two settings, S4 and MS3
`naming`       what both streams learn before segmentation begins
`training`     the loop; `evaluation` its scores, as coded and without their pathologies
`localizers`   localisation without masks, to compare with
`experiments`  claims A1 to A8
`listening`    the networks for AVSBench; `task` their training and scores there
"""

from avcore.papers.avs.evaluation import f_by_batch, other_sounds, scores, trivial
from avcore.papers.avs.fusion import Addition, TemporalConvolution, VideoSelfAttention
from avcore.papers.avs.losses import all_frames_bce, avm_loss, first_frame_bce
from avcore.papers.avs.model import AVSModel, Segmented
from avcore.papers.avs.naming import Namer, listen, teach
from avcore.papers.avs.scenes import SETTINGS, ClipMaker, Clips, Setting
from avcore.papers.avs.small import FUSIONS, small_avs
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
    "Namer",
    "Recipe",
    "Segmented",
    "Setting",
    "TemporalConvolution",
    "VideoSelfAttention",
    "all_frames_bce",
    "avm_loss",
    "f_by_batch",
    "first_frame_bce",
    "listen",
    "other_sounds",
    "scores",
    "segment",
    "small_avs",
    "teach",
    "total_loss",
    "train",
    "trivial",
]
