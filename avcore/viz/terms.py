"""What the measures of the claims are called in tables and sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

TERMS = {
    "act_dis": "Act.Dis",
    "agnostic_ciou@0.3": "CIoU@0.3 of the best rival",
    "ahead": "how far retrieval is ahead of pointing",
    "ap": "average precision",
    "ap@4": "average precision of four sources",
    "area": "area marked",
    "ciou@0.3": "CIoU@0.3",
    "collapsed": "collapsed trainings",
    "f_by_clip": "F clip by clip",
    "f_whole": "F of all clips at once",
    "gain@0": "gain in naming at 0 dB",
    "gain@20": "gain in naming at 20 dB",
    "gain_ciou@0.3": "gain in CIoU@0.3",
    "gain_miou": "gain in mean IoU",
    "half": "one half",
    "half_right": "right photograph",
    "in_view": "accuracy of “in view”",
    "in_view_accuracy": "in-view accuracy",
    "iou@0.5": "IoU@0.5",
    "miou": "mean IoU",
    "miou_filled": "mean IoU of frames with a source",
    "motion_other": "gain by motion with different voices",
    "motion_same": "gain by motion with voices of one kind",
    "named@20": "quieter source named at 20 dB",
    "negative_area": "area marked on negatives",
    "nsa": "NSA",
    "off_screen": "false activation from off screen",
    "one_class": "pointing with one class",
    "other_voice": "gain in SI-SDR where the voices differ",
    "plateau": "share of the training on the plateau",
    "pred_dis": "Pred.Dis",
    "quiet@10": "quieter source found at 10 dB",
    "si_sdr_gain": "gain in SI-SDR, dB",
    "silence_area": "area marked in silence",
    "spikes": "loss spikes",
    "top1": "top-1 accuracy",
    "two_classes": "pointing with two classes",
    "unheard_share": "share reached without listening",
    "wrong_sound_half_right": "right photograph with a wrong sound",
    "wrong_sound_pointing": "pointing with a wrong sound",
}


def term(metric: str) -> str:
    """The standard term for a value of a run; its own name where that is one."""
    return TERMS.get(metric, metric)


def compared(record: Mapping[str, Any]) -> str:
    """The measures of both sides of a claim as a difference; one where both are the same."""
    sides = (record.get("treatment"), record.get("baseline"))
    return " − ".join(dict.fromkeys(term(side["metric"]) for side in sides if side))


def repeated_measure(record: Mapping[str, Any]) -> str:
    """What the noise of a record is of: the difference, or the first side's score."""
    of_both = record["noise"].get("of") == "difference"
    return compared(record) if of_both else term(record["treatment"]["metric"])


def in_terms(gate: str) -> str:
    """A failed gate of a record, "variant: metric above …", with the standard terms."""
    variant, colon, condition = gate.rpartition(": ")
    return variant + colon + " ".join(map(term, condition.split(" ")))
