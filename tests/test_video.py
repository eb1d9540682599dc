"""Videos read in windows and written in a stream; locating and separating around a stand-in."""

import itertools
import resource
import sys
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="the media extra is not installed")

import av
from media_tree import MOMENT, even, noise, silence_with_click
from media_tree import write_film as write

from avcore import cli
from avcore.data.media.read import read_audio
from avcore.data.media.video import describe
from avcore.data.media.video_streams import pictures
from avcore.data.media.video_writer import CLOCK, sound_rate
from avcore.data.media.windows import ClipForm, fit, windows
from avcore.papers.multisensory import shipped, videos
from avcore.papers.multisensory.overlay import Overlay, RunningScale
from avcore.papers.multisensory.videos import locate_video, separate_video
from avcore.papers.multisensory.windowed import CrossFade
from avcore.support import AvcoreError, MediaError
from avcore.viz.theme import colour_table

FORM = ClipForm()
COLOURS = colour_table("inferno")


@pytest.fixture(scope="module")
def video(tmp_path_factory) -> Path:
    """5 s of 25 pictures per second with stereo noise at 44.1 kHz."""
    path = tmp_path_factory.mktemp("video") / "a.mp4"
    return write(path, even(5), noise(5, 44_100, 2))


def identity(frames, waveform):
    return waveform, 0 * waveform


def left_half(frames, waveform):
    heat = torch.zeros(4, 8, 8)
    heat[:, :, :4] = 1
    return heat


def si_sdr(estimate, target):
    n = min(len(estimate), len(target))
    estimate, target = estimate[:n], target[:n]
    part = target * (estimate @ target) / (target @ target)
    return 10 * np.log10((part @ part) / ((estimate - part) @ (estimate - part)))


def read_pictures(path):
    with av.open(str(path)) as container:
        return [
            (frame.time, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)
        ]


# --- windows --------------------------------------------------------------------------------


def test_a_clip_form_divides_evenly():
    assert (FORM.n_frames, FORM.n_samples) == (32, 32_000)
    with pytest.raises(AvcoreError, match="whole number of pictures or samples at 15 per second"):
        ClipForm(fps=15, duration=1.0)
    with pytest.raises(AvcoreError, match="are positive"):
        ClipForm(size=0)


def test_windows_overlap_by_half_and_say_how_much_is_real(video):
    found = list(windows(describe(video), FORM))
    assert [window.start for window in found] == [0, 1, 2, 3, 4][: len(found)]
    assert found[-1].start + found[-1].real == pytest.approx(5.0, abs=0.05)
    for before, after in itertools.pairwise(found):
        assert before.real == 2.0
        assert np.array_equal(before.frames[16:], after.frames[:16])
        assert np.array_equal(before.waveform[16_000:], after.waveform[:16_000])
    assert all(each.frames.shape == (32, 3, 64, 64) for each in found)
    assert all(each.waveform.shape == (32_000,) for each in found)


def test_the_last_window_is_padded_with_the_last_picture_and_silence(tmp_path):
    path = write(tmp_path / "a.mkv", even(2.5), noise(2.5, 16_000), 16_000, sound_codec="pcm_s16le")
    first, last = windows(describe(path), FORM)
    assert last.real == pytest.approx(1.5, abs=1e-3)
    assert np.all(last.frames[24:] == last.frames[23]) and last.frames.max() > 20
    assert not last.waveform[24_000:].any() and last.waveform[:24_000].any()
    assert first.real == 2.0


CASES = {
    "25 fps, 44.1 kHz stereo": ({}, even(4), 44_100, 2),
    "30 fps, 22.05 kHz": ({}, even(4, 30), 22_050, 1),
    "16 fps, 48 kHz": ({}, even(4, 16), 48_000, 1),
    "variable": (
        {},
        [*even(1), 1.2, 1.21, MOMENT, MOMENT + 0.1, 1.7, 2.9, *(3 + even(1))],
        16_000,
        1,
    ),
    "odd size": ({"size": (63, 47)}, even(4), 44_100, 1),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_a_flash_and_a_click_are_found_at_their_time(tmp_path, name, ending):
    options, times, rate, channels = CASES[name]
    lossless = {"sound_codec": "pcm_s16le"} if ending == "mkv" else {}
    click = silence_with_click(4, rate, channels)
    path = write(tmp_path / f"a.{ending}", times, click, rate, **options, **lossless)
    for window in list(windows(describe(path), FORM))[:2]:
        flashes = window.start + np.flatnonzero(window.frames[:, 0, 32, 32] > 150) / FORM.fps
        assert abs(flashes[0] - MOMENT) <= 1 / FORM.fps
        assert len(flashes) in (1, 2)
        heard = window.start + np.abs(window.waveform).argmax() / FORM.sample_rate
        assert heard == pytest.approx(MOMENT, abs=1e-3)


def test_sound_that_starts_later_and_ends_earlier_stays_in_place(tmp_path):
    path = write(
        tmp_path / "a.mkv", even(4), silence_with_click(2, 16_000, at=0.5), 16_000, sound_from=1.0,
        sound_codec="pcm_s16le",
    )  # fmt: skip
    first, _, last = windows(describe(path), FORM)
    assert np.abs(first.waveform).argmax() / 16_000 == pytest.approx(MOMENT, abs=1e-3)
    assert not last.waveform[16_001:].any() and last.real == pytest.approx(2.0, abs=0.01)


def test_sound_that_starts_before_the_picture_is_kept(tmp_path):
    click = silence_with_click(4, 16_000)
    path = write(tmp_path / "a.mkv", 0.5 + even(3.5), click, 16_000, sound_codec="pcm_s16le")
    first, *_ = windows(describe(path), FORM)
    assert np.abs(first.waveform).argmax() / 16_000 == pytest.approx(MOMENT, abs=1e-3)
    assert np.flatnonzero(first.frames[:, 0, 32, 32] > 150)[0] == MOMENT * FORM.fps


def test_stereo_becomes_its_mean(tmp_path):
    both = np.stack([noise(3, 16_000)[0], np.zeros(48_000, np.float32)])
    path = write(tmp_path / "a.mkv", even(3), both, 16_000, sound_codec="pcm_s16le")
    first, *_ = windows(describe(path), FORM)
    np.testing.assert_allclose(first.waveform, both[0, :32_000] / 2, atol=1e-3)


def test_a_picture_is_fitted_into_the_square_with_bars(video):
    assert fit(640, 360, 64) == (0, 14, 64, 36) and fit(360, 640, 64) == (14, 0, 36, 64)
    frames = next(windows(describe(video), FORM)).frames
    assert not frames[:, :, :8].any() and not frames[:, :, 56:].any()
    assert (frames[:, :, 8:56] > 20).all()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_video_is_seen_and_painted_upright(tmp_path, turns):
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:24, :32] = 255  # stored; upright it is elsewhere
    sound = noise(3, 16_000)
    path = write(tmp_path / "a.mp4", even(3), sound, 16_000, shade=lambda _: picture, turns=turns)
    upright = np.rot90(picture, turns)
    height, width = upright.shape[:2]
    left, top, _, _ = fit(width, height, 64)
    seen = next(windows(describe(path), FORM)).frames[0].transpose(1, 2, 0)
    seen = seen[top : top + height, left : left + width]
    assert np.abs(seen.astype(int) - upright).mean() < 10
    located = locate_video(path, tmp_path / "out", left_half, COLOURS).files[0]
    found = next(pictures(describe(located)))
    assert found.turns == turns
    shown = np.rot90(found.frame.to_ndarray(format="rgb24"), turns).astype(int)
    change = np.abs(shown - upright).mean(-1)
    assert change[:, : width // 2 - 8].mean() > 40 > 10 > change[:, width // 2 + 8 :].mean()


# --- errors ---------------------------------------------------------------------------------


def damaged(path: Path, source: Path, kind: str) -> Path:
    data = bytearray(source.read_bytes())
    if kind == "early":
        data = data[: len(data) * 6 // 10]
    elif kind == "damaged":
        middle = len(data) // 2
        rng = np.random.default_rng(0)
        data[middle : middle + 4000] = rng.integers(0, 256, 4000, np.uint8).tobytes()
    elif kind == "text":
        data = bytearray(b"hello " * 100)
    elif kind == "empty":
        data = bytearray()
    path.write_bytes(data)
    return path


@pytest.fixture(scope="module")
def lively(tmp_path_factory) -> Path:
    """A video whose header stands first and whose pictures need many bytes."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("lively") / "a.mp4"
    return write(
        path, even(5), noise(5, 16_000), 16_000,
        shade=lambda _: rng.integers(0, 256, (48, 64, 3), np.uint8),
        options={"movflags": "faststart"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("early", r"(ends early, after|is damaged at) \d\.\d s"),
        ("damaged", r"is damaged at \d\.\d s"),
        ("text", "not a whole video"),
        ("empty", "the file is empty"),
    ],
)
@pytest.mark.parametrize("command", ["locate", "separate"])
def test_a_damaged_video_is_one_sentence_and_leaves_nothing(tmp_path, lively, kind, words, command):
    path, out = damaged(tmp_path / "bad.mp4", lively, kind), tmp_path / "out"
    with pytest.raises(MediaError, match=rf"bad\.mp4: .*{words}") as caught:
        if command == "locate":
            locate_video(path, out, left_half, COLOURS)
        else:
            separate_video(path, out, identity)
    assert "\n" not in str(caught.value)
    assert not out.exists() or not list(out.iterdir())


def test_a_film_that_ends_early_is_noticed_in_matroska(tmp_path):
    path = write(tmp_path / "a.mkv", even(8), noise(8, 16_000), 16_000, sound_codec="pcm_s16le")
    with pytest.raises(MediaError, match=r"bad\.mkv: .*(ends early|is damaged)"):
        separate_video(damaged(tmp_path / "bad.mkv", path, "early"), tmp_path / "out", identity)
    assert not list((tmp_path / "out").iterdir())


def test_what_a_video_lacks_is_named(tmp_path, video):
    with pytest.raises(MediaError, match="there is no such file"):
        describe(tmp_path / "none.mp4")
    with pytest.raises(MediaError, match="has no sound in it"):
        describe(write(tmp_path / "mute.mp4", even(3)))
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(noise(3, 16_000), "fltp", "mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(MediaError, match="has no pictures in it"):
        describe(tmp_path / "sound.mp4")
    short = write(tmp_path / "short.mp4", even(1), noise(1, 16_000), 16_000)
    with pytest.raises(MediaError, match=r"short\.mp4: lasts 1\.\d\d s; at least 2 s is needed"):
        separate_video(short, tmp_path / "out", identity)
    assert not list((tmp_path / "out").iterdir())


def test_a_header_that_nobody_can_follow_is_named(tmp_path):
    path = write(tmp_path / "a.avi", even(3), noise(3, 16_000), 16_000, codec="mpeg4",
                 sound_codec="mp3")  # fmt: skip
    content = path.read_bytes()
    for four, what in ((b"FMP4", "pictures are"), (b"\x55\x00\x01\x00", "sound is")):
        assert four in content
        other = tmp_path / f"{what[:5]}.avi"
        other.write_bytes(content.replace(four, b"\x77\x66" + four[2:]))
        with pytest.raises(MediaError, match=f"its {what} of an unknown codec"):
            describe(other)
    slow = write(tmp_path / "slow.mkv", [0.0, 600.0, 1200.0], noise(3, 16_000), 16_000,
                 sound_codec="pcm_s16le", rate_of_pictures=Fraction(1, 600))  # fmt: skip
    with pytest.raises(MediaError, match="pictures a second cannot be right"):
        describe(slow)


def test_tags_in_another_encoding_do_no_harm(tmp_path):
    path = write(tmp_path / "a.mkv", even(3), noise(3, 16_000), 16_000, title="Caf\u00e9 XX")
    path.write_bytes(path.read_bytes().replace(b"Caf\xc3\xa9 XX", b"Caf\xe9 XXX"))
    assert describe(path).width == 64


def test_streams_without_content_are_named(tmp_path):
    blank = write(tmp_path / "blank.mkv", [], noise(3, 16_000), 16_000)
    with pytest.raises(MediaError, match="has no pictures in it"):
        locate_video(blank, tmp_path / "out", left_half, COLOURS)
    mute = write(tmp_path / "mute.mkv", even(3), np.zeros((1, 0), np.float32), 16_000)
    with pytest.raises(MediaError, match="has no sound in it"):
        separate_video(mute, tmp_path / "out", identity)


def test_where_nothing_can_be_written(tmp_path, video):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MediaError, match="is a file; results are written into a folder"):
        separate_video(video, tmp_path / "file", identity)
    own = tmp_path / "on-screen.mp4"
    own.write_bytes(video.read_bytes())
    with pytest.raises(MediaError, match="is the video itself; choose another folder"):
        separate_video(own, tmp_path, identity)


@pytest.mark.parametrize("command", ["locate", "separate"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path, video, command):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, limits[1]))
    try:
        with pytest.raises(MediaError, match=r"\.mp4: cannot be written \(File too large\)"):
            if command == "locate":
                locate_video(video, tmp_path / "out", left_half, COLOURS)
            else:
                separate_video(video, tmp_path / "out", identity)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("split", "words"),
    [
        (lambda f, w: (w, w[1:]), "two sounds of 32000 samples"),
        (lambda f, w: (w, w / 0), "not finite"),
    ],
)
def test_a_network_that_fails_leaves_nothing(tmp_path, video, split, words):
    with pytest.raises(AvcoreError, match=words):
        separate_video(video, tmp_path, split)
    with pytest.raises(AvcoreError, match=r"maps \(T, h, w\), got \(8, 8\)"):
        locate_video(video, tmp_path, lambda f, w: torch.zeros(8, 8), COLOURS)
    with pytest.raises(AvcoreError, match="not finite"):
        locate_video(video, tmp_path, lambda f, w: torch.full((1, 8, 8), torch.nan), COLOURS)
    assert not list(tmp_path.iterdir())


# --- separating -----------------------------------------------------------------------------


def test_cross_faded_windows_give_the_stream_back():
    stream, fade = torch.randn(50, 3), CrossFade()
    parts = [fade.add(stream[start : start + 20]) for start in range(0, 40, 10)]
    torch.testing.assert_close(torch.cat([*parts, fade.end()]), stream)


def test_an_identity_gives_the_sound_and_the_pictures_back(tmp_path, video):
    written = separate_video(video, tmp_path, identity)
    on, off = written.files
    assert [file.name for file in tmp_path.iterdir()] != [] and len(list(tmp_path.iterdir())) == 2
    assert written.seconds == pytest.approx(5.0, abs=0.05)
    original, heard = read_audio(video, 16_000), read_audio(on, 16_000)
    before = np.concatenate([w.waveform[:16_000] for w in windows(describe(video), FORM)])
    after = np.concatenate([w.waveform[:16_000] for w in windows(describe(on), FORM)])
    assert si_sdr(after, before) > 15 and len(heard) == pytest.approx(len(original), abs=3000)
    assert np.abs(read_audio(off)).max() < 1e-3
    for file in (on, off):
        for (time, picture), (copied_at, copied) in zip(
            read_pictures(video), read_pictures(file), strict=True
        ):
            assert time == pytest.approx(copied_at, abs=1e-3) and np.array_equal(picture, copied)


@pytest.mark.parametrize("ending", ["mp4", "mkv"])
def test_pictures_that_lean_on_later_ones_are_copied_whole(tmp_path, ending):
    path = write(
        tmp_path / f"a.{ending}", even(4), noise(4, 44_100), preset="medium", shade=drifting
    )
    with av.open(str(path)) as container:
        assert any(packet.pts != packet.dts for packet in container.demux(video=0))
    own = read_pictures(path)
    for file in separate_video(path, tmp_path / "out", identity).files:
        copied = read_pictures(file)
        assert len(copied) == len(own) == 100
        for (time, picture), (shown_at, shown) in zip(own, copied, strict=True):
            assert shown_at == pytest.approx(time, abs=2e-3) and np.array_equal(picture, shown)


def drifting(time):
    """Stripes that move, so that a picture is foretold by its neighbours."""
    column = np.arange(64) + 25 * time
    return (120 + 100 * np.sin(column / 5))[None, :, None].repeat(48, 0).repeat(3, 2)


@pytest.mark.parametrize(("size", "codec"), [((64, 48), "mpeg4"), ((63, 47), "libx264")])
def test_pictures_that_an_mp4_does_not_take_are_encoded_again(tmp_path, size, codec):
    times = [*even(1), 1.3, MOMENT, MOMENT + 0.1, 2.2, 2.9]
    path = write(tmp_path / "a.mkv", times, noise(3, 22_050), 22_050, size, codec=codec)
    for file in separate_video(path, tmp_path, identity, hide="left").files:
        found = describe(file)
        assert found.codec == "h264" and found.container.startswith("mov")
        assert (found.width, found.height) == (size[0] // 2 * 2, size[1] // 2 * 2)
        shown = read_pictures(file)
        np.testing.assert_allclose([time for time, _ in shown], times, atol=2e-3)
        bright = [picture[:, 40:].mean() for _, picture in shown]
        assert len(list(pictures(found))) == len(times)
        assert np.argmax(bright) == times.index(MOMENT)


@pytest.mark.parametrize(("side", "kept"), [("left", slice(34, None)), ("right", slice(None, 30))])
def test_a_hidden_half_is_black_for_the_network_and_in_what_is_written(tmp_path, video, side, kept):
    seen = []
    written = separate_video(video, tmp_path, lambda f, w: seen.append(f) or (w, w), hide=side)
    black = slice(0, 32) if side == "left" else slice(32, 64)
    assert all(not frames[..., black].any() for frames in seen)
    assert all(frames[:, :, 8:56, kept].all() for frames in seen)
    for file in written.files:
        for _, picture in read_pictures(file):
            assert picture[:, kept].min() > 20
            assert picture[:, : 30 if side == "left" else None][:, -30:].max() < 12
    with pytest.raises(AvcoreError, match="unknown half of the picture 'top'"):
        separate_video(video, tmp_path, identity, hide="top")


# --- locating -------------------------------------------------------------------------------


def test_the_map_lies_on_the_original_picture(tmp_path, video):
    (file,) = locate_video(video, tmp_path, left_half, COLOURS).files
    found = describe(file)
    assert (found.width, found.height, found.codec) == (64, 48, "h264")
    assert (found.sample_rate, found.channels) == (44_100, 2)
    for (time, picture), (shown_at, shown) in zip(
        read_pictures(video), read_pictures(file), strict=True
    ):
        assert time == pytest.approx(shown_at, abs=1e-3)
        change = np.abs(shown.astype(int) - picture).mean(-1)
        assert change[:, :24].mean() > 15 and change[:, 40:].mean() < 6
    before = np.concatenate([w.waveform[:16_000] for w in windows(describe(video), FORM)])
    after = np.concatenate([w.waveform[:16_000] for w in windows(describe(file), FORM)])
    assert si_sdr(after, before) > 15


def test_maps_follow_the_time(tmp_path, video):
    def heat(frames, waveform):
        maps = torch.zeros(32, 1, 1)
        maps[frames.amax((1, 2, 3)) > 0.6] = 1  # while the flash lasts
        return maps

    (file,) = locate_video(video, tmp_path, heat, COLOURS).files
    pairs = zip(read_pictures(video), read_pictures(file), strict=True)
    changed = [time for (time, a), (_, b) in pairs if np.abs(b.astype(int) - a).mean() > 20]
    assert changed and MOMENT - 0.07 <= min(changed) and max(changed) <= MOMENT + 0.17


def test_the_scale_ends_at_the_percentile_of_the_last_seconds():
    scale, maps = RunningScale(), torch.linspace(0, 1, 1000).view(10, 10, 10)
    shown = scale(maps)
    assert shown.flatten()[970] == 1 and shown.flatten()[480] == 0
    assert shown.flatten()[727].item() == pytest.approx(0.5, abs=0.01)
    assert not scale(torch.zeros(1, 2, 2)).any()
    for _ in range(10):
        scale(0.5 * maps)  # what was louder is forgotten
    assert scale(0.5 * maps).max() == 1
    for _ in range(10):
        scale(0.01 * maps)
    assert not scale(0.01 * maps).any()
    assert not RunningScale()(torch.zeros(2, 3, 3)).any()


def test_a_map_is_interpolated_as_torch_does(video):
    heat = torch.rand(7, 7)
    spread = Overlay(describe(video), COLOURS)._spread(heat)
    square = torch.nn.functional.interpolate(heat[None, None], (64, 64), mode="bilinear")
    expected = 255 * square[0, 0, 8:56].numpy()
    np.testing.assert_allclose(spread, expected, atol=0.51)


# --- memory and the commands ----------------------------------------------------------------


def test_memory_does_not_grow_with_the_length(tmp_path):
    def used(seconds):
        path = write(tmp_path / f"{seconds}.mp4", even(seconds, 5), noise(seconds, 16_000), 16_000)
        before = memory()
        locate_video(path, tmp_path, left_half, COLOURS)
        separate_video(path, tmp_path, identity)
        return memory() - before

    first = used(20)
    assert used(120) - first < 64 and first < 300


def memory() -> float:
    """The most that this process has held so far, MiB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / (2**20 if sys.platform == "darwin" else 2**10)


@pytest.fixture
def _shipped(monkeypatch):
    asked = []

    def loader(network):
        def load(checkpoint, device):
            asked.append((checkpoint, device))
            return network

        network.form = FORM
        return load

    monkeypatch.setattr(shipped, "locator", loader(partial(left_half)))
    monkeypatch.setattr(shipped, "separator", loader(partial(identity)))
    return asked


def test_the_commands_say_what_they_wrote(_shipped, video, tmp_path, capsys):
    assert cli.main(["locate", str(video), "--out", str(tmp_path), "--device", "cpu"]) == 0
    out, err = capsys.readouterr()
    assert str(tmp_path / "located.mp4") in out and "5.0 s of video in" in out and "located" in err
    words = ["separate", str(video), "--out", str(tmp_path), "--hide", "left"]
    assert cli.main([*words, "--checkpoint", "my.pt"]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[:2] == [str(tmp_path / f"{x}-screen.mp4") for x in ("on", "off")]
    assert _shipped == [(None, "cpu"), (Path("my.pt"), "auto")]


@pytest.mark.parametrize("command", ["locate", "separate"])
def test_a_mistake_is_one_sentence(_shipped, tmp_path, capsys, command):
    assert cli.main([command, str(tmp_path / "no.mp4"), "--out", str(tmp_path)]) == 3
    assert capsys.readouterr().err == f"avcore: {tmp_path / 'no.mp4'}: there is no such file\n"


def test_rates_of_sound_are_those_of_aac():
    assert [sound_rate(rate) for rate in (7_350, 12_345, 44_100, 96_000)] == [
        8_000, 16_000, 44_100, 48_000,
    ]  # fmt: skip
    assert CLOCK < Fraction(1, 1000) and videos.SIDES == ("left", "right")
