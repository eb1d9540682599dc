"""MUSIC: videos of solos and duets, in class folders or by the public lists.

Source: Zhao et al., "The Sound of Pixels" (ECCV 2018), whose release names the videos of each class
in json files, and the public code of DSOL (NeurIPS 2020), whose text files name those of each
split. Two layouts are read::

    solo/CLASS/VIDEO.mp4                 class folders; or VIDEO.jpg + VIDEO.wav
    duet/CLASS CLASS/VIDEO.mp4           two classes with a blank between them

    MUSIC_solo_videos.json               the lists; or MUSIC21_solo_videos.json
    MUSIC_duet_videos.json               {"videos": {CLASS: [the 11 characters of an id, …]}}
    solo_training.txt                    for stage one, a line AUDIO.flac VIDEO.mp4 each
    solo_training_2.txt                  for the collages of stage two
    solo_validation.txt, solo_testing.txt, duet_pairs_train.txt, duet_pairs_val.txt
    video/VIDEO.mp4
    audio/AUDIO.flac                     without this folder the video's own sound is read

A root with `solo_training.txt` or `duet_pairs_train.txt` has the lists. Class folders have no
published split: of each class, in the order of a digest of the names, one video in ten (at least
one) is for test and as many for val. The public code cuts videos into pictures and pickled sounds
(`video_frames`, `audio_frames`); these are not read, since reading a pickle can run any program.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from pathlib import Path

from avcore.data.media.folder import Problem
from avcore.data.sets.clips import Index
from avcore.data.sets.files import SPLITS, Entry
from avcore.data.sets.folder import clips_in
from avcore.data.sets.shares import at_moments, half_of, shuffled_by_name
from avcore.data.sets.table import cannot_name, read_text
from avcore.support import MediaError, choose

SOLO_CLASSES = (
    "accordion", "acoustic_guitar", "cello", "clarinet", "erhu", "flute", "saxophone", "trumpet",
    "tuba", "violin", "xylophone",
)  # fmt: skip
LISTS = {
    ("solo", "train"): ("solo_training.txt", "solo_training_2.txt"),
    ("solo", "val"): ("solo_validation.txt",),
    ("solo", "test"): ("solo_testing.txt",),
    ("duet", "train"): ("duet_pairs_train.txt",),
    ("duet", "val"): ("duet_pairs_val.txt",),
}
CLASS_LISTS = {
    "solo": ("MUSIC_solo_videos.json", "MUSIC21_solo_videos.json"),
    "duet": ("MUSIC_duet_videos.json",),
}
ID = 11  # characters of a video's name that say which video of YouTube it is


def list_solos(
    root: str | Path, split: str, classes: Sequence[str] = (), half: int = 0, moments: int = 1
) -> Index:
    """The solos of a split, each with its class as `category`, and all that is wrong.

    No video is opened.

    Parameters
    ----------
    root
        The folder with one of the layouts above.
    split
        "train", "val" or "test".
    classes
        Which classes are wanted; all of them by default.
    half
        Of the split train: 1, the videos for stage one; 2, those for collages; 0, both. By class
        folder each is every second video.
    moments
        Into how many equal parts a video is cut, each a clip of its own, named VIDEO#1 and so on.

    Raises
    ------
    AvcoreError
        The split, a class or the half is unknown, or moments are below 1.
    MediaError
        The folder or a list is missing or cannot be read.
    """
    return _indexed(Path(root), "solo", split, classes, half, moments)


def list_duets(
    root: str | Path, split: str, classes: Sequence[str] = (), moments: int = 1
) -> Index:
    """The duets of a split, with both classes as `category`, such as "cello violin".

    All else as in `list_solos`; of a duet both classes have to be wanted. There is no public list
    of the split test.
    """
    return _indexed(Path(root), "duet", split, classes, 0, moments)


def _indexed(
    root: Path, kind: str, split: str, classes: Sequence[str], half: int, moments: int
) -> Index:
    choose(SPLITS, split, "split")
    half_of((), half)
    own = _known(root, kind)
    known = own | (_known_solos(root) if classes and kind == "duet" else set())
    wanted = {choose(sorted(known), name, f"class of {root}") for name in classes or own}
    find = _listed if _has_lists(root, kind) else _in_folders
    entries, problems = find(root, kind, split, half if split == "train" else 0)
    chosen = [entry for entry in entries if wanted.issuperset(_names(kind, entry.category))]
    return at_moments(chosen, moments), problems


def _has_lists(root: Path, kind: str) -> bool:
    return (root / LISTS[kind, "train"][0]).is_file()


def _known(root: Path, kind: str) -> set[str]:
    """The classes that the lists or the folders name."""
    by_list = _has_lists(root, kind)
    categories = _read_classes(root, kind).values() if by_list else _folders(root / kind)
    return {name for category in categories for name in _names(kind, category)}


def _known_solos(root: Path) -> set[str]:
    """Those of the solos: not each of them has to have a duet. None where there are no solos."""
    with contextlib.suppress(MediaError):
        return _known(root, "solo")
    return set()


def _names(kind: str, category: str) -> list[str]:
    """The classes that are in a clip."""
    return category.split(" ") if kind == "duet" else [category]


def _folders(base: Path) -> list[str]:
    if not base.is_dir():
        raise MediaError(f"{base}: there is no such folder")
    return sorted(path.name for path in base.iterdir() if not path.name.startswith("."))


def _in_folders(root: Path, kind: str, split: str, half: int) -> Index:
    entries: list[Entry] = []
    problems: list[Problem] = []
    for name in _folders(root / kind):
        folder, item = root / kind / name, f"{kind}/{name}"
        if not folder.is_dir():
            problems.append(Problem(item, "lies in no class folder"))
            continue
        if kind == "duet" and len(_names(kind, name)) != 2:
            problems.append(Problem(item, "a duet's folder is named by two classes with a blank"))
            continue
        found, wrong = clips_in(root, folder, split, name)
        problems += wrong
        if len(found) < len(SPLITS):
            reason = f"has {len(found)} videos; three at least are needed for train, val and test"
            problems.append(Problem(item, reason))
            continue
        entries += half_of(_part(shuffled_by_name(found), split), half)
    return entries, problems


def _part(entries: list[Entry], split: str) -> list[Entry]:
    """Of the clips of a class those of a split."""
    held_out = max(len(entries) // 10, 1)
    begins = {"test": 0, "val": held_out, "train": 2 * held_out}[split]
    return entries[begins:] if split == "train" else entries[begins : begins + held_out]


def _listed(root: Path, kind: str, split: str, half: int) -> Index:
    lists = LISTS.get((kind, split))
    if lists is None:
        raise MediaError(f"{root}: MUSIC has no list of {kind}s for {split}")
    class_of = _read_classes(root, kind)
    entries, problems = [], []
    for name in lists[half - 1 : half] if half else lists:
        for line, text in enumerate(read_text(root / name).splitlines(), 1):
            found = _pair(root, text.split(), class_of, split)
            if isinstance(found, Entry):
                entries.append(found)
            elif text.strip():
                problems.append(Problem(f"{name}, line {line}", found))
    return entries, problems


def _pair(root: Path, words: list[str], class_of: dict[str, str], split: str) -> Entry | str:
    """The clip of a line of a list, or why it is none."""
    if len(words) != 2:
        return f"wants AUDIO VIDEO, has {len(words)} words"
    audio, video = words
    for word in words:
        if cannot_name(word):
            return f"{word!r} cannot be part of a file's name"
    category = class_of.get(video[:ID])
    if category is None:
        return f"no class has the video {video[:ID]!r}"
    path = root / "video" / video
    sound = root / "audio" / audio if (root / "audio").is_dir() else path
    return Entry(path.stem, (path,), sound, (), category, split)


def _read_classes(root: Path, kind: str) -> dict[str, str]:
    """The class of each video of YouTube."""
    paths = [root / name for name in CLASS_LISTS[kind]]
    path = next((path for path in paths if path.is_file()), paths[0])
    text = read_text(path)
    try:
        videos = json.loads(text)["videos"]
        return {video: name for name, some in videos.items() for video in some}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MediaError(f'{path}: is not of the form {{"videos": {{CLASS: [ID, …]}}}}') from error
