"""The two networks that ship with avcore, behind `avcore locate` and `avcore separate`.

Both learned from drawn clips alone; their cards, beside the weights, say how well they work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from avcore.data.media.windows import ClipForm
from avcore.nn.weights import fill
from avcore.papers.multisensory import evaluation, localization, separation, shift
from avcore.papers.multisensory.clips import EXCERPT, FPS, RATE, Clips, draw
from avcore.papers.multisensory.model import EarlyFusion
from avcore.papers.multisensory.separation import Separator
from avcore.support import CheckpointError, atomic_write, by_scale, choose, require
from avcore.training import pick_device
from avcore.training.predict import device_of

FOLDER = Path(__file__).parent / "weights"
FORMAT = "avcore multisensory 1"
QUIETEST = 1e-4  # RMS; mixtures below it are not brought to the level
FORM = ClipForm(size=64, fps=float(FPS), sample_rate=RATE, duration=EXCERPT / FPS)


def _separator() -> Separator:
    return Separator(EarlyFusion())


NETWORKS: dict[str, Callable[[], nn.Module]] = {"locator": EarlyFusion, "separator": _separator}


@dataclass(frozen=True)
class Locator:
    """Frames (T, 3, S, S) in [0, 1] and their sound (n,) -> class activation maps (T/2, h, w)."""

    model: EarlyFusion
    form: ClipForm = FORM

    @torch.no_grad()
    def __call__(self, frames: Tensor, sound: Tensor) -> Tensor:
        place = device_of(self.model)
        seen = frames.movedim(1, 0)[None].to(place)
        return self.model.cam(seen, sound[None].to(place))[0].cpu()


@dataclass(frozen=True)
class Splitter:
    """Frames (T, 3, S, S) in [0, 1] and a mixture (n,) -> on- and off-screen sounds, (n,) each.

    The mixture is brought to the level of the training, and its parts back again.
    """

    model: Separator
    form: ClipForm = FORM

    @torch.no_grad()
    def __call__(self, frames: Tensor, sound: Tensor) -> tuple[Tensor, Tensor]:
        place = device_of(self.model)
        loudness = sound.square().mean().sqrt().clamp_min(QUIETEST)
        gain = 10 ** (separation.LEVEL / 20) * 2**0.5 / loudness  # of two sounds at `LEVEL` each
        seen = frames.movedim(1, 0)[None].to(place)
        on, off = self.model.separate(seen, (gain * sound)[None].to(place))
        return on[0].cpu() / gain, off[0].cpu() / gain


def locator(checkpoint: str | Path | None = None, device: str = "auto") -> Locator:
    """The shipped locator, or one from a file that `write` made.

    Raises
    ------
    CheckpointError
        The file of weights is missing, damaged or of another network.
    """
    model = read("locator", checkpoint or weights_path("locator"))
    assert isinstance(model, EarlyFusion)
    return Locator(model.to(pick_device(device)))


def separator(checkpoint: str | Path | None = None, device: str = "auto") -> Splitter:
    """The shipped separator, or one from a file that `write` made; errors as `locator`."""
    model = read("separator", checkpoint or weights_path("separator"))
    assert isinstance(model, Separator)
    return Splitter(model.to(pick_device(device)))


def weights_path(name: str) -> Path:
    """The file of weights that ships with avcore: of "locator" or "separator"."""
    return FOLDER / f"{choose(tuple(NETWORKS), name, 'network')}.safetensors"


def write(name: str, model: nn.Module, path: str | Path) -> None:
    """Keep the weights of a network in half precision."""
    save = require("safetensors.torch", "eye").save
    kept = {key: value.half().contiguous() for key, value in _weights(model).items()}
    with atomic_write(path, "wb") as file:
        file.write(save(kept, {"format": FORMAT, "network": name}))


def read(name: str, path: str | Path) -> nn.Module:
    """The network that `write` kept, in evaluation mode; errors as `locator`."""
    model = choose(NETWORKS, name, "network")()
    safetensors = require("safetensors", "eye")
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = file.metadata() or {}
            weights = {key: file.get_tensor(key).float() for key in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there are no weights of a {name} at {path}") from None
    except Exception as error:  # damaged files fail in many ways
        raise CheckpointError(
            f"{path} is damaged, or not a file that `avcore network` wrote"
        ) from error
    if said.get("format") != FORMAT or said.get("network") != name:
        raise CheckpointError(f"{path} does not hold a {name} of avcore")
    counters = {k: v for k, v in model.state_dict().items() if k not in _weights(model)}
    fill(model, weights | counters, path)
    return model.eval()


def _weights(model: nn.Module) -> dict[str, Tensor]:
    """All that is kept: not the counts of batches, which nothing reads."""
    return {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}


# --- how they were taught ------------------------------------------------------------------------


def teach(
    name: str, out: str | Path, scale: str = "quick", seed: int = 0, device: str = "auto"
) -> dict[str, float]:
    """Teach the network `name` on drawn clips, keep it, and measure it on held-out ones.

    Returns
    -------
    Of the locator "accuracy" of the pretext task and "pointing"; of the separator the gains in dB
    "other voice", "same voice" and "wrong picture".
    """
    choose(NETWORKS, name, "network")
    workers = by_scale(scale, smoke=0, quick=2, full=8)
    count = by_scale(scale, smoke=12, quick=1200, full=10_000)
    config = shift.train_config(scale, seed, device)
    longer = by_scale(scale, smoke=1, quick=2, full=2)
    network, _ = shift.pretrain(
        draw("pretext", "train", count, seed, workers),
        replace(config, steps=longer * config.steps),
    )
    tested = by_scale(scale, smoke=6, quick=200, full=1000)
    if name == "locator":
        write(name, network, out)
        movers = draw("silent mover", "test", tested, seed, workers, where=True)
        return {
            "accuracy": shift.accuracy(network, draw("pretext", "test", tested, seed, workers)),
            "pointing": localization.pointing(network, movers).float().mean().item(),
        }
    config = separation.train_config(scale, seed, device)
    model, _ = separation.learn_to_separate(
        network,
        draw("talker", "train", count, seed, workers),
        replace(config, steps=2 * longer * config.steps),
    )
    write(name, model, out)
    return _gains(model, draw("talker", "test", tested, seed, workers))


def _gains(model: Separator, clips: Clips) -> dict[str, float]:
    drawn = evaluation.mixtures(clips, None)
    mixed = {
        "other voice": evaluation.mixtures(clips, False),
        "same voice": evaluation.mixtures(clips, True),
        "wrong picture": drawn._replace(frames=drawn.frames.roll(1, 0)),
    }
    return {name: evaluation.gains(model, each)["on"].mean().item() for name, each in mixed.items()}
