"""The trials at smoke size: they run, and what they measure can go wrong."""

from __future__ import annotations

import pytest

from avcore import bench, trials
from avcore.class_aware.lessons import SHARED
from avcore.data.media import elsewhere, stamps
from avcore.nn import pretrained
from avcore.trials import photographs, recordings, stage

MEDIA = ("photographs", "elsewhere", "people")  # how what needs fetched media begins
DRAWN = [name for name in trials.TRIALS if not name.startswith(MEDIA)]

ELSEWHERE = pytest.mark.skipif(
    stamps.available() is None or not elsewhere.available(),
    reason="the photographs or the media from elsewhere are not fetched",
)


@pytest.fixture(scope="module")
def measured() -> dict[str, dict[str, float]]:
    return {name: trials.TRIALS[name]("smoke", seed=0, device="cpu") for name in DRAWN}


@pytest.mark.parametrize("name", DRAWN)
def test_a_trial_gives_fractions_that_are_fractions(measured, name):
    values = measured[name]
    assert all(0 <= value <= 1 for key, value in values.items() if "accuracy" in key)


def test_every_listed_figure_is_given_by_one_trial(measured):
    listed = {figure[0] for figure in bench.TRIALS if not figure[0].startswith(MEDIA)}
    given = [name for values in measured.values() for name in values if name in listed]
    assert sorted(given) == sorted(listed)


def test_the_probes_see_a_class_that_is_given_away(monkeypatch):
    """Paint every class in its own brightness, and the colour probe must rise."""
    from avcore.stage import looks

    names = list(looks.BALANCE)
    monkeypatch.setattr(
        looks, "BALANCE", {look: 0.15 + 0.1 * number for number, look in enumerate(names)}
    )
    assert stage.probe_trial("smoke")["probe_colour_above_chance"] > 10


@pytest.mark.skipif(stamps.available() is None, reason="the photographs are not fetched")
def test_photographs_are_those_with_something_held_out():
    bank = photographs.photograph_bank(stamps.available())
    assert len(bank.classes) >= 10
    assert all(bank.held_out.values())


@pytest.mark.skipif(stamps.available() is None, reason="the photographs are not fetched")
def test_the_photograph_trial_measures_what_chapter_02_shows():
    values = photographs.photograph_trial("smoke", seed=0, device="cpu")
    assert {"photographs_iou", "photographs_pointing"} <= set(values)
    assert 0 < values["photographs_whole_image_iou"] < 0.5


@pytest.mark.skipif(stamps.available() is None, reason="the photographs are not fetched")
def test_a_dictionary_of_photographs_is_compared_with_the_true_masks():
    values = photographs.photograph_dictionary_trial("smoke", seed=0, device="cpu")
    assert {"photographs_dictionary_nmi", "photographs_true_nmi"} <= set(values)
    assert all(0 < value <= 1 for value in values.values())


@pytest.fixture
def drawn(monkeypatch) -> list[tuple]:
    """Kind, split and bank of all scenes that the trials on recordings draw themselves."""
    found = []
    draw = recordings.draw

    def spy(kind, split, count, seed, bank):
        found.append((kind, split, bank))
        return draw(kind, split, count, seed, bank)

    monkeypatch.setattr(recordings, "draw", spy)
    return found


@ELSEWHERE
def test_collages_are_heard_with_the_recordings_of_tux_paint_and_of_others(drawn):
    values = recordings.photograph_collage_trial("smoke", seed=0, device="cpu")
    ((kind, split, bank),) = drawn  # the media from elsewhere are for the test alone
    assert (kind, split) == ("synthetic", "test")
    assert values["collage_classes"] == len(bank.classes) >= 10
    for name in ("photographs", "elsewhere"):
        assert 0 <= values[f"{name}_collage_wrong_sound_ciou@0.3"] <= 1
        assert values[f"{name}_collage_ciou_ahead_of_trivial"] == pytest.approx(
            values[f"{name}_collage_ciou@0.3"] - values[f"{name}_collage_trivial_ciou@0.3"]
        )
    assert values["photographs_collage_nsa"] != values["elsewhere_collage_nsa"]
    if pretrained.available():  # a blind eye points at nothing
        assert values["photographs_collage_pointing"] != values["elsewhere_collage_pointing"]


@ELSEWHERE
def test_a_recording_may_be_known_a_new_stretch_or_from_elsewhere(drawn):
    values = recordings.photograph_interference_trial("smoke", seed=0, device="cpu")
    tests = [bank for kind, split, bank in drawn if (kind, split) == ("10 dB", "test")]
    home, away, apart = tests
    assert home.classes == away.classes == SHARED and home is not away
    assert all({"time", "recordings"} & set(kept) for kept in apart.held_out.values())
    taught = [bank for kind, split, bank in drawn if split == "train"]
    assert taught == [home, apart]  # nothing from elsewhere
    assert len(values) == 9 and all(0 <= value <= 1 for value in values.values())


@pytest.mark.skipif(stamps.available() is None, reason="the photographs are not fetched")
def test_segmentation_of_photographs_is_measured_as_that_of_drawings():
    values = photographs.photograph_segmentation_trial("smoke", seed=0, device="cpu")
    assert {"photographs_avs_miou", "photographs_avs_wrong_sound_miou"} <= set(values)
    assert 0.3 < values["photographs_avs_blind_miou"] < 0.7


@pytest.mark.skipif(stamps.available() is None, reason="the photographs are not fetched")
def test_dense_similarity_of_photographs_is_measured_as_that_of_drawings():
    values = photographs.photograph_dense_trial("smoke", seed=0, device="cpu")
    assert {"photographs_denseav_ap", "photographs_denseav_pointing"} <= set(values)


def test_the_bench_of_the_claims_finds_the_network_nearest_to_one_that_never_listens(monkeypatch):
    def made(variant, miou, seconds=60.0):
        values = {"miou": miou, "blind_miou": 0.5}
        return {"variant": variant, "seed": 1, "values": values, "seconds": seconds, "threads": 1}

    shared = made("S4, TPAVI", 0.7)
    own = {"paper": "AVS (ECCV 2022)", "experiment": "e", "seeds": [1]}
    records = {
        "A1": {**own, "runs": [shared, made("S4, no sound", 0.1)]},
        "A2": {**own, "runs": [shared, made("S4, addition", 0.6)]},
        "A3": {**own, "seeds": [], "runs": [made("MS3, TPAVI", 0.0)]},
    }
    monkeypatch.setattr(bench, "load_records", lambda scale: records)
    found = {figure.name: figure.value for figure in bench.claims()}
    assert found == {"claims_avs": 1.5, "avs_above_never_listening": pytest.approx(0.1)}
