"""Which picture belongs to which sound, and which head listens to what (DenseAV)."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

import torch

from avcore.metrics.checks import Values, scores_tensor
from avcore.metrics.segmentation import average_precision
from avcore.support import AvcoreError


def recall_at_k(sims: Values, ks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Fraction of queries whose true partner is among the k most similar.

    Parameters
    ----------
    sims
        (N, N) similarity of audio i and image j; partners lie on the diagonal.

    Returns
    -------
    `A_r<k>` ranks the audios of an image (axis 0), `I_r<k>` the images of an audio (axis 1), as
    DenseAV names them. Equal similarities keep their order, so a constant matrix scores k / N.

    Raises
    ------
    AvcoreError
        When `sims` is not square, or a k is not a whole number between 1 and N.
    """
    sims = scores_tensor(sims, "sims", dims=2)
    if sims.shape[0] != sims.shape[1]:
        raise AvcoreError(f"sims must be square, got the shape {tuple(sims.shape)}")
    if not ks or not all(isinstance(k, Integral) and 1 <= k <= len(sims) for k in ks):
        raise AvcoreError(
            f"k must be a whole number between 1 and the {len(sims)} candidates, got {tuple(ks)}"
        )
    recalls: dict[str, float] = {}
    partners = torch.arange(len(sims), device=sims.device)
    for name, rows in (("A", sims.T), ("I", sims)):
        order = rows.argsort(dim=1, descending=True, stable=True)  # (N, N), best first
        rank = (order == partners[:, None]).int().argmax(1)
        recalls |= {f"{name}_r{k}": (rank < k).float().mean().item() for k in ks}
    return recalls


def head_disentanglement(word_scores: Values, sound_scores: Values) -> dict[str, float]:
    """Do the two heads split words from sounds? DenseAV's Pred.Dis and Act.Dis.

    Each head's scores are scaled to [0, 1] over both sets together. `pred_dis` is how well a
    head's score tells its set from the other (mean average precision); `act_dis` is how quiet
    the heads are on the set that is not theirs. Both take the better of the two assignments of
    heads to sets, so 0.5 is not the floor. Source: DenseAV `train.py`.

    Parameters
    ----------
    word_scores, sound_scores
        (n, 2) and (m, 2): similarity of matched pairs by head.

    Returns
    -------
    `pred_dis`, `act_dis` in [0, 1]. A head that never varies counts as always quiet.

    Raises
    ------
    AvcoreError
        When there are not two heads.
    """
    words = scores_tensor(word_scores, "word_scores", dims=2).double()
    sounds = scores_tensor(sound_scores, "sound_scores", dims=2).double()
    if words.shape[1] != 2 or sounds.shape[1] != 2:
        raise AvcoreError(f"two heads expected, got {words.shape[1]} and {sounds.shape[1]}")
    scores = torch.cat([words, sounds])
    low, high = scores.amin(0), scores.amax(0)
    scores = (scores - low) / torch.where(high > low, high - low, 1.0)
    is_word = torch.arange(len(scores), device=scores.device) < len(words)
    pred, act = [], []
    for word, sound in ((0, 1), (1, 0)):  # which head belongs to which set
        words_found = average_precision(scores[None, :, word], is_word[None])
        sounds_found = average_precision(scores[None, :, sound], ~is_word[None])
        pred.append((words_found + sounds_found) / 2)
        quiet_on_words = 1 - scores[is_word, sound].mean().item()
        quiet_on_sounds = 1 - scores[~is_word, word].mean().item()
        act.append((quiet_on_words + quiet_on_sounds) / 2)
    return {"pred_dis": max(pred), "act_dis": max(act)}
