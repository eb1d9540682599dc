"""Many pictures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from avcore.support import AvcoreError
from avcore.viz.encode import as_pictures, as_waveform, guard, picture_uri, to_numpy, wav_uri
from avcore.viz.truth import sentence
from avcore.viz.view import Html, output, text


def gallery(
    images: Any,
    captions: Sequence[str] | None = None,
    columns: int = 4,
    *,
    sound: bool = False,
    caption: str = "",
) -> Html:
    """Show pictures in at most `columns` columns; a narrow page gets fewer.

    Parameters
    ----------
    images
        Pictures (N, H, W, 3) or (N, 3, H, W), uint8 or floats in [0, 1], or a list of
        pictures of any sizes, or of scenes, whose first frames are shown.
    captions
        A plain text under each; scenes get their sources where it is None.
    sound
        Whether scenes get an audio player each.
    caption
        What to see in all of them.

    Raises
    ------
    AvcoreError
        For no pictures, other shapes, or another number of captions.
    """
    items = list(images) if isinstance(images, list | tuple) else list(to_numpy(images))
    if not items or columns < 1:
        raise AvcoreError(f"a gallery wants pictures and columns, got {len(items)} and {columns}")
    scenes = all(hasattr(item, "frames") for item in items)
    if captions is None:
        captions = [sentence(item.sources) if scenes else "" for item in items]
    if len(captions) != len(items):
        raise AvcoreError(f"got {len(captions)} captions for {len(items)} pictures")
    cells = [
        _cell(item.frames[0] if scenes else item, words or f"picture {i + 1}", words)
        + (_sound(item) if scenes and sound else "")
        for i, (item, words) in enumerate(zip(items, captions, strict=True))
    ]
    body = "".join(f"<li>{cell}</li>" for cell in cells)
    grid = f'<ul class="av-cells" style="--columns:{int(columns)}">{body}</ul>'
    return Html(output(grid, kind="gallery", styles=("gallery.css",), caption=caption))


def _cell(picture: np.ndarray, alt: str, words: str) -> str:
    source = picture_uri(as_pictures(picture, 3, "pictures of a gallery"))
    under = f"<p>{text(words)}</p>" if words else ""
    return f'<img class="av-pixels dark-light" src="{source}" alt="{text(alt)}">{under}'


def _sound(scene: Any) -> str:
    sound = as_waveform(scene.waveform, "the scene's sound")
    source = wav_uri(sound, scene.config.sample_rate, guard(sound))
    label = text(f"Sound of {sentence(scene.sources)}")
    return f'<audio controls preload="metadata" aria-label="{label}" src="{source}"></audio>'
