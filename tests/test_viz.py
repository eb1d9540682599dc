"""What viz shows: structure, escaping, words for those who cannot see, sizes, errors, modes."""

from __future__ import annotations

import base64
import functools
import io
import json
import re
import wave
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from avcore import viz
from avcore.claims import CLAIMS, compare
from avcore.stage import MOVING, STILL, Stage
from avcore.stage.scene import Scene, SceneConfig, Source, Word
from avcore.support import AvcoreError
from avcore.viz import charts, diagrams, encode, outline
from avcore.viz.forest import forest
from avcore.viz.terms import term
from avcore.viz.theme import OUTLINES, colour_table

go = pytest.importorskip("plotly.graph_objects")
pytest.importorskip("PIL")

EVIL = "</script><script>alert(\"x\")</script><img src=x onerror=alert(1)> & 'quoted'"
VOID = {"img", "input", "br", "hr", "meta"}


@pytest.fixture(autouse=True)
def static(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test is static unless it says otherwise."""
    monkeypatch.setenv("AVCORE_STATIC", "1")
    monkeypatch.delenv("AVCORE_VIZ", raising=False)


class Elements(HTMLParser):
    """The elements of a page, and a check that all of them are closed."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(markup)
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.text.setdefault(self._open[-1], []).append(data)

    def all(self, tag: str, css: str = "") -> list[dict[str, str]]:
        chosen = (attrs for name, attrs in self.found if name == tag)
        return [attrs for attrs in chosen if css in attrs.get("class", "").split() or not css]


def made(view: viz.View) -> Elements:
    return Elements(view._repr_mimebundle_()["text/html"])


def data_of(view: viz.View) -> dict:
    """What the script of a view is given."""
    found = re.search(r'class="av-data">(.*?)</script>', view.html(), re.S)
    return json.loads(found[1])


def fake_scene(
    frames: int = 4, name: str = "bell", noise: float = 0.0, margin: float = 0.0
) -> Scene:
    """A visible sounding source, a visible silent one and an unseen voice, drawn at random."""
    rng = np.random.default_rng(0)
    config = SceneConfig(size=32, frames=frames, margin=margin, sounding=(1, 2))
    n = config.sample_rate
    stems = np.zeros((3, n + round(2 * margin * n)), np.float32)
    stems[0] = 0.2 * np.sin(np.arange(stems.shape[1]) * 0.3)
    stems[2] = 0.1 * rng.standard_normal(stems.shape[1])
    masks = np.zeros((3, frames, 32, 32), bool)
    masks[0, :, 4:14, 3:12] = True
    masks[1, :, 18:30, 16:28] = True
    drive = np.zeros(frames, np.float32)
    word = Word("bell", 0, 0.2, 0.6)

    def source(kind: str, visible: bool, sounding: bool, words: tuple = ()) -> Source:
        level = 1.5 if sounding else -np.inf
        onsets, seen = np.array([0.1, 7.0]), np.ones(len(drive), bool)
        return Source(kind, 0, name, visible, sounding, level, onsets, words, drive, "", seen)

    return Scene(
        frames=rng.integers(0, 255, (frames, 32, 32, 3), dtype=np.uint8),
        stems=stems,
        noise=(noise * rng.standard_normal(stems.shape[1])).astype(np.float32),
        masks=masks,
        sources=(
            source("object", True, True),
            source("object", True, False),
            source("name", False, True, (word,)),
        ),
        times=np.arange(frames) / config.fps,
        config=config,
    )


def record(differences: list[float], verdict: str, **more: object) -> dict:
    """A claim's record as `avcore.claims` writes it."""
    return {
        "id": "C7",
        "paper": "CSOL (TPAMI 2021)",
        "sentence": "Max pooling localises better",
        "direction": "higher",
        "treatment": {"variant": "max", "metric": "IoU"},
        "baseline": {"variant": "average", "metric": "IoU"},
        "reported": [{"what": "CIoU@0.3", "value": 32.3, "unit": "%", "source": "its readme"}],
        "seeds": list(range(len(differences))),
        "differences": differences,
        "mean_difference": float(np.mean(differences)) if differences else None,
        "interval": [min(differences), max(differences)] if differences else None,
        "verdict": verdict,
        "device": "cpu",
        "seconds": 12.0,
        **more,
    }


def test_the_forest_shades_what_is_claimed():
    higher = forest(record([0.1, 0.2], "reproduced"))
    equal = forest(record([0.1, 0.2], "inconclusive", direction="equal", effect=0.3))
    counted = forest(record([0.1, 0.2], "reproduced", effect=0.05))

    def shade(drawing: str) -> tuple[float, float]:
        left, width = re.search(r'av-side" x="([\d.]+)" width="([\d.]+)"', drawing).groups()
        return float(left), 190 - float(left) - float(width)

    assert shade(higher)[0] > 0 and shade(higher)[1] == 0  # from zero to the right end
    assert shade(counted)[0] > shade(higher)[0] and shade(counted)[1] == 0  # from the effect on
    assert shade(equal)[0] == pytest.approx(shade(equal)[1], abs=0.2) and shade(equal)[0] > 0


@functools.cache
def views() -> dict[str, viz.View]:
    """One of everything, with hostile text wherever text may come from outside."""
    scene = fake_scene(name=EVIL)
    pictures = torch.rand(3, 3, 16, 16)
    hostile = record([0.1, 0.2], "reproduced", sentence=EVIL, id=EVIL, paper=EVIL, explanation=EVIL)
    hostile |= {"kind": EVIL, "stale": EVIL, "gates_failed": [EVIL]}
    hostile["reported"][0]["source"] = EVIL
    curve = [(0, 1.0), (1, 0.5), (2, 0.25)]
    row = {"quantity": EVIL, "run": 0.5, "differences": [EVIL], "source": EVIL, "paper": 1.0}
    return {
        "scene": viz.scene_player(scene, title=EVIL),
        "clip": viz.clip_player(scene.frames, {EVIL: scene.waveform}, 16_000, 16, EVIL),
        "audio": viz.audio_player(scene.waveform, 16_000, EVIL),
        "gallery": viz.gallery(pictures, [EVIL] * 3, caption=EVIL),
        "scenes": viz.gallery([scene], sound=True),
        "heatmaps": viz.heatmaps(pictures, torch.rand(3, 4, 4), captions=[EVIL] * 3, meaning=EVIL),
        "spectrogram": viz.spectrogram(scene.waveform, 16_000, caption=EVIL),
        "waveform": viz.waveform_plot(scene.waveform, 16_000, alt=EVIL),
        "curves": viz.training_curves({EVIL: curve}, metric=EVIL),
        "bars": viz.bars({EVIL: [0.1, 0.2]}, label=EVIL, highlight=EVIL, reference=(EVIL, 0.1)),
        "explore": viz.explore(lambda k: viz.Html("<p>x</p>"), k={EVIL: 1, "b": 2}, caption=EVIL),
        "results": viz.results_table([row], EVIL),
        "values": viz.values_table({EVIL: {"x": 1}}, {"x": EVIL}, EVIL),
        "claims": viz.claim_table([hostile], EVIL),
        "card": viz.claim_card(hostile),
        "figure": viz.figure(go.Figure(go.Scatter(y=[1, 2])), EVIL, EVIL),
        "block": viz.volume_block(pictures[0], torch.rand(4, 4, 4), caption=EVIL),
    }


NAMES = (
    "scene", "clip", "audio", "gallery", "scenes", "heatmaps", "spectrogram", "waveform", "curves",
    "bars", "explore", "results", "values", "claims", "card", "figure", "block",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_text_from_outside_stays_text(name: str) -> None:
    page = made(views()[name])
    assert not any("alert" in "".join(page.text.get(tag, ())) for tag in ("style",))
    assert not any("onerror" in attrs or attrs.get("src") == "x" for _, attrs in page.found)
    scripts = page.all("script")
    assert all(attrs.get("type", "application/json") == "application/json" for attrs in scripts)
    ours = [attrs for attrs in scripts if "type" not in attrs]
    assert len(ours) <= 1  # the hostile one did not become an element
    assert page.found[0][0] == "figure" and "avcore-viz" in page.found[0][1]["class"]


def test_hostile_names_are_shown_as_they_are() -> None:
    page = made(viz.scene_player(fake_scene(name=EVIL)))
    assert EVIL in "".join(page.text["span"])
    assert EVIL in page.all("canvas")[0]["data-known"]


def test_every_picture_and_control_has_words() -> None:
    assert set(views()) == set(NAMES)
    for view in views().values():
        page = made(view)
        for attrs in page.all("img"):
            assert attrs["alt"] or "hidden" in attrs
        for attrs in page.all("canvas") + page.all("audio") + page.all("div", "av-plotly"):
            assert attrs["aria-label"]
        for attrs in page.all("svg"):
            assert "aria-label" in attrs or "aria-hidden" in attrs or "viewbox" in attrs
        assert len(page.all("label")) >= len(page.all("input"))


def test_outputs_of_a_page_do_not_share_ids() -> None:
    names = [made(viz.scene_player(fake_scene())).found[0][1]["data-av"] for _ in range(3)]
    assert len(set(names)) == 3
    groups = [made(viz.scene_player(fake_scene())).all("input")[1]["name"] for _ in range(2)]
    assert groups[0] != groups[1]


def test_scene_player_holds_frames_sounds_and_truth() -> None:
    view = viz.scene_player(fake_scene(frames=4, noise=0.01), "A scene")
    page, data = made(view), data_of(view)
    assert data["frames"] == {"across": 2, "times": [0.0, 0.0625, 0.125, 0.1875]}
    assert len(data["tracks"]) == 4  # the mix, two sources, the noise
    assert data["truth"][0]["paths"][0] == "M3 4h9v10h-9z"
    assert data["truth"][2] is None
    assert page.all("input", "av-frame")[0]["max"] == "3"
    words = "".join(page.text["li"]) + "".join(page.text["span"])
    assert "bell" in words and "silent" in words and "heard, not seen, +1.5 dB" in words
    assert "".join(page.text["em"]) == "bell"
    assert len(page.all("i")) == 3  # the onsets within the clip


def test_a_source_that_pauses_is_drawn_as_silent_while_it_does() -> None:
    scene = fake_scene(frames=3)
    n = scene.config.sample_rate
    stems = np.tile(scene.stems, 3)
    stems[0, n : 2 * n] = 0  # heard in the first and the third second of three
    sources = tuple(replace(s, onsets=np.array([0.1, 1.1, 2.1])) for s in scene.sources)
    config = replace(scene.config, duration=3.0, fps=1.0)
    paused = replace(
        scene, stems=stems, noise=np.tile(scene.noise, 3), sources=sources, config=config,
        times=np.arange(3.0),
    )  # fmt: skip
    view = viz.scene_player(paused)
    truth = data_of(view)["truth"]
    assert truth[0]["heard"] == [True, False, True] and truth[1]["heard"] == [False] * 3
    marks = [mark.get("class", "") for mark in made(view).all("i")]
    assert marks[:3] == ["", "av-silent", ""] and marks[3:6] == ["av-silent"] * 3


def test_the_sheet_of_frames_is_the_frames() -> None:
    from PIL import Image

    scene = fake_scene(frames=3)
    source = made(viz.scene_player(scene)).all("img")[0]["src"]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(source.split(",")[1]))))
    assert sheet.shape == (64, 64, 3)
    assert (sheet[:32, 32:] == scene.frames[1]).all() and (sheet[32:, :32] == scene.frames[2]).all()


def test_a_clip_plays_several_sounds_with_one_gain() -> None:
    sounds = {"mixture": np.array([2.0, -1.0] * 4000), "voice": np.array([0.5, -0.25] * 4000)}
    view = viz.clip_player(torch.rand(8, 3, 32, 32), sounds, 16_000, 16.0, "A face")
    page, data = made(view), data_of(view)
    assert data["frames"] == {"across": 3, "times": [round(i / 16, 4) for i in range(8)]}
    assert len(data["tracks"]) == 2 and data["duration"] == 0.5
    assert [each["value"] for each in page.all("input") if each["type"] == "radio"] == ["0", "1"]
    mixture = samples(page.all("audio")[0]["src"])
    voice = samples(data["tracks"][1]["src"])
    assert np.abs(mixture / 4 - voice).max() <= 1
    assert page.all("canvas")[0]["aria-label"] == "The moving picture of A face"
    assert not page.all("input", "av-toggle")


@pytest.mark.parametrize("sounds, fps, message", [
    ({}, 16, "sounds of one length"),
    ({"a": np.ones(800), "b": np.ones(900)}, 16, r"one length, got \[800, 900\]"),
    ({"a": np.ones(800)}, 0, "rates must be positive"),
])  # fmt: skip
def test_clips_that_do_not_fit_are_refused(sounds: dict, fps: float, message: str) -> None:
    with pytest.raises(AvcoreError, match=message):
        viz.clip_player(np.zeros((2, 8, 8, 3), np.uint8), sounds, 16_000, fps)


def test_a_still_has_a_picture_and_no_slider() -> None:
    page = made(viz.scene_player(fake_scene(frames=1)))
    assert page.all("canvas") and not page.all("input", "av-frame")
    assert page.all("div", "av-instant")


def test_truth_can_start_hidden() -> None:
    hidden, shown = (made(viz.scene_player(fake_scene(), show_truth=s)) for s in (False, True))
    assert hidden.found[0][1]["data-truth"] == "off"
    assert "bell" not in hidden.all("canvas")[0]["aria-label"]
    assert "checked" not in hidden.all("input", "av-toggle")[0]
    assert "checked" in shown.all("input", "av-toggle")[0]


def test_sounds_that_tell_who_sounds_are_secret() -> None:
    page = made(viz.scene_player(fake_scene(), show_truth=False))
    (tracks,) = page.all("fieldset")
    assert "av-secret" in tracks["class"]
    sounds = {"one": np.zeros(8000), "two": np.zeros(8000)}
    page = made(viz.clip_player(np.zeros((1, 3, 8, 8)), sounds, 8000, 4))
    assert "av-secret" not in page.all("fieldset")[0]["class"]


def test_stems_are_cut_to_the_clip() -> None:
    scene = fake_scene(margin=0.5)
    sound = samples(data_of(viz.scene_player(scene))["tracks"][1]["src"])
    assert len(sound) == 16_000
    assert np.abs(sound / 32767 - scene.stems[0, 8000:24_000]).max() < 1e-4


def samples(source: str) -> np.ndarray:
    with wave.open(io.BytesIO(base64.b64decode(source.split(",")[1]))) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 16_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)


@pytest.mark.parametrize("change, message", [
    ({"frames": np.zeros((4, 32, 32), np.uint8)}, r"frames want shape \(T, H, W, 3\)"),
    ({"frames": np.zeros((4, 32, 32, 3), np.float32)}, "uint8"),
    ({"masks": np.zeros((3, 4, 16, 16), bool)}, r"masks want shape \(3, 4, 32, 32\)"),
    ({"stems": np.zeros((2, 16_000), np.float32)}, "2 stems for 3 sources"),
    ({"noise": np.full(16_000, np.nan, np.float32)}, "16000 values that are not finite"),
])  # fmt: skip
def test_scenes_that_do_not_fit_are_refused(change: dict, message: str) -> None:
    with pytest.raises(AvcoreError, match=message):
        viz.scene_player(replace(fake_scene(), **change))


def test_audio_player_never_clips_and_never_amplifies() -> None:
    loud, quiet = np.array([3.0, -3.0, 1.0] * 50), np.array([0.1, -0.2, 0.0] * 50)
    played = samples(made(viz.audio_player(loud, 16_000, "x")).all("audio")[0]["src"])
    assert abs(np.abs(played).max() / 32767 - encode.CEILING) < 1e-3
    assert "9.7 dB quieter" in viz.audio_player(loud, 16_000, "x").html()
    played = samples(made(viz.audio_player(quiet, 16_000, "x")).all("audio")[0]["src"])
    assert abs(np.abs(played).max() / 32767 - 0.2) < 1e-3
    assert "quieter" not in viz.audio_player(quiet, 16_000, "x").html()


def test_silence_is_shown_as_silence() -> None:
    silence = torch.zeros(1, 16_000)
    assert "(silence)" in viz.audio_player(silence, 16_000, "x").html()
    assert "silent" in viz.waveform_plot(silence, 16_000).alt
    level = np.asarray(viz.spectrogram(silence, 16_000).fig.data[0].z)
    assert (level == level.min()).all()


@pytest.mark.parametrize("sound, message", [
    (np.zeros((2, 100)), r"shape \(samples,\), got \(2, 100\)"),
    (np.zeros(0), "shape"),
    (np.array([0.0, np.nan]), "1 values that are not finite"),
])  # fmt: skip
def test_sounds_that_are_none_are_refused(sound: np.ndarray, message: str) -> None:
    for show in (viz.audio_player, viz.spectrogram):
        with pytest.raises(AvcoreError, match=message):
            show(sound, 16_000, "stft")
    for rate in (0, -16_000):
        with pytest.raises(AvcoreError, match="sampling rate"):
            viz.audio_player(np.ones(9), rate, "x")
        with pytest.raises(AvcoreError, match="sampling rate"):
            viz.waveform_plot(np.ones(9), rate)


@pytest.mark.parametrize("kind", ["log_mel", "stft"])
@pytest.mark.parametrize("hertz", [440.0, 3000.0])
def test_spectrogram_puts_a_tone_where_it_belongs(kind: str, hertz: float) -> None:
    tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(32_000) / 16_000)
    trace = viz.spectrogram(tone, 16_000, kind).fig.data[0]
    band = trace.y[int(np.asarray(trace.z)[:, 50].argmax())]
    value, unit = band.split()
    assert abs(float(value) * (1000 if unit == "kHz" else 1) - hertz) < 0.06 * hertz
    assert np.asarray(trace.z).max() == 0 and np.asarray(trace.z).shape[1] <= 201


def test_spectrogram_says_what_it_knows() -> None:
    with pytest.raises(AvcoreError, match="choose one of log_mel, stft"):
        viz.spectrogram(np.ones(4000), 16_000, "mel")


def test_sizes_stay_small() -> None:
    moving = Stage(MOVING, seed=0).scene("train", 0)
    assert len(viz.scene_player(moving).html()) < 250_000
    scenes = [Stage(STILL, seed=0).scene("train", index) for index in range(8)]
    pictures = np.stack([scene.frames[0] for scene in scenes])
    masks = np.stack([scene.mask(sounding=True)[0] for scene in scenes])
    maps = np.random.default_rng(0).random((8, 24, 24))
    assert len(viz.heatmaps(pictures, maps, masks).html()) < 300_000
    assert len(viz.waveform_plot(np.ones(16_000 * 60), 16_000).html()) < 40_000
    assert len(viz.spectrogram(np.ones(16_000 * 60), 16_000).html()) < 60_000
    long = [(step, 1.0) for step in range(100_000)]
    assert len(viz.training_curves({"a": long}).html()) < 60_000


def test_outline_walks_round_holes_and_touching_corners() -> None:
    ring = np.ones((4, 4), bool)
    ring[1:3, 1:3] = False
    assert sorted(len(loop) for loop in outline.loops(ring)) == [5, 5]
    assert outline.svg_path(np.eye(2, dtype=bool)).count("M") in (1, 2)
    for mask in (ring, np.eye(3, dtype=bool), np.random.default_rng(1).random((9, 9)) > 0.5):
        area = 0.0
        for loop in outline.loops(mask):
            assert (loop[0] == loop[-1]).all()
            x, y = loop.T.astype(float)
            area += 0.5 * (x[:-1] * y[1:] - x[1:] * y[:-1]).sum()
        assert area == mask.sum()  # outer loops count up, holes down
    assert outline.loops(np.zeros((3, 3), bool)) == []


def test_heatmaps_have_one_step_a_picture_and_say_their_range() -> None:
    maps = np.linspace(0, 0.8, 2 * 3 * 144).reshape(2, 3, 12, 12)
    frames = np.random.default_rng(0).random((2, 3, 3, 8, 8))
    view = viz.heatmaps(frames, maps, np.ones((2, 3, 8, 8)), captions=["first", "second"])
    data, page = data_of(view), made(view)
    assert len(data["steps"]) == 6
    assert [attrs["max"] for attrs in page.all("input")] == ["1", "2"]
    assert "second" in page.all("input")[0]["data-labels"]
    assert "from 0.00 to 0.80" in view.html() and "true outline" in view.html()
    place = data["data"][2]["z"]["shared"]
    assert data["shared"][place]["low"] == 0 and data["shared"][place]["columns"] == 12


def test_heatmap_cells_cover_the_picture() -> None:
    trace = viz.heatmaps(np.zeros((1, 12, 24, 3)), np.zeros((1, 3, 4))).results()[0].fig.data[2]
    assert trace.x0 - trace.dx / 2 == -0.5 and trace.x0 + 3.5 * trace.dx == 23.5
    assert trace.y0 - trace.dy / 2 == -0.5 and trace.y0 + 2.5 * trace.dy == 11.5
    assert trace.zmin < trace.zmax  # also for a constant map


@pytest.mark.parametrize("size", [(128, 128), (57, 30), (1, 100)])
def test_a_peak_in_the_corner_of_a_map_of_any_size_stays_there(size) -> None:
    each = np.zeros((1, *size), bool)
    each[0, -1, -1] = True
    trace = viz.heatmaps(np.zeros((1, 12, 24, 3)), each).results()[0].fig.data[2]
    drawn = np.asarray(trace.z)
    assert drawn.shape == tuple(min(56, side) for side in size)
    assert drawn[-1, -1] > 0 == drawn.sum() - drawn[-1, -1]
    assert trace.x0 + (drawn.shape[1] - 0.5) * trace.dx == pytest.approx(23.5)
    assert trace.y0 + (drawn.shape[0] - 0.5) * trace.dy == pytest.approx(11.5)


@pytest.mark.parametrize("frames, maps, masks, message", [
    ((2, 8, 8, 3), (2, 4), None, r"maps want shape \(N, h, w\)"),
    ((3, 8, 8, 3), (2, 4, 4), None, "got frames"),
    ((2, 8, 8), (2, 4, 4), None, r"frames want shape \(N, H, W, 3\)"),
    ((2, 8, 8, 3), (2, 4, 4), (2, 4, 4), "masks want the shape"),
    ((2, 8, 8, 3), (2, 4, 4), (8, 8), "masks want the shape"),
    ((65, 8, 8, 3), (65, 4, 4), None, "65 pictures, more than 64"),
])  # fmt: skip
def test_heatmaps_refuse_shapes_that_do_not_fit(frames, maps, masks, message) -> None:
    with pytest.raises(AvcoreError, match=message):
        viz.heatmaps(np.zeros(frames), np.zeros(maps), None if masks is None else np.zeros(masks))


def test_heatmaps_refuse_nan() -> None:
    maps = np.zeros((1, 4, 4))
    maps[0, 0, :2] = np.nan
    with pytest.raises(AvcoreError, match="a map holds 2 values that are not finite"):
        viz.heatmaps(np.zeros((1, 8, 8, 3)), maps)


def test_gallery_takes_pictures_and_scenes() -> None:
    page = made(viz.gallery(torch.rand(5, 3, 8, 8), columns=3))
    assert len(page.all("img")) == 5 and page.all("ul")[0]["style"] == "--columns:3"
    page = made(viz.gallery([fake_scene()], sound=True))
    assert "silent" in page.all("img")[0]["alt"] and len(page.all("audio")) == 1
    with pytest.raises(AvcoreError, match="1 captions for 5 pictures"):
        viz.gallery(torch.rand(5, 3, 8, 8), ["one"])
    with pytest.raises(AvcoreError, match=r"floats in \[0, 1\]"):
        viz.gallery([np.full((4, 4, 3), 7.0)])
    with pytest.raises(AvcoreError, match="wants pictures"):
        viz.gallery([])


def test_moving_average_is_the_naive_one() -> None:
    values = np.random.default_rng(0).random(20)
    values[3] = np.nan
    for window in (2, 5, 50):
        naive = [
            np.nanmean(values[max(i - (window - 1) // 2, 0) : i + window // 2 + 1])
            for i in range(20)
        ]
        assert np.allclose(charts.moving_average(values, window), naive)


def test_training_curves_take_pairs_and_histories_and_say_how_they_smooth() -> None:
    class Losses:
        steps, losses = range(100), np.linspace(1, 0, 100)

    class History:
        steps = range(100)

        def __getitem__(self, name: str) -> list[float]:
            return {"accuracy": [0.5] * 100}[name]

    view = viz.training_curves({"a": Losses(), "b": list(enumerate(np.ones(100)))})
    assert len(view.fig.data) == 4 and view.fig.data[0].opacity < 0.5
    assert "mean of 5 neighbouring values" in view.caption and "a ends at" in view.alt
    assert len({trace.line.dash for trace in view.fig.data[1::2]}) == 2  # not by colour alone
    view = viz.training_curves({"c": History()}, metric="accuracy", window=1)
    assert len(view.fig.data) == 1 and "Faint" not in view.caption
    broken = viz.training_curves({"d": [(0, 1.0), (1, float("nan"))]}, window=1)
    assert "1 values that are not finite are left out" in broken.caption
    for wrong in ({}, {"e": []}):
        with pytest.raises(AvcoreError):
            viz.training_curves(wrong)


def test_bars_show_every_seed() -> None:
    view = viz.bars({"centre": 0.2, "ours": [0.5, 0.7]}, label="IoU", highlight="ours")
    bar, dots = view.fig.data
    assert list(bar.x) == [0.2, 0.6] and list(dots.x) == [0.5, 0.7]
    assert bar.marker.color[0] != bar.marker.color[1] and "ours 0.6" in view.alt
    with pytest.raises(AvcoreError, match="'a' holds 1 values"):
        viz.bars({"a": [float("nan")]}, label="x")


def test_bars_keep_their_words_apart() -> None:
    long = "share of the held-out scenes in which it points right"
    view = viz.bars({"a": 0.06, "b": 0.9}, label=long, reference=("chance", 0.08))
    near, far, name = view.fig.layout.annotations
    assert near.text == "0.06" and near.x == 0.08  # behind the line, not under it
    assert far.x == 0.9 and name.text == "chance"
    title = view.fig.layout.xaxis.title.text
    assert title.replace("<br>", " ") == long and max(map(len, title.split("<br>"))) <= 32
    named = viz.bars({"a small thing missed, addition": 0.5}, label=long)  # leaves little room
    title = named.fig.layout.xaxis.title.text
    assert title.replace("<br>", " ") == long and max(map(len, title.split("<br>"))) <= 28
    assert named.fig.layout.yaxis.ticktext == ("a small thing<br>missed, addition",)


def test_explore_merges_figures_into_steps() -> None:
    def fn(a: int, b: float):
        return go.Figure(go.Scatter(y=[a, b, 0], name="same"), layout={"title": str(a)})

    data = data_of(viz.explore(fn, a=[1, 2], b=[0.5, 0.25, 0.125], caption="c"))
    assert len(data["steps"]) == 6 and data["steps"][0]["data"] == [{}]
    assert set(data["steps"][1]["data"][0]) == {"y"}  # only what differs
    assert set(data["steps"][5]["layout"]) == {"title"}


def test_explore_keeps_figures_of_other_structure_whole() -> None:
    def fn(kind: str):
        return go.Figure(go.Bar(y=[1]) if kind == "bar" else go.Scatter(y=[1]))

    data = data_of(viz.explore(fn, kind=["bar", "line"], caption="c"))
    assert data["steps"][1]["all"][0]["type"] == "scatter"


def test_explore_shows_panels_of_anything_with_html() -> None:
    page = made(viz.explore(lambda k: viz.gallery(torch.rand(k, 3, 4, 4)), k=[1, 2, 3]))
    assert len(page.all("div", "av-panel")) == 3 and len(page.all("img")) == 6
    with pytest.raises(AvcoreError, match="a object: it has no HTML"):
        viz.explore(lambda k: object(), k=[1]).html()


@pytest.mark.parametrize("values, message", [
    ({}, "at least one slider"), ({"a": []}, "no values for 'a'"),
    ({"a": range(13), "b": range(5)}, "65 combinations, more than 64"),
    ({"a": [1], "buttons": ["b"]}, "unknown slider 'b'; choose one of a"),
])  # fmt: skip
def test_explore_refuses_what_no_page_can_hold(values: dict, message: str) -> None:
    with pytest.raises(AvcoreError, match=message):
        viz.explore(lambda **chosen: None, **values)


@pytest.mark.parametrize("values, labels", [
    ([1.00001, 1.00002], ["1.00001", "1.00002"]),
    ([1 / 3, 2 / 3], ["0.3333", "0.6667"]),
])  # fmt: skip
def test_explore_keeps_values_apart_that_agree_in_four_digits(values, labels) -> None:
    made = viz.explore(lambda a: None, a=values)
    assert made.values == {"a": dict(zip(labels, values, strict=True))}


def test_results_table_never_invents_a_figure() -> None:
    page = made(viz.results_table([
        {"quantity": "CIoU", "paper": None, "run": -0.25, "recorded": [0.4, 0.5, 0.6]},
        {"quantity": "AUC", "paper": 23.5, "unit": "%", "recorded": None},
        {"quantity": "AP", "recorded": {"mean": 0.3, "interval": (0.2, 0.4), "n": 5}},
    ], "Results"))  # fmt: skip
    words = " ".join(" ".join(parts) for parts in page.text.values())
    for expected in ("not available", "none yet", "−0.25", "0.5", "[0.252, 0.748]", "3 seeds",
                     "23.5%", "[0.2, 0.4]", "5 seeds"):  # fmt: skip
        assert expected in words, expected
    with pytest.raises(AvcoreError, match="wants 'quantity'"):
        viz.results_table([{"quantity": "x", "papers": 1}])
    with pytest.raises(AvcoreError, match="not finite"):
        viz.results_table([{"quantity": "x", "run": float("nan")}])


def test_values_table_shows_three_decimals_of_what_was_measured() -> None:
    rows = {
        EVIL: {"iou": -0.25, "f": 1, "other": 9.0},
        "zero": {"iou": -0.0001, "f": 0.12345},
        "words": {"iou": "yes", "f": "<b>"},
    }
    page = made(viz.values_table(rows, {"iou": "mean IoU", "f": "F"}, "Scores"))
    words = " ".join(" ".join(parts) for parts in page.text.values())
    for expected in ("mean IoU", "−0.250", "1.000", "0.000", "0.123", "yes", "<b>", "Scores"):
        assert expected in words, expected
    assert "−0.000" not in words and "9.000" not in words
    with pytest.raises(AvcoreError, match="not finite"):
        viz.values_table({"x": {"iou": float("nan")}}, {"iou": "IoU"})


def test_numbers_have_a_true_minus_sign_and_no_power_of_ten() -> None:
    from avcore.viz.view import significant

    written = {
        (-1.92e-5, 3): "−0.00002",
        (0.4271, 2): "0.43",
        (0.0, 3): "0",
        (3e-9, 3): "0.000000003",
    }
    for (value, digits), expected in written.items():
        assert significant(value, digits) == expected
    assert significant(-1.92e-5, 2, "+") == "−0.00002" and significant(2e-5, 2, "+") == "+0.00002"


def test_verdicts_are_words_and_icons() -> None:
    records = {
        verdict: record(differences, verdict)
        for verdict, differences in [("reproduced", [0.1, 0.2, 0.3]), ("contradicted", [-0.1] * 3),
                                     ("inconclusive", [0.1, -0.1, 0.2]), ("not judged", []),
                                     ("no effect that counts", []), ("not testable here", [])]
    }  # fmt: skip
    page = made(viz.claim_table(records))
    shown = [part.strip() for part in page.text["span"] if part.strip() in records]
    assert shown == list(records)
    assert len(page.all("circle")) == 9 + 6  # a circle a seed, a ring an icon
    assert "Differences of 3 seeds: 0.1, 0.2, 0.3." in page.all("svg", "av-forest")[0]["aria-label"]
    assert "no runs" in "".join(page.text["span"])


def test_claim_card_tells_the_whole_story() -> None:
    page = made(viz.claim_card(record([0.1, 0.3], None, sign_test=0.5, hardware="2 cores")))
    words = " ".join(" ".join(parts) for parts in page.text.values())
    for expected in ("max against average", "CIoU@0.3: 32.3%", "its readme", "not judged", "0.2",
                     "p = 0.5", "seeds 0, 1", "2 cores", "12 s"):  # fmt: skip
        assert expected in words, expected
    assert "No runs" in viz.claim_card(None).html()


def test_a_card_names_all_commits_and_says_what_was_not_committed() -> None:
    both = "0415c47d22b3; 1c6cc775636b+dirty"
    earlier = [{"verdict": "contradicted", "seeds": [0, 1], "commit": "1c6cc775636b+dirty"}]
    shown = viz.claim_card(record([0.1, 0.3], None, commit=both, superseded=earlier)).html()
    assert "commits 0415c47d22b3, 1c6cc775636b with uncommitted changes" in shown
    assert "on seeds 0, 1, commit 1c6cc775636b with uncommitted changes" in shown


def test_measures_have_standard_terms_and_papers_figures_all_their_digits() -> None:
    for claim in CLAIMS.values():
        for side in (claim.treatment, claim.baseline):
            assert not set("_@") & set(term(side.metric)) or "@0." in term(side.metric)
    shown = viz.claim_card(record([0.1, 0.3], None, reported=[
        {"what": "LVS", "value": 29.45, "unit": "%"}, {"what": "AVS", "value": 54.0, "unit": "%"},
    ])).html()  # fmt: skip
    assert "LVS: 29.45%" in shown and "AVS: 54%" in shown


def test_claim_card_tells_what_stands_beside_the_verdict() -> None:
    page = made(viz.claim_card(record(
        [0.1, 0.3], "reproduced", kind="ours", effect=0.02, p_value=0.01, stale="Of old runs.",
        holm={"p_value": 0.12, "claims": 12, "survives": False}, gates_failed=["max: IoU above 1"],
        noise={"seed": 4, "threads": [2, 1], "values": [0.5, 0.53], "spread": 0.03,
               "hardware": ["one", "another"]},
        baseline={"variant": "max", "metric": "area"},
        superseded=[{"verdict": "contradicted", "seeds": [0, 1], "commit": EVIL}],
    )))  # fmt: skip
    words = " ".join(" ".join(parts) for parts in page.text.values())
    for expected in ("ours", "max, IoU against max, area", "0.02", "t test p = 0.01", "over 12",
                     "p = 0.12: the verdict does not survive", "failed: max: IoU above 1",
                     "0.03 between two runs of seed 4, with 2 and with 1 threads, on different "
                     "computers",
                     "Of old runs.",
                     "contradicted on seeds 0, 1"):  # fmt: skip
        assert expected in words, expected


def test_a_very_small_p_value_is_given_as_smaller() -> None:
    page = made(viz.claim_card(record([0.1, 0.3], "reproduced", p_value=3e-12, sign_test=1e-4)))
    words = " ".join(" ".join(parts) for parts in page.text.values())
    assert "t test p < 0.0001" in words and "sign test p = 0.0001" in words


def test_claim_table_names_a_source_once_below_its_figures() -> None:
    figures = [
        {"what": name, "value": 50.0, "unit": "%", "source": source}
        for name, source in (("ours", "table 1"), ("rival", "table 1"), ("other", "table 2"))
    ]
    page = viz.claim_table([record([0.1], "reproduced", reported=figures)]).html()
    assert page.count("table 1") == page.count("table 2") == 1
    places = [page.index(each) for each in ("ours: 50", "rival: 50", "table 1", "other: 50")]
    assert places == sorted(places)


def test_claim_table_notes_what_weakens_a_verdict() -> None:
    weak = {"p_value": 0.12, "claims": 12, "survives": False}
    page = made(viz.claim_table([
        record([0.1], "reproduced", holm=weak),
        record([0.1], "not testable here", gates_failed=["max: IoU above 1"]),
        record([0.1], "not judged", stale="An earlier design.", sign_test=0.25),
    ]))  # fmt: skip
    words = " ".join(" ".join(parts) for parts in page.text.values())
    for expected in ("does not survive Holm’s correction", "Gate: max: IoU above 1.",
                     "An earlier design.", "IoU, 1 seed, sign test p = 0.25"):  # fmt: skip
        assert expected in words, expected


def test_a_record_that_lacks_a_field_is_named() -> None:
    with pytest.raises(AvcoreError, match="lacks id"):
        viz.claim_table([{"sentence": "x"}])


def test_figure_needs_words_and_a_figure() -> None:
    with pytest.raises(AvcoreError, match="a plotly figure, got a int"):
        viz.figure(3, "caption")
    with pytest.raises(AvcoreError, match="caption or an alt"):
        viz.figure(go.Figure())


def test_static_figure_is_html_alone() -> None:
    view = viz.figure(go.Figure(go.Scatter(y=[1, np.nan, 3]), layout={"width": 900}), "See", "Alt")
    bundle = view._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html"}
    page, data = made(view), data_of(view)
    area = page.all("div", "av-plotly")[0]
    assert area["role"] == "img" and area["aria-label"] == "Alt"
    assert "See" in "".join(page.text["figcaption"]) and "hidden" in page.all("p", "av-missing")[0]
    assert "width" not in data["layout"] and "Plotly.newPlot" in view.html()
    assert "https:" not in view.html().replace("https://www.w3.org", "")


def test_live_mode_gives_widgets_and_plotly_s_own_type(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ipywidgets")
    monkeypatch.setenv("AVCORE_VIZ", "live")
    figure = viz.figure(go.Figure(go.Scatter(y=[1])), "A caption")._repr_mimebundle_()
    spec = figure["application/vnd.plotly.v1+json"]
    assert spec["layout"]["title"]["text"] == "A caption" and json.dumps(spec, allow_nan=False)
    player = viz.scene_player(fake_scene())._repr_mimebundle_()
    assert set(player) == {"text/plain", "text/html"}  # a player needs no kernel
    calls: list[int] = []
    explorer = viz.explore(lambda k, j: calls.append(k) or viz.Html("x"), k=[1, 2], j=[0])
    sliders = [child for child in explorer.widget().children if hasattr(child, "options")]
    assert len(sliders) == 1 and calls == [1]  # one value needs no slider, and fn is called lazily
    sliders[0].value = 2
    assert calls == [1, 2]
    chosen = viz.explore(lambda k: viz.Html("x"), k={"a": 1, "b": 2}, buttons=("k",)).widget()
    assert chosen.children[0].value == 1 and type(chosen.children[0]).__name__ == "ToggleButtons"
    assert viz.claim_card(None)._repr_mimebundle_()["text/html"]


def test_mode_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert viz.mode() == "static"
    monkeypatch.setenv("AVCORE_VIZ", "live")
    assert viz.mode() == "live"
    monkeypatch.setenv("AVCORE_VIZ", "lively")
    with pytest.raises(AvcoreError, match="choose one of static, live"):
        viz.mode()
    monkeypatch.delenv("AVCORE_VIZ")
    monkeypatch.setenv("AVCORE_STATIC", "0")
    assert viz.mode() == "static"  # no kernel runs these tests


def test_colours_are_distinct_and_scales_rise_in_lightness() -> None:
    assert len(set(OUTLINES)) == len(OUTLINES)
    for name in ("viridis", "inferno"):
        lightness = colour_table(name) @ np.array([0.2126, 0.7152, 0.0722])
        assert (np.diff(lightness) > -1.5).all() and lightness[-1] > 4 * lightness[0]


# --- grids, diagrams and sentences -----------------------------------------------------------


def grid_of(count: int = 3, **options) -> str:
    images = np.zeros((count, 8, 8, 3), np.uint8)
    maps = {"own": np.eye(8)[None].repeat(count, 0), "wrong <b>": np.zeros((count, 4, 4))}
    masks = np.zeros((count, 8, 8), bool)
    masks[:, 2:4, 2:5] = True
    return viz.map_grid(images, maps, masks, **options).html()


def test_a_grid_shows_every_sample_under_every_map_and_counts_the_hits():
    made = grid_of(hits={"own": np.array([True, False, True])}, captions=["a", "b & c", "d"])
    page = Elements(made)
    pictures = page.all("img")
    assert len(pictures) == 3 * 3  # the picture and two maps
    assert [each["alt"] for each in pictures[:3]] == ["a", "own, hit", "wrong <b>"]
    assert pictures[4]["alt"] == "own, miss"
    assert len(page.all("svg", "av-hit")) == 2 and len(page.all("svg", "av-miss")) == 1
    assert "<b>own</b>: 2 of 3 right" in made and "wrong &lt;b&gt;" in made


def test_a_grid_of_other_shapes_is_an_error():
    images = np.zeros((2, 8, 8, 3), np.uint8)
    with pytest.raises(AvcoreError, match="at least one map"):
        viz.map_grid(images, {})
    with pytest.raises(AvcoreError, match=r"wants shape \(2, h, w\)"):
        viz.map_grid(images, {"own": np.zeros((3, 8, 8))})
    with pytest.raises(AvcoreError, match="not finite"):
        viz.map_grid(images, {"own": np.full((2, 8, 8), np.nan)})
    with pytest.raises(AvcoreError, match="hits of 'else'"):
        viz.map_grid(images, {"own": np.zeros((2, 8, 8))}, hits={"else": np.ones(2)})


def test_every_diagram_is_described_and_keeps_its_ids_to_itself():
    files = sorted(diagrams.FOLDER.glob("*.svg"))
    assert files
    for path in files:
        page = Elements(viz.diagram(path.stem).html())
        svg = next(each for each in page.all("svg"))
        assert svg["role"] == "img" and page.all("title") and page.all("desc")
        assert set(svg["aria-labelledby"].split()) <= {each.get("id") for _, each in page.found}
        ids = [each["id"] for _, each in page.found if "id" in each]
        assert ids and all(ident.startswith(path.stem) for ident in ids), path.name
        assert "style" not in svg and "#" not in "".join(svg.get("fill", ""))
    with pytest.raises(AvcoreError, match="diagram"):
        viz.diagram("nowhere")


def test_a_verdict_leads_with_the_numbers():
    record = {
        "id": "X1", "seeds": [1, 2], "planned": 2, "verdict": "reproduced", "confidence": 0.95,
        "treatment_values": [0.8, 0.9], "baseline_values": [0.5, 0.6], "mean_difference": 0.3,
        "interval": [0.2, 0.4], "gates_failed": [], "direction": "higher", "effect": 0.1,
        "treatment": {"metric": "miou"}, "baseline": {"metric": "miou"},
    }  # fmt: skip
    said = str(viz.verdict(record, reproduced="So it is.", contradicted="Not so."))
    assert said == (
        "Claim X1, mean IoU: 0.85 against 0.55, a mean difference of +0.3 (95% interval +0.2 to "
        "+0.4, 2 seeds): **reproduced**. So it is."
    )
    rivals = str(viz.verdict({**record, "baseline": {"metric": "area"}}))
    assert rivals.startswith("Claim X1: 0.85 (mean IoU) against 0.55 (area marked), a mean")
    alike = str(viz.verdict({**record, "direction": "equal"}))
    assert "2 seeds, within ±0.1?)" in alike
    narrow = {**record, "baseline_values": [-3, -3], "mean_difference": 10.94}
    told = str(viz.verdict({**narrow, "interval": [10.66, 11.23]}))
    assert "against −3, a mean difference of +10.9 (95% interval +10.7 to +11.2," in told
    gate = "CSOL: realistic: wrong_sound_pointing had to be above 0.5"
    gone = {**record, "verdict": "not testable here", "gates_failed": [gate]}
    assert str(viz.verdict(gone, reproduced="So it is.")).endswith(
        "Not testable here: CSOL: realistic: pointing with a wrong sound had to be above 0.5."
    )
    few = {**record, "verdict": "not judged", "interval": None, "seeds": [1]}
    assert "(1 seed). Not judged" in str(viz.verdict(few, otherwise="Wait."))
    assert str(viz.verdict(None, otherwise="Wait.")).endswith("yet. Wait.")
    stale = str(viz.verdict({**few, "stale": "They are of another design."}, otherwise="Wait."))
    assert stale == "Claim X1 has earlier runs only. They are of another design. Wait."


def test_an_outcome_says_what_was_found_with_its_numbers():
    texts = {"more": "{mean:.0%} beats {other:.0%}", "less": "fewer", "equal": "a tie"}
    assert str(viz.outcome(compare([1, 1, 0.9], [0, 0.1, 0]), **texts)) == "97% beats 3%"
    assert str(viz.outcome(compare([0, 1], [1, 0]), **texts)) == "a tie"
    below = {**texts, "less": "{mean:.1f} dB, well-known, from -{n}"}
    assert str(viz.outcome(compare([-2, -2.1], [0, 0]), **below)) == "−2.0 dB, well-known, from −2"
    assert str(viz.outcome(compare([-0.01, -0.011], [0, 0]), **below)).startswith("0.0 dB")


def test_a_repeated_seed_is_told_with_its_threads():
    noisy = {"seed": 4, "threads": [1, 2], "values": [0.5, 0.53], "spread": 0.03}
    made_of = record([0.1], "reproduced", id="C7", noise=noisy)
    assert str(viz.repeated(made_of)) == (
        "Seed 4 of claim C7: IoU 0.500 with 1 thread, 0.530 with 2, which is 0.030 apart."
    )
    assert "run twice yet" in str(viz.repeated(None)) + str(viz.repeated({"id": "C7"}))


def test_captions_name_every_object_and_lists_say_when_they_are_empty():
    scenes = SimpleNamespace(
        class_id=torch.tensor([[1, 0], [0, -1]]),
        sounding=torch.tensor([[True, False], [False, False]]),
    )
    assert viz.who_sounds(scenes, ["drum", "bell"]) == [
        "bell sounds, drum is silent", "drum is silent",
    ]  # fmt: skip
    assert str(viz.listed(["a", "b"])) == "- a\n- b"
    assert str(viz.listed([], none="Nothing waits.")) == "Nothing waits."


def test_a_run_says_what_its_results_are_worth(monkeypatch):
    assert "smoke run" in str(viz.run_notice("smoke", 0))
    monkeypatch.setattr("avcore.nn.pretrained.available", lambda: False)
    assert "not installed" in str(viz.run_notice("quick", 0))
    assert "not installed" not in str(viz.run_notice("quick", 0, eye=False))
    monkeypatch.setattr("avcore.nn.pretrained.available", lambda: True)
    assert str(viz.run_notice("quick", 3)) == (
        "Scale `quick`, seed 3: the results are real, on one seed."
    )


def test_tinted_pictures_keep_their_size_and_grey_where_the_map_is_dark():
    images = np.full((2, 8, 8, 3), 200, np.uint8)
    maps = np.zeros((2, 4, 4))
    maps[1, 0, 0] = 1.0
    made_of = viz.tinted(images, maps, limits=(0.0, 1.0))
    assert made_of.shape == images.shape and made_of.dtype == np.uint8
    assert made_of[1, 0, 0].sum() > made_of[0, 0, 0].sum()
    assert (made_of[0] == made_of[0, 0, 0]).all()
    with pytest.raises(AvcoreError, match=r"wants shape \(2, h, w\)"):
        viz.tinted(images, np.zeros((3, 4, 4)))


def test_a_summary_gives_each_verdict_its_turn_and_a_claim_one_line():
    def named(ident: str, verdict: str, mean: float, **more: object) -> dict:
        return record([mean], verdict, id=ident, sentence=f"{ident} says", effect=0.02, **more)

    records = {each["id"]: each for each in (
        named("A1", "reproduced", 0.1), named("A2", "reproduced", 0.3),
        named("A2b", "reproduced", 0.2),
        named("A3", "contradicted", -0.1), named("A4", "not judged", 0.1),
        named("A5", "reproduced", 0.9, kind="ours"),
    )}  # fmt: skip
    said = viz.claim_summary(records, lines=3).html()
    counted = "Of the papers’ claims, counted with their variants, 4 were tested: 3 reproduced, "
    assert counted + "1 contradicted; of our own" in said
    assert "of our own 1: 1 reproduced. Among them" in said
    shown = re.findall(r"<span>(A\w+) says", said)
    assert shown == ["A2", "A1", "A3"]
    assert len(re.findall(r"<span>(A\w+) says", viz.claim_summary(records).html())) == 4
    assert "No claim is judged" in viz.claim_summary({}).html()
    equal = named("A9", "inconclusive", 0.1, direction="equal")
    assert "90 % interval, equal if within ±0.02" in viz.claim_summary({"A9": equal}).html()


def test_noise_is_told_beside_what_counts():
    noisy = {"seed": 4, "threads": [2, 1], "values": [0.5, 0.53], "spread": 0.03,
             "hardware": ["one", "one"]}  # fmt: skip
    records = {"C7": record([0.1], "reproduced", noise=noisy, effect=0.02), "D1": record([], "")}
    records["A8"] = {
        **record([0.1], "reproduced", id="A8", noise={**noisy, "of": "difference"}, effect=0.02),
        "baseline": {"variant": "max", "metric": "area"},
    }
    assert "0.03 of the difference between two runs" in viz.claim_card(records["A8"]).html()
    assert "A8: IoU − area marked 0.500" in str(viz.repeated(records["A8"]))
    page = made(viz.noise_table(records, "Again"))
    words = " ".join(" ".join(parts) for parts in page.text.values())
    for expected in ("C7, IoU", "A8, IoU − area marked", "0.5", "0.53", "0.03", "0.02", "Again"):
        assert expected in words, expected
    assert "No seed has been run again" in viz.noise_table({}).html()


def test_a_block_has_a_sheet_per_slice_and_counts_what_is_marked():
    volume = np.zeros((3, 4, 8))
    volume[0, 1, 2], volume[1, 3, 7], volume[2, 0, 0] = 2.0, 4.0, 9.0
    picture, mask = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    mask[2:4, 2:4] = True
    marked = np.array([True, True, False])
    html = viz.volume_block(picture, volume, marked, mask, step=0.5, caption="Cut").html()
    page = Elements(html)
    sheets = page.all("div", "av-slice")
    assert len(sheets) == 3 and [each["class"] for each in sheets][2].endswith("av-unheard")
    assert "left:31.2%;top:37.5%" in html  # the middle of the cell with the maximum
    assert "their mean, 3.00; slices in silence" in html
    labels = json.loads(page.all("input")[1]["data-labels"])
    assert labels[2] == "3 of 3, at 1.00 s: maximum 9.00, silent"
    assert page.all("input")[1]["data-start"] == "2"
    assert len(page.all("rect")) == 3


def test_a_block_of_other_shapes_is_an_error():
    picture = np.zeros((8, 8, 3), np.uint8)
    with pytest.raises(AvcoreError, match=r"wants shape \(T, h, w\)"):
        viz.volume_block(picture, np.zeros((4, 4)))
    with pytest.raises(AvcoreError, match="more than 32"):
        viz.volume_block(picture, np.zeros((33, 2, 2)))
    with pytest.raises(AvcoreError, match="marked steps"):
        viz.volume_block(picture, np.zeros((3, 2, 2)), np.ones(2, bool))
    with pytest.raises(AvcoreError, match="a mask wants"):
        viz.volume_block(picture, np.zeros((3, 2, 2)), mask=np.ones((4, 4), bool))
    with pytest.raises(AvcoreError, match="not finite"):
        viz.volume_block(picture, np.full((3, 2, 2), np.nan))


def test_what_is_not_here_and_how_it_is_fetched():
    assert "avcore data stamps" in str(viz.missing("photographs"))
    assert "avcore data words" in str(viz.missing("words"))
    assert "No failure" in str(viz.missing("failures")) and "recorded" in str(viz.missing("runs"))
    with pytest.raises(AvcoreError, match="missing part"):
        viz.missing("videos")


def test_source_code_is_shown_as_it_stands():
    shown = str(viz.source_code(outline.loops, outline.svg_path))
    assert shown.startswith("```python\ndef loops(") and shown.endswith("\n```")
    assert "\n\n\ndef svg_path(" in shown


def test_a_grid_of_sounds_plays_and_marks_what_it_was_called() -> None:
    tone = np.sin(np.arange(800) / 5).astype(np.float32)
    names = {
        "ear": [[viz.Name("drum", 0.9, True), viz.Name("bell", 0.2, False)],
                [viz.Name("bell", 1.0, True), viz.Name("drum", 0.5, True, "0.50")]],
        "all": [[viz.Name(EVIL, 0.0), viz.Name("gong", 0.1, True)], [viz.Name("siren", 0.3)]],
    }  # fmt: skip
    pictures = [[np.zeros((3, 8, 8), np.uint8)] * 2, []]
    made = viz.sound_grid([tone, tone / 2], 8000, names, ["a & b", "c"], pictures=pictures).html()
    page = Elements(made)
    assert len(page.all("audio")) == 2
    assert page.all("audio")[0]["aria-label"] == "Sound of a & b"
    assert [each["alt"] for each in page.all("img")] == [f"picture {n} of a & b" for n in (1, 2)]
    assert len(page.all("svg", "av-hit")) == 4 and len(page.all("svg", "av-miss")) == 1
    assert "<b>ear</b>: all names right in 1 of 2" in made
    assert "all</b>: all names" not in made and EVIL not in made
    assert "width:50.0%" in made and "<small>0.50</small>" in made
    told = viz.sound_grid([tone, tone], 8000, names, marked="5 & more").html()
    assert "<b>ear</b>: 5 &amp; more in 1 of 2" in told


def test_a_grid_of_sounds_wants_as_many_of_everything() -> None:
    tone = np.zeros(800, np.float32)
    with pytest.raises(AvcoreError, match="wants sounds"):
        viz.sound_grid([], 8000)
    with pytest.raises(AvcoreError, match="2 captions for 1 sounds"):
        viz.sound_grid([tone], 8000, captions=["a", "b"])
    with pytest.raises(AvcoreError, match="names by ear for 1"):
        viz.sound_grid([tone], 8000, {"ear": []})
    with pytest.raises(AvcoreError, match="share from 0 to 1"):
        viz.sound_grid([tone], 8000, {"ear": [[viz.Name("drum", 1.2)]]})
