"""A folder of clips: pictures with a sound of the same name, and videos with sound.

One folder per split::

    train/  any/where/below/a.jpg + a.wav      a picture and its sound
            b.mp4                              a video with its own sound
    val/    …                                  to choose the best weights on
    test/   …                                  to measure on

Files with other endings, and those whose names begin with a dot, are left alone.
"""

from __future__ import annotations

from pathlib import Path

from avcore.data.media.folder import Problem
from avcore.data.media.read import BY_CONTAINER, PICTURES, SOUNDS
from avcore.data.sets.clips import Index
from avcore.data.sets.files import SPLITS, Entry
from avcore.support import MediaError, choose


def list_clips(root: str | Path, split: str) -> Index:
    """The clips in the folder of a split, by name, and the files that have no partner.

    Raises
    ------
    AvcoreError
        The split is unknown.
    MediaError
        The folder is missing.
    """
    return clips_in(root, Path(root) / choose(SPLITS, split, "split"), split)


def clips_in(root: str | Path, base: Path, split: str = "", category: str = "") -> Index:
    """The clips anywhere below the folder `base` of `root`, named from there; as `list_clips`."""
    if not base.is_dir():
        raise MediaError(f"{base}: there is no such folder")
    files: dict[Path, list[Path]] = {}
    for path in sorted(base.rglob("*")):
        known = path.suffix.lower() in (*PICTURES, *SOUNDS, *BY_CONTAINER)
        if known and path.is_file() and not path.name.startswith("."):
            files.setdefault(path.with_suffix(""), []).append(path)
    entries, problems = [], []
    for stem, paths in files.items():
        found = _entry(stem.relative_to(base).as_posix(), paths, split, category)
        if isinstance(found, Entry):
            entries.append(found)
        else:
            problems.append(Problem(paths[0].relative_to(root).as_posix(), found))
    return entries, problems


def _entry(name: str, paths: list[Path], split: str, category: str) -> Entry | str:
    """The clip that files of one name are, or why they are none."""
    kinds = (PICTURES, SOUNDS, BY_CONTAINER)
    pictures, sounds, videos = ([p for p in paths if p.suffix.lower() in kind] for kind in kinds)
    if len(videos) == 1 == len(paths):
        return Entry(name, (videos[0],), videos[0], (), category, split)
    sounds += videos
    if len(pictures) == 1 == len(sounds):
        return Entry(name, (pictures[0],), sounds[0], (), category, split)
    if not sounds:
        return "there is no sound of this name"
    if not pictures:
        return "there is no picture of this name"
    return f"of this name there are {len(pictures)} pictures and {len(sounds)} sounds"
