"""Trials of the stage and of the papers on it: does each reach what the book needs?

Each trial is a function of (scale, seed, device) that gives figures by name. They are recorded by
`avcore.bench.record_trial` and run at smoke size in the tests. Modules:

`stage`        words, sounds, and probes for what would give the answer away
`drawn`        the papers on drawn scenes
`photographs`  the papers on photographs and people's voices, which have to be fetched
`recordings`   photographs again: how new may a recording be?
"""

from __future__ import annotations

from avcore.trials.drawn import (
    correspondence_trial,
    dense_trial,
    dictionary_trial,
    interference_trial,
    segmentation_trial,
    separation_trial,
    shift_trial,
)
from avcore.trials.photographs import (
    people_trial,
    photograph_dense_trial,
    photograph_dictionary_trial,
    photograph_segmentation_trial,
    photograph_trial,
)
from avcore.trials.recordings import photograph_collage_trial, photograph_interference_trial
from avcore.trials.stage import probe_trial, sound_trial, word_trial

__all__ = ["TRIALS"]

TRIALS = {
    "shift": shift_trial,
    "separation": separation_trial,
    "words": word_trial,
    "sounds": sound_trial,
    "probes": probe_trial,
    "photographs": photograph_trial,
    "correspondence": correspondence_trial,
    "segmentation": segmentation_trial,
    "photographs-segmentation": photograph_segmentation_trial,
    "denseav": dense_trial,
    "photographs-denseav": photograph_dense_trial,
    "people": people_trial,
    "dictionary": dictionary_trial,
    "photographs-dictionary": photograph_dictionary_trial,
    "photographs-collage": photograph_collage_trial,
    "interference": interference_trial,
    "photographs-interference": photograph_interference_trial,
}
