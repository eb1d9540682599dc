"""Who says the names of a media bank's classes in each split: people or a synthesiser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from avcore.data.media import words
from avcore.data.media.folder import MediaClass, Problem, Spoken
from avcore.stage.scene import SPLITS
from avcore.support import MediaError, choose

SPEAKERS = ("people", "synthetic")
T = TypeVar("T")


def spoken_names(
    found: Sequence[MediaClass],
    speakers: str | Mapping[str, str],
    languages: Sequence[str] | Mapping[str, Sequence[str]] | None,
    sample_rate: int,
) -> tuple[list[dict[str, list[Spoken]]], list[Problem]]:
    """The spoken names of each class by split, and the classes that lack some asked for.

    Parameters
    ----------
    found
        The classes of a media folder.
    speakers
        "people" or "synthetic" (which is English): for all splits, or a mapping from split.
    languages
        For all splits, or a mapping from split; a split without any uses all languages.
    sample_rate
        Of the names, Hz.
    """
    if isinstance(languages, str):
        raise MediaError(f"languages wants several, such as ({languages!r},), or a mapping")
    allowed = _by_split("languages", languages, None)
    kinds = _by_split("words", speakers, "people")
    for kind in kinds.values():
        choose(SPEAKERS, kind, "speaker of words")
    synthetic: dict[str, dict[str, list[Spoken]]] = {}
    if "synthetic" in kinds.values():
        said = words.load([item.name for item in found], sample_rate=sample_rate)
        synthetic = {name: words.share_out(spoken) for name, spoken in said.items()}
    names, problems = [], []
    for item in found:
        sources = {
            split: synthetic[item.name][split] if kind == "synthetic" else item.words
            for split, kind in kinds.items()
        }
        names.append({split: _in(sources[split], allowed[split]) for split in SPLITS})
        problems += _lacking(item, names[-1], allowed)
    return names, problems


def _by_split(name: str, value: T | Mapping[str, T], default: T) -> dict[str, T]:
    """The value of each split, from one value for all or a mapping that may leave out some."""
    by_split = value if isinstance(value, Mapping) else dict.fromkeys(SPLITS, value)
    if unknown := set(by_split) - set(SPLITS):
        raise MediaError(
            f"{name} names the split {sorted(unknown)[0]!r}; splits are {', '.join(SPLITS)}"
        )
    return {split: by_split.get(split, default) for split in SPLITS}


def _in(spoken: Sequence[Spoken], languages: Sequence[str] | None) -> list[Spoken]:
    return [word for word in spoken if languages is None or word.language in languages]


def _lacking(
    item: MediaClass,
    names: Mapping[str, list[Spoken]],
    allowed: Mapping[str, Sequence[str] | None],
) -> list[Problem]:
    """A problem when a split has no name in the languages asked for."""
    for split in SPLITS:
        wanted = allowed[split]
        if wanted is not None and not names[split]:
            reason = f"has no spoken name for {split} (wanted: {', '.join(sorted(wanted))})"
            return [Problem(item.folder, reason)]
    return []
