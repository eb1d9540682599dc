"""`avcore locate` and `avcore separate`: where the sound of a video comes from, and its parts."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

from avcore.commands import Device, Scale, app, show_fraction, show_held_out, typer

Source = Annotated[Path, typer.Argument(metavar="VIDEO", help="any encoded video with sound")]
Out = Annotated[Path, typer.Option(help="the folder that is written into")]
Checkpoint = Annotated[
    Path | None,
    typer.Option(help="a file that `avcore network` wrote [the one that ships with avcore]"),
]


@app.command()
def locate(video: Source, out: Out, checkpoint: Checkpoint = None, device: Device = "auto") -> None:
    """Lay over a video a map of where its sound comes from: located.mp4."""
    from avcore.papers.multisensory import shipped
    from avcore.papers.multisensory.videos import locate_video
    from avcore.viz.theme import MAP_SCALE, colour_table

    heat, colours = shipped.locator(checkpoint, device), colour_table(MAP_SCALE)
    _timed(lambda report: locate_video(video, out, heat, colours, heat.form, report), "located")


@app.command()
def separate(
    video: Source,
    out: Out,
    checkpoint: Checkpoint = None,
    hide: Annotated[
        str | None, typer.Option(help="left or right: paint this half black, to silence it")
    ] = None,
    device: Device = "auto",
) -> None:
    """Separate the sound of what is in view from all other: on-screen.mp4 and off-screen.mp4."""
    from avcore.papers.multisensory import shipped
    from avcore.papers.multisensory.videos import separate_video

    split = shipped.separator(checkpoint, device)
    _timed(lambda report: separate_video(video, out, split, split.form, hide, report), "separated")


@app.command()
def network(
    name: Annotated[str, typer.Argument(help="locator or separator")],
    out: Annotated[Path, typer.Option(help="where its weights are written")],
    scale: Scale = "quick",
    seed: Annotated[int, typer.Option(help="of the clips and the training")] = 0,
    device: Device = "auto",
) -> None:
    """Teach one of the networks behind `locate` and `separate` again, and measure it."""
    from avcore.papers.multisensory.shipped import teach

    show_held_out(name, teach(name, out, scale, seed, device))


def _timed(write: Callable[[Callable[[float], None]], Any], done: str) -> None:
    """Write files and say which, how long they are and how fast it went."""
    began = time.perf_counter()
    written = write(lambda fraction: show_fraction(done, fraction))
    took = time.perf_counter() - began
    for file in written.files:
        typer.echo(file)
    typer.echo(f"{written.seconds:.1f} s of video in {took:.1f} s: {written.seconds / took:.1f}x")
