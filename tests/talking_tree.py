"""Small trees in the layouts of VoxCeleb and UCF-101, of real encoded media."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from media_tree import RATE, tone, write_sound, write_video

SPEAKERS = {f"id0000{number}": "fm"[number % 2] for number in range(1, 9)}  # in dev: four of each
TESTED = {"id00011": "m", "id00012": "f"}
SECONDS = 3  # of a clip

CLASSES = ("Archery", "HandstandPushups", "PlayingCello")
SPELLED = {"HandstandPushups": "HandStandPushups"}  # in the names of its videos, as published
GROUPS = {"train": (8, 9, 10), "test": (1, 2)}  # of each class
CLIPS = {"train": (1, 2), "test": (1,)}  # of each group


def pitch(speaker: str) -> float:
    """Hz; no two speakers have the same."""
    return 200.0 * int(speaker[2:])


def shade(speaker: str) -> int:
    return 15 * int(speaker[2:])


def write_m4a(path: Path, samples: np.ndarray) -> Path:
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mp4") as container:
        track = container.add_stream("aac", rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None], "fltp", "mono")
        frame.sample_rate = RATE
        container.mux(track.encode(frame))
        container.mux(track.encode())
    return path


def write_talker(base: Path, speaker: str, clips: int = 2) -> None:
    """Clips of one video: the first with a WAV, the second with an M4A, others with their own."""
    shades, said = (shade(speaker),) * SECONDS, tone(pitch(speaker), float(SECONDS))
    for number in range(1, clips + 1):
        place = f"{speaker}/abcdefghijk/{number:05d}"
        pitches = (pitch(speaker),) * SECONDS
        write_video(base / f"mp4/{place}.mp4", shades, sound=number > 2, pitches=pitches)
        if number == 1:
            write_sound(base / f"wav/{place}.wav", said)
        elif number == 2:
            write_m4a(base / f"aac/{place}.m4a", said)


def write_voxceleb(root: Path) -> Path:
    """Two clips of each speaker and a third of the first; a table in the form of each part."""
    for number, speaker in enumerate(SPEAKERS):
        write_talker(root / "dev", speaker, 2 + (number == 0))
    for speaker in TESTED:
        write_talker(root / "test", speaker)
    rows = [f"{speaker}\tA_Name\t{sex}\tNowhere\tdev" for speaker, sex in SPEAKERS.items()]
    head = "VoxCeleb1 ID\tVGGFace1 ID\tGender\tNationality\tSet"
    (root / "vox1_meta.csv").write_text("\n".join([head, *rows]) + "\n")
    rows = [f"A Name ,{speaker} ,n000001 ,{sex} ,test " for speaker, sex in TESTED.items()]
    head = "Name ,VoxCeleb2 ID ,VGGFace2 ID ,Gender ,Set "
    (root / "vox2_meta.csv").write_text("\n".join([head, *rows]) + "\n")
    return root


def video_of(name: str, group: int, clip: int) -> str:
    return f"{name}/v_{SPELLED.get(name, name)}_g{group:02d}_c{clip:02d}.avi"


def write_ucf101(root: Path) -> Path:
    """Three classes, of which the last alone has sound; two seconds each, in a shade by class."""
    lists = root / "ucfTrainTestlist"
    lists.mkdir(parents=True)
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for number, name in enumerate(CLASSES, 1):
        for kind, groups in GROUPS.items():
            for video in (video_of(name, group, clip) for group in groups for clip in CLIPS[kind]):
                sound = name == CLASSES[-1]
                write_video(root / "UCF-101" / video, (60 * number,) * 2, sound=sound)
                lines[kind].append(f"{video} {number}" if kind == "train" else video)
    for kind, some in lines.items():
        (lists / f"{kind}list01.txt").write_text("\r\n".join(some) + "\r\n")
    classes = [f"{number} {name}" for number, name in enumerate(CLASSES, 1)]
    (lists / "classInd.txt").write_text("\n".join(classes) + "\n")
    return root
