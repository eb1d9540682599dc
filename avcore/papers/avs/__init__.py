"""AVS: audio-visual segmentation (Zhou et al., ECCV 2022).

`tpavi`   the sound reaches every pixel, exactly and without the large matrix
`model`   encoder, dilated heads, decoder; the published models
`losses`  cross-entropy of masks, masked audio-visual matching
"""

from avcore.papers.avs.losses import all_frames_bce, avm_loss, first_frame_bce
from avcore.papers.avs.model import AVSModel, Segmented
from avcore.papers.avs.tpavi import TPAVI

__all__ = ["TPAVI", "AVSModel", "Segmented", "all_frames_bce", "avm_loss", "first_frame_bce"]
