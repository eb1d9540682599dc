"""Everything public can be pickled: for processes that load data, and for a cluster's queues."""

from __future__ import annotations

import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from avcore.claims import CLAIMS
from avcore.nn.hubert import Hubert
from avcore.nn.vggish import VGGish
from avcore.nn.vit import VisionTransformer
from avcore.papers import avs, denseav
from avcore.papers.avc import Correspondence
from avcore.papers.multisensory import EarlyFusion, Separator
from avcore.stage import COLLAGE, MOVING, STILL, ProceduralBank, SceneDataset, Stage, render
from avcore.stage.compose import later
from avcore.stage.media import MediaBank
from avcore.support import Splits
from avcore.training import Shuffled, TrainConfig
from tests.media_tree import write_tree

TALKING = replace(MOVING, names=(1, 1), talkers=(1, 1), size=32, frames=2)


def copied(value):
    return pickle.loads(pickle.dumps(value))


@pytest.mark.parametrize("config", [STILL, MOVING, COLLAGE, TALKING])
def test_a_stage_draws_the_same_scenes_after_its_journey(config):
    stage = Stage(config, seed=3)
    scene, again = stage.scene("train", 5), copied(stage).scene("train", 5)
    assert (scene.frames == again.frames).all() and (scene.stems == again.stems).all()
    assert (copied(scene).masks == scene.masks).all()


def test_performances_play_the_same_after_their_journey():
    bank, rng = ProceduralBank(), np.random.default_rng(0)
    performances = [
        bank.performance(0, rng, "train", 1.0),
        bank.speak(0, rng, "train", 1.0),
        bank.talker(rng, "train", 1.0)[1],
        later(bank.speak(0, rng, "train", 1.0), margin=0.5, whole=2.0),
    ]
    for performance in performances:
        assert (copied(performance).render(8000) == performance.render(8000)).all()


@pytest.mark.parametrize(
    "value",
    [
        ProceduralBank(),
        SceneDataset(Stage(STILL), "train", 4),
        TrainConfig(),
        Shuffled(torch.arange(4), 2),
        Splits(1, 2, 3),
        avs.ClipMaker("MS3"),
        avs.Recipe(),
        denseav.Recipe(),
        *CLAIMS.values(),
    ],
    ids=lambda value: getattr(value, "id", type(value).__name__),
)
def test_a_public_value_survives_a_pickle(value):
    assert type(copied(value)) is type(value)


def test_batches_and_media_banks_survive_a_pickle(tmp_path):
    batch = render(Stage(STILL), "train", 2)
    assert copied(batch).frames.equal(batch.frames)
    bank = MediaBank(write_tree(tmp_path))
    assert copied(bank).classes == bank.classes


@pytest.mark.parametrize(
    "make",
    [
        Correspondence,
        EarlyFusion,
        lambda: Separator(EarlyFusion()),
        avs.SmallAVS,
        avs.small_avs,
        denseav.small_denseav,
        avs.AVSModel.published,
        VGGish,
        partial(Hubert, width=48, layers=1, heads=2),
        partial(VisionTransformer, lora_rank=2),
    ],
    ids=lambda make: getattr(make, "__name__", "partial"),
)
def test_networks_keep_their_weights(make):
    model = make()
    weights = copied(model).state_dict()
    assert all(value.equal(weights[name]) for name, value in model.state_dict().items())
