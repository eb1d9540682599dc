"""The claims of the book, one module a paper, in the order of the chapters."""

from __future__ import annotations

from avcore.claims.catalogue import avc, avs, csol, denseav, ier, multisensory, sceptic
from avcore.claims.claim import Claim
from avcore.support import choose

CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for paper in (avc, multisensory, csol, ier, avs, denseav, sceptic)
    for claim in paper.CLAIMS
}


def find_claim(claim_id: str, claims: dict[str, Claim] | None = None) -> Claim:
    """The claim called `claim_id`; an unknown one is an `AvcoreError` that lists the known."""
    claims = CLAIMS if claims is None else claims
    return choose(claims, claim_id, "claim")
