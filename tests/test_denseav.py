"""DenseAV: the published model, training, evaluation, bad input."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from avcore.nn import lora, pretrained
from avcore.nn.lora import LoRALinear
from avcore.papers import denseav
from avcore.papers.denseav import official
from avcore.papers.denseav.experiments import course, two_sets
from avcore.papers.denseav.scenes import Prompted, halves, make_data
from avcore.papers.denseav.training import attended, coarse, gather
from avcore.stage import STILL, Stage, render
from avcore.support import AvcoreError, CheckpointError
from avcore.training import TrainConfig
from tests.pseudo_weights import pseudo_weights

EYE = pytest.mark.skipif(not pretrained.available(), reason="the eye extra is not installed")
CONFIG = TrainConfig(steps=4, batch_size=8, learning_rate=1e-3, progress=False, device="cpu")


@pytest.fixture(scope="module")
def batch():
    return render(Stage(STILL), "train", 16)


@pytest.fixture(scope="module")
def clips(batch):
    return denseav.Clips.of(batch, denseav.small_denseav())


@pytest.fixture(scope="module")
def weights():
    values = pseudo_weights("denseav")
    for key in values:
        if "weight_g" in key:
            values[key] = values[key].abs() + 1
        if values[key].ndim == 2 and "weight" in key:
            values[key] = 0.35 * values[key]
        if "lora_" in key:
            values[key] = 0.3 * values[key]
    return values


# --- the published model -----------------------------------------------------------------------


def test_the_published_encoders_equal_the_authors(repository, weights):
    with np.load(repository / "tests/reference/denseav.npz") as file:
        expected = {
            name: torch.tensor(file[f"denseav_a/{name}"])
            for name in ("image_feats", "audio_feats", "hubert")
        }
    generator = torch.Generator().manual_seed(0)
    image = torch.randn(2, 3, 64, 64, generator=generator)
    waveform = 0.1 * torch.randn(2, 16000, generator=generator)
    model = denseav.DenseAV.from_official(weights)
    with torch.no_grad():
        found = {
            "image_feats": model.encode_image(image)[:, ::4],
            "audio_feats": model.encode_audio(waveform),
            "hubert": model.audio_encoder(waveform)[:, ::16],
        }
        for name, value in found.items():
            torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4)
        lora.fold(model)
        assert not any(isinstance(module, LoRALinear) for module in model.modules())
        torch.testing.assert_close(
            model.encode_image(image)[:, ::4], expected["image_feats"], rtol=1e-4, atol=1e-4
        )


def test_weights_of_another_model_are_named(weights):
    load = denseav.DenseAV.from_official
    with pytest.raises(CheckpointError, match=r"audio_aligner\.token is missing there"):
        load({key: value for key, value in weights.items() if key != "audio_cls"})
    with pytest.raises(CheckpointError, match=r"image_aligner\.layer\.weight is \(3, 3\) there"):
        load({**weights, "image_aligner.layer.weight": torch.zeros(3, 3)})
    with pytest.raises(CheckpointError, match=r"classifier is \(2,\) there, unknown here"):
        load({**weights, "classifier": torch.zeros(2)})
    with pytest.raises(CheckpointError, match="this is not a state dict: 7 is no name"):
        load({**weights, 7: torch.zeros(2)})


def test_the_published_architecture_is_built_untrained_with_lora_to_learn():
    with torch.device("meta"):
        model = denseav.DenseAV.published(heads=2)
    assert sum(value.numel() for value in model.parameters()) > 330e6
    assert model.heads == 2 and model.training
    model.set_aligners_only(False)
    learning = {name for name, value in model.named_parameters() if value.requires_grad}
    assert "log_scale" in learning and any("lora_" in name for name in learning)


def test_pictures_have_one_grid_in_training_and_in_evaluation(batch):
    model = denseav.small_denseav()
    image = batch.frames[:4, 0].float() / 255
    grids = {model.train(mode).encode_image(image).shape for mode in (True, False)}
    assert grids == {(4, 96, 12, 12)}


def test_what_the_fronts_saw_and_heard_gives_the_features_of_the_clips(batch, clips):
    torch.manual_seed(0)
    model = denseav.small_denseav().eval()
    with torch.no_grad():
        image = model.encode_image(batch.frames[:, 0].float() / 255)
        audio = model.encode_audio(batch.waveform)
    features, _ = denseav.encode(model, clips)
    torch.testing.assert_close(features.image, image, rtol=0.02, atol=0.02)  # half precision
    torch.testing.assert_close(features.audio, audio, rtol=0.02, atol=0.02)


@EYE
def test_the_fine_eye_and_the_last_blocks_are_the_eye(batch):
    frozen, tuned = (denseav.small_denseav(start=start).eval() for start in ("frozen", "tuned"))
    image = batch.frames[:2, 0].float() / 255
    with torch.no_grad():
        whole = frozen.image_front(image)
        parts = tuned.image_encoder.layers(tuned.image_front(image))
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-4)


def test_the_training_grid_is_the_mean_of_2_by_2_places(clips):
    features, _ = denseav.encode(denseav.small_denseav(), clips)
    image = coarse(features).image
    expected = features.image.unflatten(-1, (6, 2)).unflatten(-3, (6, 2)).mean((-3, -1))
    torch.testing.assert_close(image, expected)


def test_a_missing_or_foreign_checkpoint_file_says_where_to_get_one(tmp_path):
    with pytest.raises(CheckpointError, match="download denseav"):
        official.load_file(tmp_path / "nothing.ckpt")
    (tmp_path / "text.ckpt").write_text("not weights")
    with pytest.raises(CheckpointError, match="damaged"):
        official.load_file(tmp_path / "text.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(CheckpointError, match="not a checkpoint of DenseAV"):
        official.load_file(tmp_path / "list.ckpt")


def test_the_name_of_a_checkpoint_file_says_how_many_heads(tmp_path, monkeypatch):
    found = []
    monkeypatch.setattr(
        denseav.DenseAV, "from_official", lambda weights, heads, fold: found.append(heads)
    )
    for name in ("denseav_sound", "denseav_2head", "mine"):
        torch.save({"state_dict": {"a": torch.zeros(1)}}, tmp_path / f"{name}.ckpt")
        official.load_file(tmp_path / f"{name}.ckpt")
    assert found == [1, 2, 2]


def test_pictures_and_sounds_are_prepared_as_the_encoders_want_them():
    image = official.prepare_image(torch.rand(1, 3, 300, 400))
    assert image.shape == (1, 3, 224, 224)
    sound = official.prepare_waveform(3 + 0.1 * torch.randn(2, 1000))
    assert sound.mean(-1).abs().max() < 1e-5
    torch.testing.assert_close(sound.std(-1, correction=0), torch.ones(2), rtol=1e-3, atol=0)
    assert official.prepare_waveform(torch.zeros(1, 100)).abs().max() == 0


def test_lora_begins_as_the_layer_it_adapts_and_only_it_learns():
    torch.manual_seed(0)
    layer = LoRALinear(6, 4, rank=2).eval()
    x = torch.randn(3, 6)
    torch.testing.assert_close(layer(x), torch.nn.functional.linear(x, layer.weight, layer.bias))
    layer(x).sum().backward()
    assert layer.weight.grad is None
    assert layer.lora_B.grad.abs().max() > 0
    with pytest.raises(AvcoreError, match="at least 1"):
        LoRALinear(6, 4, rank=0)


# --- training ----------------------------------------------------------------------------------


@pytest.mark.parametrize("pool", ["misa", "mima", "sisa", "global", "cls", "simpool"])
def test_every_weight_that_may_learn_does_and_the_fronts_stay(clips, pool):
    torch.manual_seed(0)
    model = denseav.small_denseav(heads=2)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    history = denseav.train(model, clips, CONFIG, denseav.Recipe(pool=pool))
    still = {name for name, value in model.state_dict().items() if value.equal(before[name])}
    fronts = {name for name in before if name.startswith(("front", "image_front"))}
    assert fronts and fronts <= still
    # class tokens are read by nothing in most trainings; the last bias moves all alike
    may = ("cls_layer", "block", "bias")
    assert all(any(part in name for part in may) for name in still - fronts)
    assert {"loss", "nce", "disentangle", "smoothness"} <= set(history.values)


@pytest.mark.parametrize("start", [pytest.param("tuned", marks=EYE), "scratch"])
def test_backbones_learn_where_the_start_says_so(batch, start):
    torch.manual_seed(0)
    model = denseav.small_denseav(start=start)
    before = {name: value.clone() for name, value in model.named_parameters()}
    denseav.train(model, denseav.Clips.of(batch, model), CONFIG)
    moved = {name for name, value in model.named_parameters() if not value.equal(before[name])}
    for part in ("image_encoder.layers", "audio_encoder.layers"):
        assert any(name.startswith(part) for name in moved)
    assert not any(name.startswith(("front", "image_front")) for name in moved)
    with pytest.raises(AvcoreError, match="unknown start 'warm'"):
        denseav.small_denseav(start="warm")


def test_reruns_agree_and_the_seed_matters(clips):
    def run(seed):
        torch.manual_seed(0)
        model = denseav.small_denseav()
        return denseav.train(model, clips, replace(CONFIG, seed=seed))["nce"]

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_only_the_aligners_learn_in_the_warm_up(batch):
    torch.manual_seed(0)
    model = denseav.small_denseav(start="scratch")
    clips = denseav.Clips.of(batch, model)
    before = [value.clone() for value in model.image_encoder.parameters()]
    seen = []

    def watch(step, values):
        same = zip(before, model.image_encoder.parameters(), strict=True)
        seen.append(all(a.equal(b) for a, b in same))

    history = denseav.train(model, clips, CONFIG, denseav.Recipe(warm_up=2), on_step=watch)
    assert seen == [True, True, False, False]
    assert history.steps == [1, 2, 3, 4]
    with pytest.raises(AvcoreError, match="a warm-up of 4 steps does not fit into 4"):
        denseav.train(model, clips, CONFIG, denseav.Recipe(warm_up=4))


def test_a_weight_of_the_recipe_reaches_the_loss(clips):
    torch.manual_seed(0)
    model = denseav.small_denseav(heads=2)
    features, mask = denseav.encode(model, clips)
    mask[:, -3:] = False
    features = features._replace(log_scale=torch.tensor([-1.0]))
    terms = ("disentangle", "smoothness", "nonnegative", "silence", "balance")
    bare = denseav.Recipe(**dict.fromkeys(terms, 0.0))
    base = denseav.total_loss(features, mask, 2, bare)["loss"]
    for term in terms:
        parts = denseav.total_loss(features, mask, 2, replace(bare, **{term: 2.0}))
        torch.testing.assert_close(parts["loss"], base + 2 * parts[term])
        assert parts[term] > 0


def test_a_recipe_refuses_what_it_does_not_know():
    with pytest.raises(AvcoreError, match="unknown pooling 'mean'"):
        denseav.Recipe(pool="mean")
    with pytest.raises(AvcoreError, match="must not be negative"):
        denseav.Recipe(silence=-1)


def test_one_process_gathers_nothing():
    values = torch.randn(3, 2)
    assert gather(values) is values


def _share(rank: int, folder: str) -> None:
    """One of two processes that build the loss of the joined batch; see the test below."""
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(0)
    audio, image = torch.randn(4, 6, 1, 5), torch.randn(4, 6, 2, 2)
    weight = torch.nn.Parameter(torch.eye(6))
    part = slice(2 * rank, 2 * rank + 2)
    sound = torch.einsum("dc,bcft->bdft", weight, audio[part])
    sims = denseav.pooled_similarity(gather(sound), gather(image[part]), None, 2)
    denseav.info_nce(sims).backward()
    dist.all_reduce(weight.grad)  # what DistributedDataParallel does
    torch.save(weight.grad / 2, f"{folder}/{rank}.pt")
    dist.barrier()
    os._exit(0)  # gloo's threads may still hold tensors, and now and then abort a normal exit


def test_two_processes_take_the_gradient_of_the_joined_batch(tmp_path):
    torch.multiprocessing.spawn(_share, (str(tmp_path),), nprocs=2)
    torch.manual_seed(0)
    audio, image = torch.randn(4, 6, 1, 5), torch.randn(4, 6, 2, 2)
    weight = torch.nn.Parameter(torch.eye(6))
    sound = torch.einsum("dc,bcft->bdft", weight, audio)
    denseav.info_nce(denseav.pooled_similarity(sound, image, None, 2)).backward()
    for rank in (0, 1):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), weight.grad)


# --- evaluation --------------------------------------------------------------------------------


def test_heatmaps_average_the_best_head_over_the_prompt():
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn(2, 4, 1, 5, generator=generator)
    image = torch.randn(2, 4, 3, 3, generator=generator)
    features = denseav.Features(audio, image, audio[..., 0, 0], image[..., 0, 0], torch.zeros(1))
    mask = torch.tensor([[True, False, True, False, False], [False] * 5])
    volume = denseav.paired_volume(audio, image, 2)[:, :, 0]  # (B, K, T, H, W)
    maps = denseav.heatmaps(features, mask, 2)
    torch.testing.assert_close(maps[0], (volume[0].amax(0)[0] + volume[0].amax(0)[2]) / 2)
    assert maps[1].abs().max() == 0
    one = denseav.heatmaps(features, mask, 2, head=1)
    torch.testing.assert_close(one[0], (volume[0, 1, 0] + volume[0, 1, 2]) / 2)
    scores = denseav.head_scores(features, mask, 2)
    torch.testing.assert_close(scores[0], volume[0, :, [0, 2]].amax((-2, -1)).mean(-1))
    assert scores[1].tolist() == [0, 0]


def test_a_global_network_is_asked_for_cosines():
    generator = torch.Generator().manual_seed(0)
    audio = torch.randn(2, 4, 1, 5, generator=generator)
    image = torch.randn(2, 4, 3, 3, generator=generator)
    features = denseav.Features(audio, image, audio[..., 0, 1], image[..., 0, 0], torch.zeros(1))
    mask = torch.tensor([[True, False, True, False, False], [True] * 5])
    sounds = {
        "global": torch.stack([audio[0, :, 0, [0, 2]].mean(1), audio[1, :, 0].mean(1)]),
        "cls": audio[..., 0, 1],
    }
    for pool, sound in sounds.items():
        maps = denseav.recipe_maps(features, mask, 1, denseav.Recipe(pool=pool))
        by_hand = torch.cosine_similarity(sound[:, :, None, None], image, dim=1)
        torch.testing.assert_close(maps, by_hand)
    inner = denseav.recipe_maps(features, mask, 1, denseav.Recipe())
    torch.testing.assert_close(inner, denseav.heatmaps(features, mask, 1))


def test_attention_pools_what_resembles_the_mean():
    values = torch.tensor([[[3.0, 3.0, -1.0, 50.0]]])  # one channel; the last step does not count
    mask = torch.tensor([[True, True, True, False]])
    weight = (values[0, 0, :3] * 5 / 3).softmax(0)  # the mean, the query, is 5/3
    found = attended(values, mask)
    torch.testing.assert_close(found, (weight * values[0, 0, :3]).sum().view(1, 1))


def test_the_ceiling_of_retrieval_counts_what_fits():
    fits = torch.eye(4, dtype=torch.bool)
    assert denseav.retrieval_ceiling(fits, k=1) == 1
    fits = torch.tensor([[1, 1, 1, 1]] * 2 + [[0, 0, 1, 1]] * 2, dtype=torch.bool)
    # of four, four, two and two pictures one may be taken; of two, two, four and four sounds
    assert denseav.retrieval_ceiling(fits, k=1) == pytest.approx(0.375)
    assert denseav.retrieval_ceiling(fits, k=2) == pytest.approx(0.75)


def test_segmentation_is_perfect_for_the_truth_and_poor_for_noise():
    target = torch.zeros(6, 24, 24, dtype=torch.bool)
    for row in range(6):
        target[row, 4 * (row % 3) : 4 * (row % 3) + 8, 8:16] = True
    class_id = torch.tensor([0, 0, 1, 1, 2, 2])
    perfect = denseav.prompted_segmentation(target.float(), target, class_id)
    assert perfect == pytest.approx({"ap": 1.0, "oracle_iou": 1.0})
    noise = torch.rand(6, 24, 24, generator=torch.Generator().manual_seed(0))
    assert denseav.prompted_segmentation(noise, target, class_id)["ap"] < 0.25
    with pytest.raises(AvcoreError, match="nothing to segment"):
        denseav.prompted_segmentation(noise, torch.zeros_like(target), class_id)


def test_audible_marks_sound_and_nothing_in_silence():
    mel = torch.full((2, 8, 20), -13.8)
    mel[0, 3, 5:12] = 2.0
    heard = denseav.audible(mel)
    assert heard[0].nonzero()[:, 0].tolist() == list(range(5, 12))
    assert not heard[1].any()
    assert denseav.mask_steps(heard, 10)[0].tolist() == [False] * 2 + [True] * 4 + [False] * 4


def test_a_sound_too_short_for_the_aligner_is_an_error():
    model = denseav.small_denseav().eval()
    with pytest.raises(AvcoreError, match="too short: 1 steps"):
        model.encode_audio(torch.randn(1, 500))


# --- scenes and experiments ---------------------------------------------------------------------


def test_scenes_come_from_the_cache_as_they_were_made(tmp_path, monkeypatch):
    monkeypatch.setenv("AVCORE_CACHE", str(tmp_path))
    made = make_data(("chirp", "chat"), "smoke", 3)
    monkeypatch.setattr(Prompted, "of", None)  # nothing is made again
    again = make_data(("chirp", "chat"), "smoke", 3)
    assert again.train.seen.equal(made.train.seen) and len(made.train) == 64
    assert again.test["chat"].target.equal(made.test["chat"].target)
    with pytest.raises(TypeError):
        make_data(("chirp",), "smoke", 4)  # another seed is not there


def test_the_wrong_sound_is_of_another_class():
    class_id = torch.tensor([2, 2, 5, 2])
    nothing = torch.zeros(4, 1)
    clips = denseav.Clips(nothing, nothing, nothing)
    shown = torch.tensor([[2, 5], [2, 0], [5, 1], [1, 2]])
    prompted = Prompted(clips, nothing, nothing, nothing, class_id, shown)
    assert prompted.others.tolist() == [2, 2, 3, 2]
    assert prompted.fits.tolist() == [
        [True, True, False, True], [True, True, False, True],
        [True, False, True, False], [True, True, False, True],
    ]  # fmt: skip


def test_groups_share_no_class_and_one_condition_has_no_words():
    first, second = halves()
    assert not set(first.classes) & set(second.classes)
    assert len(first.classes) == len(second.classes) == 6
    scene = Stage(STILL, first, seed=1).scene("train", 0)
    assert {source.name for source in scene.sources} <= set(first.classes)
    data = two_sets("all sounds", "smoke", 0)
    assert len(data.train) == 64
    assert data.test["chat"].class_id.max() < 6


def test_a_course_counts_spikes_and_names_a_collapse():
    calm = {"nce": [4.0 - 0.05 * step for step in range(60)]}
    good, bad = {"ap": 0.5, "trivial_ap": 0.3}, {"ap": 0.2, "trivial_ap": 0.3}
    assert course(calm, good, 64) == {"nce": pytest.approx(1.525), "spikes": 0, "collapsed": 0}
    rough = {"nce": [1.0] * 30 + [1.6] + [1.0] * 30}
    assert course(rough, good, 64)["spikes"] == 1
    assert course(calm, bad, 64)["collapsed"] == 1
    assert course({"nce": [4.1] * 40}, good, 64)["collapsed"] == 1
