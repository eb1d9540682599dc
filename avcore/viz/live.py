"""The player as a live widget: what the reader does in it, Python can see, and the reverse."""

from __future__ import annotations

import anywidget
import traitlets

from avcore.viz.view import asset

_RENDER = """
export default {
  render({ model, el }) {
    el.innerHTML = model.get("html");
    const player = mountPlayer(el.querySelector(".av-player"), (name, value) => {
      model.set(name, value);
      model.save_changes();
    });
    model.on("change:frame", () => player.showFrame(model.get("frame")));
    model.on("change:track", () => player.choose(model.get("track")));
  },
};
"""


class PlayerWidget(anywidget.AnyWidget):
    """A player in a live notebook.

    Attributes
    ----------
    html
        The player's HTML, as in a page.
    frame
        Number of the frame that is shown, from 0.
    track
        Number of the track that is heard: 0 is the mix.
    """

    _esm = asset("player.js") + _RENDER
    html = traitlets.Unicode().tag(sync=True)
    frame = traitlets.Int(0).tag(sync=True)
    track = traitlets.Int(0).tag(sync=True)
