"""Trials of the papers on drawn scenes: does each reach what its chapter needs?"""

from __future__ import annotations

from dataclasses import replace

from avcore.papers import avc
from avcore.papers.avs import experiments as avs
from avcore.papers.csol import experiments as csol
from avcore.papers.denseav import experiments as dense
from avcore.papers.denseav.scenes import counts_of
from avcore.papers.denseav.training import Recipe
from avcore.papers.ier import experiments as ier
from avcore.papers.multisensory import experiments as multisensory
from avcore.sceptic.volumes import volume_experiment
from avcore.stage import AssetBank

LEAST = 0.01  # a share that ratios are taken over has at least this value


def shift_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Multisensory's pretext task: held-out accuracy with both senses and with one, and its maps.

    "shift_pointing" is how often the class activation map's peak lies on what sounds.
    """
    out = {}
    for senses in ("shift", "sound only", "picture only"):
        values = multisensory.pretext_experiment(senses, seed, scale, device)
        seconds = multisensory.pretrained(senses, seed, scale, device)[1].seconds
        suffix = "" if senses == "shift" else f"_{senses.replace(' ', '_')}"
        out[f"shift_accuracy{suffix}"] = values["accuracy"]
        out[f"shift_training_seconds{suffix}"] = seconds
        if senses == "shift":
            out["shift_pointing"] = values["pointing"]
    return out


def separation_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Multisensory: actions ahead of learning them from nothing, and the separation of two voices.

    "actions_gain" and "in_view_gain" in points of accuracy; the others in dB over the mixture.
    """
    pretrained, scratch = (
        multisensory.action_experiment(start, seed, scale, device) for start in ("shift", "scratch")
    )
    found = multisensory.separation_experiment("multisensory", seed, scale, device)
    return {
        "actions_gain": 100 * (pretrained["accuracy"] - scratch["accuracy"]),
        "in_view_gain": 100 * (pretrained["in_view"] - scratch["in_view"]),
        "separation_gain": found["si_sdr_gain"],
        "separation_same_voice": found["same_voice"],
        "separation_wrong_picture": found["wrong_picture"],
    }


def correspondence_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """Chapter 02's network against the whole image, on held-out scenes."""
    values = avc.localisation_experiment("max", seed, scale, device)
    return {f"correspondence_{name}": value for name, value in values.items()}


def segmentation_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """AVS with TPAVI on two objects of which one sounds: `avs.evaluation.measure`."""
    values = avs.segmentation_experiment("pair, TPAVI", seed, scale, device)
    return {f"avs_{name}": value for name, value in values.items()}


def dense_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """DenseAV with one head on held-out scenes with sounds: `denseav.experiments.measure`."""
    return dense_values(scale, seed, device, None, counts_of(scale), "denseav")


def dense_values(
    scale: str,
    seed: int,
    device: str,
    bank: AssetBank | None,
    counts: tuple[int, int, int],
    prefix: str,
    longer: float = 1.0,
) -> dict[str, float]:
    """Values of a DenseAV with one head, trained on `counts` scenes for `longer` than usual."""
    data = dense.make_data(("chirp",), scale, seed, bank, counts)
    config = dense.train_config(scale, seed, device)
    config = replace(config, steps=round(longer * config.steps), progress=False)
    model, _ = dense.fit_small(data.train, config, Recipe())
    values = dense.measure(model, data.test["chirp"], Recipe())
    return {f"{prefix}_{name}": value for name, value in values.items()}


def dictionary_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """CSOL drawn: its dictionary, single sources, and collages of two sounding and two silent.

    "solo_iou_over_whole" is IoU@0.5 over that of the whole picture (at least one scene in a
    hundred), "collage_ciou_over_agnostic" CIoU@0.3 over the best class-agnostic rival's.
    """
    solo = csol.solo_experiment("alternating", seed, scale, device)
    collage = csol.class_aware_experiment("CSOL", seed, scale, device)
    rival = max(collage["agnostic_ciou@0.3"], LEAST)
    return {
        "dictionary_nmi": solo["held_out_nmi"],
        "solo_iou_over_whole": solo["iou@0.5"] / max(solo["whole_iou@0.5"], LEAST),
        "solo_pointing": solo["pointing"],
        "collage_ciou": collage["ciou@0.3"],
        "collage_ciou_over_agnostic": collage["ciou@0.3"] / rival,
        "collage_nsa": collage["nsa"],
    }


def interference_trial(scale: str, seed: int = 0, device: str = "auto") -> dict[str, float]:
    """IEr drawn: the quieter of two sources found at 10 dB, and sounds from off screen."""
    ours, theirs = (volume_experiment(name, seed, scale, device) for name in ("IEr", "CSOL"))
    with_filter, without = (
        ier.referrer_experiment(name, seed, scale, device)["off_screen"]
        for name in ("both filters", "no off-screen filter")
    )
    return {
        "quieter_found": ours["quiet@10"],
        "quieter_found_ahead_of_csol": ours["quiet@10"] - theirs["quiet@10"],
        "false_activation": with_filter,
        "false_activation_over_without": with_filter / max(without, LEAST),
    }
