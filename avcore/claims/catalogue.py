"""The claims of the book, in the order of its chapters."""

from __future__ import annotations

from avcore.claims.claim import Claim
from avcore.support import AvcoreError

C7 = Claim(
    id="C7",
    paper="ours, on the correspondence network of CSOL (TPAMI 2021)",
    sentence="Taking the maximum of the similarity map over space localises the sounding object "
    "better than taking its mean.",
    experiment="avcore.papers.avc:localisation_experiment",
    treatment="max",
    baseline="mean",
    metric="iou",
    direction="higher",
    explanation="At quick scale the training ends while the loss of both still falls, and the "
    "seeds disagree. A training at full scale sees about thirty times as many examples; it is "
    "the fairer test and has not been recorded yet.",
)

CLAIMS: dict[str, Claim] = {claim.id: claim for claim in (C7,)}


def find_claim(claim_id: str, claims: dict[str, Claim] | None = None) -> Claim:
    """The claim called `claim_id`; an unknown one is an `AvcoreError` that lists the known."""
    claims = CLAIMS if claims is None else claims
    if claim_id not in claims:
        raise AvcoreError(f"unknown claim {claim_id!r}; the claims are {', '.join(claims)}")
    return claims[claim_id]
