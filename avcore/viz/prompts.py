"""What each head of a model makes of a prompt: choose a scene, choose a word or a sound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from avcore.support import AvcoreError, require
from avcore.viz.encode import as_pictures, finite, mean_pool, picture_uri, to_numpy
from avcore.viz.explore import LIMIT, Explorer, explore
from avcore.viz.figure import Figure, figure
from avcore.viz.heatmaps import grey, outline
from avcore.viz.theme import MAP_SCALE, ORANGE, SOUND_SCALE, colour_scale
from avcore.viz.view import text

BANDS, INSTANTS = 32, 100  # what a drawn spectrogram holds at most


@dataclass(frozen=True)
class Prompts:
    """Pictures (N, H, W, 3), maps (N, P, K, h, w), masks (N, P, H, W), spectrograms, steps."""

    frames: np.ndarray
    maps: np.ndarray
    masks: np.ndarray
    mel: np.ndarray
    marked: np.ndarray
    times: np.ndarray
    seconds: float
    heads: Sequence[str]

    def draw(self, scene: int, prompt: int) -> Figure:
        """The picture, the map of each head over it, and which steps of the sound were used."""
        columns = len(self.heads) + 1
        fig = require("plotly.subplots", "viz").make_subplots(
            rows=2, cols=columns, horizontal_spacing=0.02, vertical_spacing=0.09,
            row_heights=[0.68, 0.32], subplot_titles=["picture", *map(text, self.heads)],
            specs=[[{}] * columns, [{"colspan": columns}, *[None] * (columns - 1)]],
        )  # fmt: skip
        fig.update_annotations(font_size=12)  # the titles stay apart on a phone
        picture, size = self.frames[scene], self.frames.shape[1:3]
        # Under the maps the picture is grey, so that every colour there is the map's.
        for column, each in enumerate([picture, *[grey(picture)] * len(self.heads)], 1):
            fig.add_image(source=picture_uri(each), hoverinfo="skip", row=1, col=column)
        low, high = self.limits()
        for number, each in enumerate(self.maps[scene, prompt]):
            dy, dx = size[0] / each.shape[0], size[1] / each.shape[1]
            fig.add_heatmap(
                z=each.astype(np.float32), x0=dx / 2 - 0.5, dx=dx, y0=dy / 2 - 0.5, dy=dy,
                zmin=low, zmax=high, opacity=0.65, zsmooth="best", showscale=False,
                colorscale=colour_scale(MAP_SCALE), row=1, col=number + 2,
                hovertemplate="x %{x:.0f}, y %{y:.0f}: %{z:.3f}<extra></extra>",
            )  # fmt: skip
        outline(fig, self.masks[scene, prompt], range(1, columns + 1), widths=(4, 1.5))
        self._sound(fig, scene, prompt)
        fig.update_xaxes(visible=False, constrain="domain", range=[-0.5, size[1] - 0.5], row=1)
        fig.update_yaxes(visible=False, constrain="domain", range=[size[0] - 0.5, -0.5], row=1)
        for column in range(1, columns + 1):
            anchor = "x" if column == 1 else f"x{column}"
            fig.update_yaxes(scaleanchor=anchor, row=1, col=column)
        aspect = size[0] / size[1] / columns / 0.68
        fig.update_layout(
            height=round(700 * aspect) + 70, showlegend=False, bargap=0,
            margin={"l": 0, "r": 0, "t": 26, "b": 44}, meta={"aspect": aspect, "extra": 70},
        )  # fmt: skip
        found = (f"{name} up to {each.max():.2g}" for name, each in self._named(scene, prompt))
        return figure(fig, alt=f"A picture and a map of each head over it: {', '.join(found)}.")

    def limits(self) -> tuple[float, float]:
        """The ends of the colour scale: 5 % of all values are darker, 0.5 % are brighter.

        They are the same in every picture, so that a head that hears nothing stays dark.
        """
        low, high = (float(each) for each in np.percentile(self.maps, (5, 99.5)))
        return low, high if high > low else low + 1e-6 + abs(low) * 1e-6

    def _named(self, scene: int, prompt: int):
        return zip(self.heads, self.maps[scene, prompt], strict=True)

    def _sound(self, fig: Any, scene: int, prompt: int) -> None:
        """The spectrogram, and over it the steps that the prompt marks."""
        mel = self.mel[scene]
        width = self.seconds / mel.shape[1]
        fig.add_heatmap(
            z=mel.astype(np.float32), x0=width / 2, dx=width, y0=0.5, dy=1, showscale=False,
            colorscale=colour_scale(SOUND_SCALE), hoverinfo="skip", row=2, col=1,
        )  # fmt: skip
        on = self.times[self.marked[scene, prompt]]
        step = float(np.diff(self.times).mean()) if len(self.times) > 1 else self.seconds
        fig.add_bar(
            x=on.tolist(), y=[len(mel)] * len(on), width=step, marker={"color": ORANGE},
            opacity=0.4, hovertemplate="step at %{x:.2f} s<extra></extra>", row=2, col=1,
        )  # fmt: skip
        fig.update_xaxes(title="time (s)", range=[0, self.seconds], row=2, col=1)
        fig.update_yaxes(visible=False, range=[0, len(mel)], row=2, col=1)


def prompt_maps(
    frames: Any,
    maps: Any,
    masks: Any,
    mel: Any,
    marked: Any,
    times: Any,
    *,
    prompts: Sequence[str],
    heads: Sequence[str],
    captions: Sequence[str],
    seconds: float = 1.0,
    caption: str = "",
) -> Explorer:
    """Choose a scene and a prompt; see the map that each head makes of it, side by side.

    Parameters
    ----------
    frames
        (N, H, W, 3), colours last or first; uint8 or floats in [0, 1].
    maps
        (N, P, K, h, w): for each scene and prompt the map of each head.
    masks
        (N, P, H, W) bool: where that which the prompt means is seen, drawn as an outline.
    mel
        (N, n_mels, n): the spectrograms of the whole sounds of `seconds` s.
    marked, times
        (N, P, T) bool, the steps that a prompt marks, and (T,), their middles in s.
    prompts, heads, captions
        Plain texts for P prompts, K heads and N scenes.
    caption
        What to see; how the colours are to be read is added to it.

    Raises
    ------
    AvcoreError
        For shapes that do not fit, values that are not finite, or more than 64 combinations.
    """
    pictures = as_pictures(frames, 4, "frames")
    made = [to_numpy(each) for each in (maps, masks, mel, marked, times)]
    count = (len(captions), len(prompts), len(heads))
    wanted = (
        made[0].ndim == 5 and made[0].shape[:3] == count,
        made[1].shape == (*count[:2], *pictures.shape[1:3]),
        made[2].ndim == 3 and len(made[2]) == count[0] == len(pictures),
        made[3].shape == (*count[:2], *made[4].shape),
    )
    if not all(wanted):
        raise AvcoreError(
            f"{count} scenes, prompts and heads do not fit maps {made[0].shape}, masks "
            f"{made[1].shape}, mel {made[2].shape}, marked {made[3].shape}, times {made[4].shape}"
        )
    if count[0] * count[1] > LIMIT:
        raise AvcoreError(f"got {count[0] * count[1]} combinations, more than {LIMIT}")
    finite(made[0], "a map")
    small = _small(finite(made[2], "a spectrogram"))
    shown = Prompts(
        pictures, made[0], made[1].astype(bool), small, made[3].astype(bool), made[4], seconds,
        tuple(heads),
    )  # fmt: skip
    low, high = (f"{value:.2f}".replace("-", "\u2212") for value in shown.limits())
    note = (
        f"The colours run from {low} (dark) to {high} (bright) in every picture. The white line"
        " is what the prompt means; the steps of the sound that it marks are orange."
    )
    return explore(
        shown.draw,
        caption=f"{caption} {note}".strip(),
        alt="A picture beside the map of each head over it; scene and prompt can be chosen.",
        buttons=("prompt",),
        scene={f"{i + 1} of {count[0]}: {each}": i for i, each in enumerate(captions)},
        prompt={each: i for i, each in enumerate(prompts)},
    )


def _small(mel: np.ndarray) -> np.ndarray:
    """Spectrograms with at most `BANDS` bands and `INSTANTS` instants, floor at 8 below the top."""
    bands = mean_pool(mel.swapaxes(-1, -2), BANDS).swapaxes(-1, -2)
    small = mean_pool(bands, INSTANTS)
    return np.maximum(small, small.max((-2, -1), keepdims=True) - 8)
