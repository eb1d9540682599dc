"""IEr: erasing what interferes in scenes of many sounds (Liu et al., AAAI 2022).

`identifier`   one sound, K features: prototypes and distinguishing steps
`referrer`     class maps, and the filters for silent objects and for sounds from off screen
`training`     mixtures made of solos, the curriculum, and both trainings
`evaluation`   who is found, and what lights up that should not
`experiments`  claims I1 to I7; `lessons` what chapter 30 does beside them
`task`         its training on MUSIC or VGGSound, `learner` the whole network of it

No code of the authors is public; what their text leaves open is decided in `CHOICES`, with the
reason and with what else was tried. Stage one, on which both parts build, is that of
`avcore.class_aware`.
"""

from avcore.papers.ier.choices import CHOICES, Choice
from avcore.papers.ier.identifier import Identified, Identifier
from avcore.papers.ier.referrer import Referred, Referrer

__all__ = ["CHOICES", "Choice", "Identified", "Identifier", "Referred", "Referrer"]
