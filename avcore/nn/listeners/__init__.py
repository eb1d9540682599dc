"""Networks that have heard before: two small listeners that ship with avcore.

"named" has learned to name what it hears, also in mixtures, and stands where the papers have
VGGish. "masked" has learned without any label to predict what was hidden from it, and stands
where they have HuBERT (Hsu et al., 2021). The command that makes each of them, its data and its
held-out accuracy are on its card, `listeners/NAME.md`; `avcore.training.listeners` teaches them.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from avcore.nn.backbones import conv_block
from avcore.nn.weights import fill
from avcore.support import AvcoreError, CheckpointError, atomic_write, choose, require

FOLDER = Path(__file__).parent
FORMAT = "avcore listener 1"
NAMED_CHANNELS = 128
MASKED_CHANNELS = 96
MASKED_STEP = 0.04  # s between two features of the masked listener


class NamedListener(nn.Module):
    """Log-mel (B, 64, n) -> what was heard, (B, 128), none negative, as VGGish's.

    The responses are pooled over time and frequency by their maximum and by their mean.

    Attributes
    ----------
    names
        The classes that `logits` names.
    """

    def __init__(self, names: Sequence[str] = (), width: int = 20) -> None:
        super().__init__()
        self.names = tuple(names)
        self.layers = nn.Sequential(
            conv_block(1, width, 2),
            conv_block(width, 2 * width, 2),
            conv_block(2 * width, 3 * width, 2),
            conv_block(3 * width, 4 * width, 2),
            conv_block(4 * width, 4 * width),
        )
        self.embed = nn.Linear(8 * width, NAMED_CHANNELS)
        self.name = nn.Linear(NAMED_CHANNELS, len(self.names))

    def logits(self, log_mel: Tensor) -> Tensor:
        """Log-mel (B, 64, n) -> logits (B, len(names)); several classes may be heard at once."""
        return self.name(self(log_mel))

    def forward(self, log_mel: Tensor) -> Tensor:
        maps = self.layers(_scaled(log_mel)[:, None])
        pooled = torch.cat([maps.amax((-2, -1)), maps.mean((-2, -1))], 1)
        return torch.relu(self.embed(pooled))


class MaskedListener(nn.Module):
    """Log-mel (B, 64, n) -> features in time, (B, 96, 1, ⌈n / 4⌉), one each 40 ms.

    Each feature hears about 0.7 s around it.
    """

    def __init__(self, width: int = 16, channels: int = MASKED_CHANNELS, blocks: int = 3) -> None:
        super().__init__()
        self.front = nn.Sequential(conv_block(1, width, 2), conv_block(width, 2 * width, 2))
        self.join = nn.Conv1d(2 * width * 16, channels, 1)
        self.hidden = nn.Parameter(0.1 * torch.randn(channels))
        self.context = nn.ModuleList(_Context(channels) for _ in range(blocks))

    def forward(self, log_mel: Tensor, mask: Tensor | None = None) -> Tensor:
        """Features; where `mask` (B, ⌈n / 4⌉) is true a step is hidden from the context."""
        maps = self.front(_scaled(log_mel)[:, None])  # (B, 2·width, 16, ⌈n/4⌉)
        x = self.join(maps.flatten(1, 2))
        if mask is not None:
            x = torch.where(mask[:, None], self.hidden[:, None], x)
        for block in self.context:
            x = block(x)
        return x.unsqueeze(2)


class _Context(nn.Module):
    """A residual block over time: normalise, look 5 steps wide, mix channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(channels)
        self.look = nn.Conv1d(channels, channels, 5, padding=2, groups=4)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(torch.relu(self.look(torch.relu(self.norm(x)))))


LISTENERS = ("named", "masked")


def listener(name: str) -> nn.Module:
    """A shipped listener, in evaluation mode, on the CPU: "named" or "masked".

    Both hear log-mel as `avcore.audio.log_mel` gives it by default (16 kHz, 64 bands, 10 ms).

    Raises
    ------
    CheckpointError
        The file of weights is missing, damaged or of another network.
    """
    return read_listener(weights_path(choose(LISTENERS, name, "listener")))


def weights_path(name: str) -> Path:
    """The file of a listener's weights that ships with avcore."""
    return FOLDER / f"{name}.safetensors"


def write_listener(model: NamedListener | MaskedListener, path: str | Path) -> None:
    """Keep the weights of a listener in half precision."""
    save = require("safetensors.torch", "eye").save
    weights = {name: value.half().contiguous() for name, value in _weights(model).items()}
    names = json.dumps(model.names if isinstance(model, NamedListener) else None)
    with atomic_write(path, "wb") as file:
        file.write(save(weights, {"format": FORMAT, "names": names}))


def read_listener(path: str | Path) -> nn.Module:
    """The listener that `write_listener` kept; errors as `listener`."""
    safetensors = require("safetensors", "eye")
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = file.metadata() or {}
            weights = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"there are no weights of a listener at {path}") from None
    except Exception as error:  # damaged files fail in many ways
        raise CheckpointError(f"{path} is damaged") from error
    if said.get("format") != FORMAT:
        raise CheckpointError(f"{path} does not hold a listener of avcore")
    names = json.loads(said["names"])
    model = MaskedListener() if names is None else NamedListener(names)
    fill(model, weights | {k: v for k, v in model.state_dict().items() if _is_counter(k)}, path)
    return model.eval()


def _weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: v for name, v in model.state_dict().items() if not _is_counter(name)}


def _is_counter(name: str) -> bool:
    """Counts of batches, which nothing reads."""
    return name.endswith("num_batches_tracked")


def _scaled(log_mel: Tensor) -> Tensor:
    if log_mel.ndim != 3 or log_mel.shape[1] != 64:
        raise AvcoreError(f"a listener hears log-mel (B, 64, n), got {tuple(log_mel.shape)}")
    return (log_mel + 8) / 4
