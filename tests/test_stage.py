"""The stage: the same scene everywhere, truth that agrees with pixels and samples, clear errors."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from torch.utils.data import DataLoader

from avcore.stage import (
    COLLAGE,
    MOVING,
    STILL,
    ProceduralBank,
    SceneConfig,
    SceneDataset,
    Stage,
    collate,
    render,
)
from avcore.stage.scene import CONTROL_RATE, SPLITS
from avcore.support import AvcoreError

BUSY = SceneConfig(
    size=64, frames=8, margin=0.5, objects=(3, 3), sounding=(2, 2), offscreen=(1, 1),
    names=(1, 1), talkers=(1, 1), snr_db=(10, 10), diameter=(0.3, 0.4), level_db=(-9, 3),
)  # fmt: skip


def digest(scene) -> str:
    parts = (scene.frames, scene.waveform, scene.stems, scene.noise, scene.masks, scene.times)
    return hashlib.sha256(
        b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
    ).hexdigest()


@pytest.mark.parametrize("config", [STILL, MOVING, COLLAGE, BUSY])
def test_a_scene_depends_on_seed_split_and_index_alone(config):
    stage = Stage(config)
    forwards = [digest(stage.scene("train", index)) for index in range(3)]
    backwards = [digest(Stage(config).scene("train", index)) for index in (2, 1, 0)]
    assert forwards == backwards[::-1]
    others = {digest(stage.scene("val", 0)), digest(Stage(config, seed=1).scene("train", 0))}
    assert len(others | set(forwards)) == 5


def test_another_process_makes_the_same_bytes():
    program = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "from test_stage import BUSY, Stage, digest\n"
        "print(digest(Stage(BUSY).scene('test', 5)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == digest(Stage(BUSY).scene("test", 5))


def test_worker_processes_change_nothing():
    alone = render(Stage(MOVING), "val", 6, workers=0, batch=6)
    together = render(Stage(MOVING), "val", 6, workers=2, batch=2)
    for name in ("frames", "waveform", "sound", "masks", "class_id", "visible", "sounding"):
        assert getattr(alone, name).equal(getattr(together, name)), name


def test_the_mix_is_the_sum_of_its_stems():
    for index in range(5):
        scene = Stage(BUSY).scene("train", index)
        margin = round(0.5 * scene.config.sample_rate)
        clip = slice(margin, margin + scene.config.sample_rate)
        np.testing.assert_allclose(
            scene.waveform, scene.stems[:, clip].sum(0) + scene.noise[clip], atol=1e-6
        )
        assert np.abs(scene.stems.sum(0) + scene.noise).max() <= 1


def test_only_sounding_sources_are_heard_and_only_visible_ones_seen():
    kinds = set()
    for index in range(10):
        scene = Stage(BUSY).scene("train", index)
        for source, stem, mask in zip(scene.sources, scene.stems, scene.masks, strict=True):
            kinds.add((source.kind, source.visible))
            assert source.sounding == bool(np.abs(stem).max() > 0)
            assert source.sounding == np.isfinite(source.level_db)
            assert source.visible or not mask.any()
            assert source.visible or source.sounding
        assert sum(source.sounding for source in scene.sources if source.visible) == 2
    assert kinds == {("object", True), ("object", False), ("talker", True), ("name", False)}


def test_masks_are_the_pixels_that_an_object_changes():
    """Where no mask is, the picture is the background: it does not change over time."""
    config = replace(MOVING, objects=(2, 2))
    for index in range(4):
        scene = Stage(config).scene("train", index)
        moved = (np.abs(np.diff(scene.frames.astype(int), axis=0)) > 24).any(-1)
        covered = scene.masks.any((0, 1))
        near = covered | np.roll(covered, 1, 0) | np.roll(covered, -1, 0)
        near = near | np.roll(near, 1, 1) | np.roll(near, -1, 1)
        assert moved.any()
        assert not (moved.any(0) & ~near).any()
        assert (scene.masks.sum(0) <= 1).all()


def test_levels_are_as_stated():
    scene = Stage(replace(STILL, sounding=(2, 2), level_db=(-12, 0))).scene("train", 3)
    for source, stem in zip(scene.sources, scene.stems, strict=True):
        measured = 20 * np.log10(np.sqrt(np.mean(stem.astype(float) ** 2)) / 0.05)
        assert measured == pytest.approx(source.level_db, abs=0.05)


def test_noise_has_the_stated_ratio():
    scene = Stage(replace(STILL, snr_db=(6, 6))).scene("train", 0)
    ratio = 20 * np.log10(scene.stems.sum(0).std() / scene.noise.std())
    assert ratio == pytest.approx(6, abs=0.1)


@pytest.mark.parametrize("name", ["guitar", "xylophone", "drum", "bell", "clock"])
def test_a_struck_thing_sounds_and_moves_at_its_onsets(name):
    bank = ProceduralBank()
    act = bank.performance(bank.classes.index(name), np.random.default_rng(4), "train", 2.0)
    envelope = np.abs(act.render(16_000)).reshape(-1, 160).max(1)  # 10 ms steps
    inside = act.onsets[(act.onsets > 0.1) & (act.onsets < 1.9)]
    assert len(inside) >= 2
    for onset in inside:
        step = round(onset * CONTROL_RATE)
        assert envelope[step : step + 4].max() > 1.3 * envelope[step - 3 : step - 1].max()
        assert act.drive[step - 1 : step + 2].max() > act.drive[step - 6]


def test_silent_things_move_out_of_time():
    """A silent object's motion follows onsets of its own, not those of the sound."""
    scene = Stage(replace(MOVING, objects=(2, 2), sounding=(1, 1))).scene("train", 1)
    heard, silent = sorted(scene.sources, key=lambda source: not source.sounding)
    assert silent.drive.max() > 0.3
    assert abs(np.corrcoef(heard.drive, silent.drive)[0, 1]) < 0.9


def test_talkers_open_their_mouths_when_they_speak():
    config = SceneConfig(frames=32, fps=16, duration=2.0, objects=(1, 1), talkers=(1, 1))
    correlations = []
    for index in range(6):
        scene = Stage(config).scene("test", index)
        source = scene.sources[0]
        assert source.kind == "talker" and source.words and source.voice.split()[1] == "test"
        loudness = np.abs(scene.waveform).reshape(32, -1).mean(1)
        correlations.append(np.corrcoef(loudness, source.drive)[0, 1])
    assert np.mean(correlations) > 0.4


def test_spoken_names_have_word_timings():
    config = replace(STILL, sounding=(0, 0), names=(1, 1))
    for index in range(6):
        scene = Stage(config).scene("val", index)
        (name,) = (source for source in scene.sources if source.kind == "name")
        (word,) = name.words
        assert word.text == scene.sources[0].name or word.text == scene.sources[1].name
        energy = scene.waveform**2
        inside = energy[int(word.start * 16_000) : int(word.end * 16_000)].sum()
        assert inside > 0.98 * energy.sum()
        assert scene.mask(class_id=word.class_id).any()


def test_voices_are_held_out():
    seen = {split: set() for split in SPLITS}
    config = replace(STILL, sounding=(0, 0), names=(1, 1))
    for split, names in seen.items():
        names.update(Stage(config).scene(split, i).sources[-1].voice for i in range(60))
    assert not seen["train"] & seen["test"] and not seen["train"] & seen["val"]
    assert all(len(names) > 5 for names in seen.values())


def test_a_collage_has_four_tiles_with_one_object_each():
    scene = Stage(COLLAGE).scene("train", 2)
    half = COLLAGE.size // 2
    tiles = [(slice(r, r + half), slice(c, c + half)) for r in (0, half) for c in (0, half)]
    for mask, (rows, columns) in zip(scene.masks[:, 0], tiles, strict=True):
        assert mask[rows, columns].sum() > 0.95 * mask.sum() > 0
    assert len({source.class_id for source in scene.sources}) == 4


def test_a_shifted_window_is_the_same_sound_later():
    scene = Stage(MOVING).scene("train", 0)
    half = scene.config.sample_rate // 2
    np.testing.assert_array_equal(scene.window(0.5)[:half], scene.waveform[half:])
    with pytest.raises(AvcoreError, match=r"beyond the margin of 1\.0 s"):
        scene.window(1.5)


def test_boxes_hold_their_masks():
    scene = Stage(MOVING).scene("train", 3)
    for mask, box in zip(scene.masks[:, 0], scene.boxes()[:, 0], strict=True):
        x0, y0, x1, y1 = box
        assert mask[y0:y1, x0:x1].sum() == mask.sum()
        assert mask[y0].any() and mask[:, x1 - 1].any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layout": "spiral"}, "unknown layout 'spiral'"),
        ({"objects": (0, 2)}, "objects wants 1 to 6"),
        ({"objects": (3, 2)}, "objects wants"),
        ({"layout": "collage"}, "exactly 4 objects"),
        ({"sample_rate": 0}, "must be positive"),
        ({"sounding": (3, 3)}, "sounding"),
        ({"talkers": (3, 3)}, "talkers"),
    ],
)
def test_impossible_conditions_are_refused(change, message):
    with pytest.raises(AvcoreError, match=message):
        replace(STILL, **change)


def test_unknown_splits_and_too_many_classes_are_refused():
    with pytest.raises(AvcoreError, match="of split 'trian'"):
        Stage().scene("trian", 0)
    with pytest.raises(AvcoreError, match="14 different classes"):
        Stage(replace(STILL, objects=(6, 6), offscreen=(8, 8)))


def test_batches_pad_missing_sources():
    batch = render(Stage(replace(STILL, objects=(1, 3), sounding=(1, 1))), "train", 12)
    missing = batch.class_id == -1
    assert missing.any()
    assert not (batch.visible & missing).any()
    assert not batch.masks[missing].any()
    target = batch.target()[:, 0]
    assert (target.flatten(1).sum(1) > 0).float().mean() > 0.9
    assert not (target & batch.target(sounding=False)[:, 0]).any()


def test_scenes_with_equally_many_sources_are_batched_by_torch_itself():
    data = SceneDataset(Stage(STILL), "train", 4, start=2)
    (batch,) = DataLoader(data, batch_size=4)
    expected = render(Stage(STILL), "train", 4, start=2)
    assert set(batch) == {field.name for field in fields(expected)}
    assert all(batch[name].equal(getattr(expected, name)) for name in batch)


def test_scenes_and_their_tensors_are_put_together_alike():
    data = SceneDataset(Stage(replace(STILL, objects=(1, 3), sounding=(1, 1))), "train", 6)
    both = collate([data[k] for k in range(6)]), collate([data.scene(k) for k in range(6)])
    assert all(getattr(both[0], f.name).equal(getattr(both[1], f.name)) for f in fields(both[0]))
    with pytest.raises(IndexError):
        data[6]
