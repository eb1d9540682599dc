"""Metrics: the authors' numbers, naive loops, hand-computed cases, invariants and errors."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from avcore import metrics
from avcore.support import AvcoreError

REFERENCE = Path(__file__).parent / "reference"


def case(file: str, name: str) -> dict:
    with np.load(REFERENCE / f"{file}.npz") as vectors:
        return {k.split("/")[1]: vectors[k] for k in vectors.files if k.split("/")[0] == name}


def random_maps(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


# --- parity with the authors' code ---------------------------------------------------------


def test_avsbench_scores_equal_the_authors():
    ref = case("avs", "avs_metrics_0")
    pred, target = torch.from_numpy(ref["pred"]), torch.from_numpy(ref["target"])
    assert metrics.mask_iou(pred, target) == pytest.approx(float(ref["mask_iou"]), abs=1e-7)
    assert metrics.f_measure(pred, target) == pytest.approx(float(ref["f_measure"]), abs=1e-7)


def test_csol_scores_equal_the_authors():
    ref = case("csol", "csol_eval_0")
    got = metrics.class_aware_localization(ref["maps"], json.loads(str(ref["boxes"])))
    for ours, theirs in (("auc", "auc"), ("ciou@0.3", "ciou_03"), ("ciou@0.5", "ciou_05")):
        assert got[ours] == pytest.approx(float(ref[theirs]), abs=1e-9)
    assert got["nsa"] == pytest.approx(float(ref["nsa"]), abs=1e-7)


def test_denseav_scores_equal_the_authors():
    ref = case("denseav", "eval_0")
    assert metrics.average_precision(ref["heat"], ref["target"]) == pytest.approx(
        float(ref["ap"]), abs=1e-7
    )
    assert metrics.best_iou(ref["heat"], ref["target"]) == pytest.approx(
        float(ref["best_iou"]), abs=1e-7
    )
    assert metrics.recall_at_k(ref["sim"]) == pytest.approx(json.loads(str(ref["recalls"])))
    got = metrics.head_disentanglement(ref["word_scores"], ref["sound_scores"])
    assert got["pred_dis"] == pytest.approx(float(ref["pred_dis"]), abs=1e-6)
    assert got["act_dis"] == pytest.approx(float(ref["act_dis"]), abs=1e-6)


# --- naive versions ------------------------------------------------------------------------


def naive_f_measure(logits, target, beta2=0.3, n_thresholds=255):
    curve = torch.zeros(n_thresholds, dtype=torch.float64)
    frames = [i for i in range(len(target)) if target[i].any()]
    for i in frames:
        for j, limit in enumerate(torch.linspace(0, 1 - 1e-10, n_thresholds)):
            pred = logits[i].sigmoid() >= limit
            hits = float((pred & target[i]).sum())
            precision = hits / (float(pred.sum()) + 1e-20)
            recall = hits / float(target[i].sum())
            if precision + recall > 0:
                f = (1 + beta2) * precision * recall / (beta2 * precision + recall)
                curve[j] += f / len(frames)
    return curve.max().item()


@pytest.mark.parametrize("scale", [0.5, 40.0])  # 40: many sigmoids are exactly 0 or 1
def test_f_measure_by_counting_equals_255_passes(scale):
    logits = torch.randn(3, 9, 11, generator=torch.Generator().manual_seed(1)) * scale
    target = random_maps(3, 9, 11) > 0.7
    assert metrics.f_measure(logits, target) == pytest.approx(naive_f_measure(logits, target))


@pytest.mark.parametrize("n_thresholds", [2, 17, 255, 1001])
def test_a_score_that_equals_a_threshold_reaches_it(n_thresholds):
    limits = torch.linspace(0, 1 - 1e-10, n_thresholds)
    near = torch.cat([limits, limits.nextafter(limits - 1), limits.nextafter(limits + 1)])
    logits = near[None, None].clamp(1e-6, 1 - 1e-6).logit()
    target = random_maps(1, 1, logits.shape[-1]) > 0.5
    reached = (logits.sigmoid()[..., None] >= limits)[0, 0]  # (pixels, thresholds)
    hits, found = (reached & target[0, 0, :, None]).sum(0), reached.sum(0)
    precision, recall = hits / found.clamp_min(1), hits / target.sum()
    wanted = (1.3 * precision * recall / (0.3 * precision + recall)).nan_to_num(0.0)
    curve = metrics.f_curves(logits, target, n_thresholds=n_thresholds)[0]
    torch.testing.assert_close(curve, wanted.double(), atol=1e-6, rtol=0)


def test_iou_equals_a_pixel_loop():
    pred, target = random_maps(4, 6, 5) > 0.5, random_maps(4, 6, 5, seed=1) > 0.5
    for value, one, other in zip(metrics.iou(pred, target), pred, target, strict=True):
        pairs = list(zip(one.flatten().tolist(), other.flatten().tolist(), strict=True))
        both = sum(a and b for a, b in pairs)
        assert value.item() == pytest.approx(both / sum(a or b for a, b in pairs))


# --- hand-computed cases -------------------------------------------------------------------


def test_ciou_by_hand():
    target = torch.zeros(1, 4, 4)
    target[0, :2, :2] = 1  # 4 pixels
    maps = torch.zeros(1, 4, 4)
    maps[0, :2, :3] = 1  # 4 right, 2 wrong
    maps[0, 3, 3] = 0.05  # below a tenth of the maximum
    assert metrics.ciou(maps, target).item() == pytest.approx(4 / 6)
    assert metrics.ciou(maps, target, fraction=0.01).item() == pytest.approx(4 / 7)


def test_box_edges_are_cut_down_to_whole_pixels():
    maps = torch.zeros(1, 1, 10, 10)
    maps[0, 0, :, 1:3] = 1  # 0.18 to 0.38 of ten pixels: columns 1 and 2
    cious, _ = metrics.class_aware_scores(maps, [[(0, 0.18, 0.0, 0.2, 1.0)]], size=10)
    assert cious.tolist() == [1]


def test_success_curve_and_area_by_hand():
    ious = [0.0, 0.5, 1.0, float("nan")]
    assert metrics.success_curve(ious, (0.0, 0.3, 0.5, 0.6)).tolist() == pytest.approx(
        [1, 2 / 3, 2 / 3, 1 / 3]
    )
    # steps of 0.05: 1 at 0, then 2/3 up to 0.5, then 1/3 up to 1
    expected = 0.05 * (1 / 2 + 10 * 2 / 3 + 9 * 1 / 3 + 1 / 6)
    assert metrics.success_auc(ious) == pytest.approx(expected)
    assert metrics.success_auc([1.0]) == pytest.approx(1)


def test_pointing_shares_ties():
    target = torch.zeros(2, 4, 4)
    target[:, 0, :] = 1
    maps = torch.zeros(2, 4, 4)
    maps[0, 0, 2] = 3.0
    assert metrics.pointing(maps, target).tolist() == [1.0, 0.25]


def test_whole_image_scores_the_area():
    target = torch.zeros(1, 8, 8)
    target[0, :4, :4] = 1
    assert metrics.ciou(torch.ones(1, 8, 8), target).item() == 0.25
    assert metrics.average_precision(torch.ones(1, 8, 8), target) == pytest.approx(0.25)


def test_a_perfect_and_a_swapped_pair_of_heads():
    words, sounds = torch.tensor([[1.0, 0.0]] * 4), torch.tensor([[0.0, 1.0]] * 3)
    for pair in ((words, sounds), (words.flip(1), sounds.flip(1))):
        assert metrics.head_disentanglement(*pair) == {"pred_dis": 1.0, "act_dis": 1.0}


def test_a_collapsed_similarity_is_at_chance():
    recalls = metrics.recall_at_k(torch.ones(20, 20))
    assert recalls["A_r1"] == pytest.approx(1 / 20) and recalls["I_r10"] == pytest.approx(1 / 2)


# --- invariants ----------------------------------------------------------------------------


def test_per_sample_values_do_not_depend_on_the_batch():
    maps, target = random_maps(6, 7, 7), random_maps(6, 14, 14, seed=1) > 0.6
    logits = torch.randn(6, 14, 14, generator=torch.Generator().manual_seed(2))
    alone = [metrics.ciou(maps[i], target[i]) for i in range(6)]
    assert torch.allclose(metrics.ciou(maps, target), torch.stack(alone))
    alone = [metrics.mask_ious(logits[i : i + 1], target[i : i + 1]) for i in range(6)]
    assert torch.allclose(metrics.mask_ious(logits, target), torch.cat(alone))


def test_inputs_are_not_changed_and_arrays_are_welcome():
    maps, target = random_maps(2, 8, 8).numpy(), (random_maps(2, 8, 8, seed=1) > 0.5).numpy()
    before = maps.copy()
    assert metrics.ciou(maps, target).shape == (2,)
    assert metrics.average_precisions(maps, target).shape == (2,)
    assert np.array_equal(maps, before)


def test_leading_axes_are_kept():
    maps, target = random_maps(2, 3, 4, 4), random_maps(2, 3, 8, 8, seed=1) > 0.5
    assert metrics.ciou(maps, target).shape == (2, 3)
    assert torch.equal(metrics.ciou(maps, target)[1], metrics.ciou(maps[1], target[1]))


# --- emptiness and silence -----------------------------------------------------------------


def test_empty_masks_and_silent_maps_have_stated_answers():
    empty, full = torch.zeros(1, 4, 4), torch.ones(1, 4, 4)
    assert metrics.iou(empty, empty).item() == 1 and metrics.iou(full, empty).item() == 0
    assert not metrics.threshold_map(empty).any()
    assert metrics.ciou(empty, full).item() == 0
    assert np.isnan(metrics.average_precision(full, empty))
    assert metrics.average_precisions(full, empty).isnan().all()
    assert metrics.best_iou(full, full) == 0  # a constant map passes no strict threshold
    assert np.isnan(metrics.f_measure(full, empty))
    assert metrics.mask_iou(-full, empty) == pytest.approx(1)  # AVSBench's empty-target rule
    assert metrics.pointing(full, empty).item() == 0


def test_images_without_boxes_are_left_out():
    maps = torch.zeros(2, 3, 7, 7)
    maps[0, 1] = 1
    got = metrics.class_aware_localization(maps, [[(1, 0.0, 0.0, 1.0, 1.0)], []])
    assert got == {"ciou@0.3": 1.0, "ciou@0.5": 1.0, "auc": 1.0, "nsa": 1.0}


def test_a_uniform_softmax_map_scores_full_nsa():
    maps = torch.full((1, 11, 7, 7), 1 / 11)
    assert metrics.class_aware_localization(maps, [[(0, 0.0, 0.0, 0.5, 0.5)]])["nsa"] == 1


# --- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: metrics.iou(torch.ones(2, 4, 4), torch.ones(2, 4, 5)), r"\(2, 4, 5\)"),
        (lambda: metrics.iou(torch.full((1, 2, 2), 0.5), torch.ones(1, 2, 2)), "only 0 and 1"),
        (lambda: metrics.ciou(torch.full((2, 2, 2), torch.nan), torch.ones(2, 4, 4)), "NaN"),
        (lambda: metrics.mask_iou(torch.ones(1, 1, 4, 4), torch.ones(1, 1, 4, 4)), "3 axes"),
        (lambda: metrics.mask_iou(torch.ones(0, 4, 4), torch.ones(0, 4, 4)), "empty"),
        (lambda: metrics.average_precision(torch.ones(2, 4), torch.ones(4, 2)), r"\(4, 2\)"),
        (lambda: metrics.class_aware_localization(torch.ones(2, 3, 4, 4), [[]]), "2 images"),
        (
            lambda: metrics.class_aware_localization(
                torch.ones(1, 3, 4, 4), [[(3, 0.0, 0.0, 1.0, 1.0)]]
            ),
            "class 3",
        ),
        (
            lambda: metrics.class_aware_localization(
                torch.ones(1, 3, 4, 4), [[(0, 20, 30, 100, 120)]]
            ),
            "boxes are fractions of the image",
        ),
        (
            lambda: metrics.class_aware_localization(
                torch.ones(1, 3, 4, 4), [[(0, float("nan"), 0.0, 1.0, 1.0)]]
            ),
            "boxes are fractions of the image",
        ),
        (
            lambda: metrics.f_measure(torch.ones(1, 4, 4), torch.ones(1, 4, 4), beta2=-1),
            "beta2 must not be negative",
        ),
        (lambda: metrics.recall_at_k(torch.ones(3, 3), ks=(1.5,)), "whole number"),
        (lambda: metrics.recall_at_k(torch.ones(3, 3), ks=()), "whole number"),
        (lambda: metrics.recall_at_k(torch.ones(3, 4)), "square"),
        (lambda: metrics.recall_at_k(torch.ones(3, 3), ks=(5,)), "3 candidates"),
        (lambda: metrics.head_disentanglement(torch.ones(3, 3), torch.ones(3, 3)), "two heads"),
    ],
)
def test_wrong_input_gets_one_clear_sentence(call, words):
    with pytest.raises(AvcoreError, match=words) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_stretched_maps_run_from_zero_to_one_each():
    maps = torch.tensor([[[1.0, 3.0], [2.0, 1.0]], [[5.0, 5.0], [5.0, 5.0]]])
    found = metrics.stretched(maps)
    assert found[0].tolist() == [[0.0, 1.0], [0.5, 0.0]] and not found[1].any()


def test_the_best_threshold_serves_all_maps():
    target = torch.tensor([[[True, False]], [[True, False]]])
    maps = torch.tensor([[[0.9, 0.2]], [[0.6, 0.4]]])
    assert metrics.best_threshold(maps, target, (0.1, 0.5, 0.7)) == pytest.approx(0.5)
    assert metrics.best_threshold(maps, target, (0.45, 0.5)) == pytest.approx(0.45)  # the first
