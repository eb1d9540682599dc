"""CSOL: which object is sounding, and which kind it is (Hu et al., NeurIPS 2020 and TPAMI 2021).

`model`        the published networks of both stages
`losses`       of stage two, and `training`, which lowers them
`experiments`  claims C1 to C5, beside the `rivals` of its tables
`task`         its training on MUSIC or VGGSound; `published` both networks in one, for it

Stage one, the object dictionary and the small network stand in `avcore.class_aware`.
"""

from avcore.papers.csol.model import ClassAware, Localised, StageOne, StageTwo

__all__ = ["ClassAware", "Localised", "StageOne", "StageTwo"]
