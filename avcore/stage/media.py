"""The media bank: photographs, recordings and spoken names from a folder, for the same stage.

What is kept apart between train, val and test, class by class (`MediaBank.held_out`):

- "pictures": a class with several pictures gives the test one, and val one when there are three.
- "recordings": the same for several sounds.
- "time": of one recording in which at least 3 s are heard, the test hears the last fifth, val the
  fifth before, train the rest. Nothing is heard by two splits.

With one picture, or one shorter recording, all splits share it: a test on them means new scenes,
new excerpts, speeds and looks, not new animals. Names spoken by people are kept apart by language
alone, and only when `languages` says so; synthetic ones by speaker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from avcore.data.media.cleaning import PAD
from avcore.data.media.folder import MediaClass, Problem, Spoken, read_credit, read_folder
from avcore.stage.photo import LARGEST, Photo, PhotoSprite
from avcore.stage.recording import Excerpt, Recording, drive, onsets
from avcore.stage.scene import SPLITS, Performance, Word
from avcore.stage.spoken import spoken_names
from avcore.support import MediaError

T = TypeVar("T")


class MediaBank:
    """An `AssetBank` of a media folder (layout: `avcore.data.media.folder`); read once, whole.

    Parameters
    ----------
    folder
        The media folder, such as the one that `avcore.data.media.stamps.fetch` makes.
    languages
        The languages of spoken names: for all splits, or a mapping from split to languages
        (splits that it does not name use all). Then every class must have a name in them.
    words
        Who says the names: "people" (the folder's recordings) or "synthetic" (in English, by
        `avcore.data.media.words`, once `avcore data words` has made them); for all splits, or a
        mapping from split to either (splits that it does not name hear people).
    sample_rate
        At which recordings are kept, Hz; `Performance.render` gives any other.
    largest
        Pixels along the longer side at which pictures are kept.
    skip_bad
        Go on without what cannot be used, and list it in `problems`.
    only
        The names of the classes to keep; all of them when None.
    groups
        The groups of classes to keep, such as ["animal"] (`folder.read_groups`); all when None.
    test_sounds
        Classes whose recordings (at `sample_rate`) the test hears in place of the folder's own,
        such as those of `avcore.data.media.elsewhere.read`; other classes stay as they are.

    Attributes
    ----------
    classes, groups, credit
        Names from the folders as they are (escape them in pages), the group of each class, and
        the text of CREDIT.txt.
    problems
        What was left out; empty unless `skip_bad`.
    languages
        All languages in which some class has a spoken name.
    held_out
        Class name -> what the test has for itself: any of "pictures", "recordings", "time".

    Raises
    ------
    MediaError
        The folder is missing or has no usable class; or, naming all of it at once, something in
        it cannot be used.
    """

    def __init__(
        self,
        folder: str | Path,
        languages: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
        *,
        words: str | Mapping[str, str] = "people",
        sample_rate: int = 16_000,
        largest: int = LARGEST,
        skip_bad: bool = False,
        only: Sequence[str] | None = None,
        groups: Sequence[str] | None = None,
        test_sounds: Sequence[MediaClass] = (),
    ) -> None:
        found, problems = read_folder(folder, sample_rate)
        found = _chosen(folder, found, "name", only)
        found = _chosen(folder, found, "group", groups)
        names, lacking = spoken_names(found, words, languages, sample_rate)
        problems += lacking
        left_out = {problem.item for problem in lacking}
        kept = [k for k, item in enumerate(found) if item.folder not in left_out]
        found, self._speakable = [found[k] for k in kept], [names[k] for k in kept]
        if problems and not skip_bad:
            raise MediaError(_summary(folder, problems))
        if not found:
            raise MediaError(_summary(folder, problems) + " No class is left.")
        self.name = Path(folder).name
        self.classes = tuple(item.name for item in found)
        self.groups = tuple(item.group for item in found)
        self.credit = read_credit(folder)
        self.problems: tuple[Problem, ...] = tuple(problems)
        self.languages = tuple(sorted({word.language for item in found for word in item.words}))
        self._pictures = [
            _shared_out(item, {k: Photo.of(rgba, largest) for k, rgba in item.pictures.items()})
            for item in found
        ]
        self._sounds = [
            _shared_out(item, {k: Recording(wave, sample_rate) for k, wave in item.sounds.items()})
            for item in found
        ]
        heard = {item.name: item.sounds.values() for item in test_sounds if item.sounds}
        for name, share in zip(self.classes, self._sounds, strict=True):
            if name in heard:
                share["test"] = [Recording(wave, sample_rate) for wave in heard[name]]
        self._spoken = [item.words for item in found]
        self._rate = sample_rate
        self.held_out = {name: self._apart(number) for number, name in enumerate(self.classes)}

    def sprite(self, class_id: int, rng: np.random.Generator, split: str) -> PhotoSprite:
        """One look of the class: a picture, mirrored or not, turned and recoloured a little."""
        return PhotoSprite.draw(_one(self._pictures[class_id][split], rng), rng)

    def performance(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        """An excerpt of a recording of the class; it moves as loud as it is."""
        sounds = self._sounds[class_id]
        recording = _one(sounds[split], rng)
        shared = any(recording in sounds[other] for other in SPLITS if other != split)
        span = recording.spans[split] if shared else (0.0, recording.length)
        excerpt = Excerpt.draw(recording, span, rng, duration)
        loudness = excerpt.loudness()
        return Performance(drive=drive(loudness), onsets=onsets(loudness), render=excerpt)

    def speak(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Performance:
        """The class's name in one of the split's languages; `Word.text` is like "lion (fr)".

        A name that is longer than `duration` is said from the start and cut off.

        Raises
        ------
        MediaError
            The class has no spoken name.
        """
        spoken = self._choose_word(class_id, rng, split, duration)
        recording = Recording(spoken.wave, self._rate)
        speed = int(rng.integers(95, 106))
        length = recording.length * 100 / speed
        start = float(rng.uniform(0, max(duration - length, 0)))
        excerpt = Excerpt(recording, 0.0, recording.length, (start,), speed, duration)
        pad = PAD * 100 / speed
        word = Word(
            text=f"{self.classes[class_id]} ({spoken.language})",
            class_id=class_id,
            start=start + pad,
            end=min(start + length - pad, duration),
        )
        return Performance(
            drive=drive(excerpt.loudness()),
            onsets=np.array([word.start]),
            render=excerpt,
            words=(word,),
            voice=spoken.language,
        )

    def languages_of(self, class_id: int, split: str = "train") -> tuple[str, ...]:
        """The languages in which `speak` may say the class's name in this split."""
        return tuple(sorted({word.language for word in self._speakable[class_id][split]}))

    def spoken(self, class_id: int, language: str = "en") -> tuple[Spoken, ...]:
        """All recordings of people who say the class's name in a language, at `sample_rate`."""
        return tuple(word for word in self._spoken[class_id] if word.language == language)

    def _choose_word(
        self, class_id: int, rng: np.random.Generator, split: str, duration: float
    ) -> Spoken:
        """A language, then a recording in it, among those that fit; the shortest if none does."""
        words = self._speakable[class_id][split]
        if not words:
            raise MediaError(f"the class {self.classes[class_id]!r} has no spoken name")
        longest = 0.95 * duration * self._rate
        shortest = min(words, key=lambda word: len(word.wave))
        fitting = [word for word in words if len(word.wave) <= longest] or [shortest]
        language = _one(sorted({word.language for word in fitting}), rng)
        return _one([word for word in fitting if word.language == language], rng)

    def _apart(self, number: int) -> tuple[str, ...]:
        pictures, sounds = self._pictures[number], self._sounds[number]
        apart = {
            "pictures": pictures["train"] != pictures["test"],
            "recordings": sounds["train"] != sounds["test"],
        }
        apart["time"] = not apart["recordings"] and all(s.divided for s in sounds["test"])
        return tuple(kind for kind, is_apart in apart.items() if is_apart)


def _one(items: Sequence[T], rng: np.random.Generator) -> T:
    return items[int(rng.integers(len(items)))]


def _chosen(
    folder: str | Path, found: Sequence[MediaClass], kind: str, wanted: Sequence[str] | None
) -> list[MediaClass]:
    """The classes whose "name" or "group" is wanted; each that is wanted must be there."""
    if wanted is None:
        return list(found)
    if unknown := sorted(set(wanted) - {getattr(item, kind) for item in found}):
        what = "usable class" if kind == "name" else "class of the group"
        raise MediaError(f"{folder} has no {what} {', '.join(unknown)}")
    return [item for item in found if getattr(item, kind) in set(wanted)]


def _shared_out(item: MediaClass, media: Mapping[str, T]) -> dict[str, list[T]]:
    """What each split has of a class's pictures or sounds, in the order of a hash of their names.

    Two: one for train and val, one for the test. From three on, val has one of its own.
    """
    names = sorted(media, key=lambda name: hashlib.sha256(f"{item.name}/{name}".encode()).digest())
    if len(names) == 1:
        return {split: [media[names[0]]] for split in SPLITS}
    test, val = names[:1], names[1:2]
    train = names[2:] or val
    return {
        split: [media[name] for name in chosen]
        for split, chosen in (("train", train), ("val", val), ("test", test))
    }


def _summary(folder: str | Path, problems: Sequence[Problem]) -> str:
    if not problems:
        return f"{folder}: no class with a picture and a sound."
    listed = "; ".join(map(str, problems))
    return f"{folder}: {len(problems)} things cannot be used ({listed}); mend or skip them."
