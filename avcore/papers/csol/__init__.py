"""CSOL: which object is sounding, and which kind it is (Hu et al., NeurIPS 2020 and TPAMI 2021).

`model`   the published networks of both stages
"""

from avcore.papers.csol.model import ClassAware, Localised, StageOne, StageTwo

__all__ = ["ClassAware", "Localised", "StageOne", "StageTwo"]
