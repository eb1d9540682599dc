"""CSOL: which object is sounding, and which kind it is (Hu et al., NeurIPS 2020 and TPAMI 2021).

`model`        the published networks of both stages
`small`        both in one, on what a frozen eye has seen; `scenes` what it sees
`dictionary`   what objects look like, by cluster, found without any label
`losses`       of both stages; `training` the stages
`evaluation`   solo and class-aware localisation, and what never listens
`experiments`  claims C1 to C5
"""

from avcore.papers.csol.model import ClassAware, Localised, StageOne, StageTwo

__all__ = ["ClassAware", "Localised", "StageOne", "StageTwo"]
