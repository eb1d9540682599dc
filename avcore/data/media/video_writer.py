"""Writing a video that plays everywhere: MP4 with H.264 pictures and AAC sound, in a stream."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from avcore.data.media.read import _first_line
from avcore.data.media.video import Video, opened, picture_streams
from avcore.data.media.video_streams import Picture
from avcore.support import MediaError, atomic_write, require

CLOCK = Fraction(1, 90_000)  # s, of encoded pictures
PRESET, QUALITY = "veryfast", "21"  # of x264; its constant rate factor
KEY_FRAMES = 60  # pictures between two that can be jumped to, at most
BIT_RATE = 64_000  # per second and channel of sound
RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)  # Hz, of AAC
COPIED = ("mov", "matroska")  # containers whose H.264 an MP4 takes as it is


def sound_rate(rate: int) -> int:
    """The sampling rate that AAC takes for a sound of `rate` Hz: its own, or the next above."""
    return next((each for each in RATES if each >= rate), RATES[-1])


def can_copy(video: Video) -> bool:
    """Whether the compressed pictures of a video can stand in an MP4 as they are."""
    return video.codec == "h264" and video.container.startswith(COPIED)


class VideoWriter:
    """A video that is being written; `write_video` makes one.

    First say what it holds (`add_sound`, and `encode_pictures`, `copy_pictures` or `follow`), then
    give pictures and sound in about the order of their times.
    """

    def __init__(self, path: Path, container: Any) -> None:
        self.path = path
        self._container = container
        self._pictures: Any = None
        self._sound: Any = None
        self._samples = 0
        self._encodes = False
        self._followers: list[VideoWriter] = []

    def encode_pictures(self, like: Video, turns: int = 0) -> None:
        """Pictures are given as frames of the size and average rate of a video.

        Odd sizes lose one pixel. `turns` as in `Picture`: how players turn them upright.
        """
        stream = self._container.add_stream("libx264", rate=like.rate)
        stream.width, stream.height = like.width // 2 * 2 or 2, like.height // 2 * 2 or 2
        stream.pix_fmt = "yuv420p"
        stream.sample_aspect_ratio = Fraction(like.aspect).limit_denominator(1000)
        stream.codec_context.time_base = CLOCK
        stream.gop_size = KEY_FRAMES
        stream.options = {"preset": PRESET, "crf": QUALITY}
        if turns:
            stream.set_display_rotation(90 * turns)
        context = stream.codec_context
        context.colorspace, context.color_primaries, context.color_trc = like.colours
        self._pictures, self._encodes = stream, True

    def copy_pictures(self, stream: Any) -> None:
        """Pictures are given as packets of a stream of another file."""
        with _writing(self.path):
            self._pictures = self._container.add_stream_from_template(stream)

    def follow(self, other: VideoWriter) -> None:
        """The pictures are those that `other` encodes, once for both; it has its streams by now."""
        with _writing(self.path):
            other._container.start_encoding()
        self.copy_pictures(other._pictures)
        other._followers.append(self)

    def add_sound(self, sample_rate: int, channels: int = 1) -> None:
        """Sound is given at a rate of `RATES` in one or two channels."""
        layout = ("mono", "stereo")[channels - 1]
        self._sound = self._container.add_stream("aac", rate=sample_rate, layout=layout)
        self._sound.bit_rate = BIT_RATE * channels

    def picture(self, picture: Picture, frame: Any = None) -> None:
        """Encode a picture at its time, or `frame` (of PyAV) in its place."""
        frame = picture.frame if frame is None else frame
        stream = self._pictures
        with _writing(self.path):
            frame = frame.reformat(stream.width, stream.height, "yuv420p", dst_color_range="MPEG")
            frame.pts, frame.time_base = round(picture.time / CLOCK), CLOCK
            frame.duration = max(round((picture.until - picture.time) / CLOCK), 1)
            frame.pict_type = 0  # the encoder chooses which pictures are key frames
            self._encoded(frame)

    def _encoded(self, frame: Any) -> None:
        for packet in self._pictures.encode(frame):
            for writer in (self, *self._followers):
                writer.packet(packet)

    def packet(self, packet: Any) -> None:
        """Write a compressed picture as it is; its times are those of this video."""
        with _writing(self.path):
            packet.stream = self._pictures
            self._container.mux(packet)

    def sound(self, block: np.ndarray) -> None:
        """Encode the next (channels, n) samples, float in [-1, 1]; louder ones are clipped."""
        if not block.shape[1]:
            return
        with _writing(self.path):
            stream = self._sound
            samples = np.ascontiguousarray(block.clip(-1, 1), np.float32)
            frame = require("av", "media").AudioFrame.from_ndarray(
                samples, "fltp", stream.layout.name
            )
            frame.sample_rate, frame.pts = stream.rate, self._samples
            frame.time_base = Fraction(1, stream.rate)
            self._samples += block.shape[1]
            self._container.mux(stream.encode(frame))

    def end_pictures(self) -> None:
        """Write the last pictures, here and in the followers; must come before they are closed."""
        if self._encodes:
            with _writing(self.path):
                self._encoded(None)
            self._encodes = False

    def finish(self) -> None:
        """Write what the encoders still hold."""
        self.end_pictures()
        with _writing(self.path):
            if self._sound is not None:
                self._container.mux(self._sound.encode(None))


@contextlib.contextmanager
def write_video(path: str | Path) -> Iterator[VideoWriter]:
    """Open a video that appears at `path` when it is whole; on an error nothing is left.

    Raises
    ------
    MediaError
        The folder is a file, may not be written to, or has no space left.
    """
    path = Path(path)
    av = require("av", "media")
    with _writing(path), atomic_write(path, "wb") as file:
        container = av.open(file, "w", format="mp4")
        try:
            writer = VideoWriter(path, container)
            yield writer
            writer.finish()
        except BaseException:
            with contextlib.suppress(Exception):  # what went wrong first is what is said
                container.close()
            raise
        with _writing(path):
            container.close()


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Errors of encoding and of the disk in one sentence."""
    try:
        yield
    except (require("av", "media").FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or _first_line(error)
        raise MediaError(f"{path}: cannot be written ({reason})") from error


@contextlib.contextmanager
def compressed(video: Video) -> Iterator[tuple[Any, Iterator[tuple[float, Any]]]]:
    """The stream of a video's pictures, and its packets: (s, packet), on our clock."""
    with opened(video.path) as container:
        stream = picture_streams(container)[0]

        def packets() -> Iterator[tuple[float, Any]]:
            shift = round(video.start / stream.time_base)
            step = max(round(1 / (video.rate * stream.time_base)), 1)
            undated: list[Any] = []  # Matroska leaves out when the first are to be decoded
            for packet in container.demux(stream):
                if packet.size == 0:
                    continue  # the empty packet that ends a stream
                undated.append(packet)
                if packet.dts is None:
                    continue
                for back, each in zip(range(len(undated))[::-1], undated, strict=True):
                    each.dts = packet.dts - back * step
                    each.pts = (each.dts if each.pts is None else each.pts) - shift
                    each.dts -= shift
                    yield float(each.dts * stream.time_base), each
                undated.clear()

        yield stream, packets()
