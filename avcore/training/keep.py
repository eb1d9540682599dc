"""What a run keeps: the checkpoint that resumes it, and the weights with the best score."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from avcore.support import AvcoreError, CheckpointError, remove_leftovers
from avcore.training import checkpoint
from avcore.training.config import TrainConfig

# Settings that may differ between an interrupted run and the one that resumes it.
FREE_ON_RESUME = {"device", "devices", "checkpoint", "checkpoint_every", "progress", "steps"}


@dataclass
class History:
    """What a run measured: `history["loss"][i]` belongs to update number `history.steps[i]`.

    Likewise `history.scores["miou"][i]` was measured after update number `history.scored[i]`.
    """

    steps: list[int] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    scored: list[int] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> list[float]:
        return self.values[name]

    def add(self, step: int, values: dict[str, float]) -> None:
        """Append the values measured at one update."""
        self.steps.append(step)
        for name, value in values.items():
            self.values.setdefault(name, []).append(value)

    def add_scores(self, step: int, scores: dict[str, float]) -> None:
        """Append the scores of one evaluation."""
        self.scored.append(step)
        for name, value in scores.items():
            self.scores.setdefault(name, []).append(value)


class Kept:
    """The checkpoint of a run, if it has one, and all that makes the run.

    Parameters
    ----------
    identity
        Plain values that make the run beside its configuration, such as its task and its data.
    """

    def __init__(self, config: TrainConfig, identity: dict[str, Any], fabric) -> None:
        self.path, self.every, self.fabric = config.checkpoint, config.checkpoint_every, fabric
        self.steps = config.steps
        self.settings = {**_plain(asdict(config)), **_plain(identity)}
        if self.path is not None and fabric.is_global_zero:
            remove_leftovers(self.path)
            remove_leftovers(best_path(self.path))

    def resume(self, model: nn.Module, optimizer, history: History) -> int:
        """Restore the run that the checkpoint holds, if any; gives the steps already done."""
        if self.path is None or not Path(self.path).exists():
            return 0
        content = checkpoint.read(self.path)
        if "optimizer" not in content:
            raise CheckpointError(f"{self.path} holds weights, but no training run to resume")
        try:
            differing = self.differing(content["settings"])
            if differing:
                raise CheckpointError(
                    f"{self.path} is of a run with {' and '.join(differing)}; "
                    "choose another path or delete it"
                )
            measured = History(**content["history"])
            checkpoint.fill(model, content["model"], self.path)
            self.fabric.strategy.precision.load_state_dict(content["scaler"])
            done = content["step"]
        except (KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{self.path} is damaged: a part of it is missing") from error
        try:
            optimizer.load_state_dict(content["optimizer"])
        except ValueError as error:
            raise CheckpointError(f"{self.path} is of a run with another optimiser") from error
        history.__dict__.update(measured.__dict__)
        return done

    def differing(self, settings: dict[str, Any]) -> list[str]:
        """What is another here than in the settings of a file; a run may be lengthened."""
        names = [name for name in {**self.settings, **settings} if name not in FREE_ON_RESUME]
        pairs = {name: (settings.get(name), self.settings.get(name)) for name in names}
        if settings.get("steps", 0) > self.steps:
            pairs["steps"] = settings["steps"], self.steps
        return [f"{name}={old}, not {new}" for name, (old, new) in pairs.items() if old != new]

    def save(self, model: nn.Module, optimizer, history: History, step: int) -> None:
        """Write the checkpoint, where this is a step to do so."""
        due = step == self.steps or (self.every > 0 and step % self.every == 0)
        if self.path is None or not due:
            return
        if self.fabric.is_global_zero:
            content = {
                "step": step,
                "model": model.state_dict(),
                "optimizer": optimizer.state_dict(),
                "scaler": self.fabric.strategy.precision.state_dict(),
                "history": asdict(history),
                "settings": self.settings,
            }
            checkpoint.write(self.path, content)
        self.fabric.barrier()


class Best:
    """The weights with the highest score so far: beside the checkpoint, or else in memory.

    A score that is no number is the lowest. Where a file was left by another run it does not count.
    """

    def __init__(self, name: str, run: Kept, resumed: bool) -> None:
        self.name, self.run = name, run
        self.score: float | None = None
        self.weights: dict[str, Tensor] = {}
        self.path = None if run.path is None else best_path(run.path)
        if resumed and self.path is not None and self.path.exists():
            kept = checkpoint.read(self.path)
            if not run.differing(kept.get("settings", {})):
                self.score = kept.get("scores", {}).get(name)

    def offer(self, model: nn.Module, scores: dict[str, float], step: int) -> None:
        """Keep the weights of a step if its score is the highest."""
        if self.name not in scores:
            known = ", ".join(scores)
            raise AvcoreError(
                f"there is no score {self.name!r} to choose by; choose one of {known}"
            )
        score = -math.inf if math.isnan(scores[self.name]) else scores[self.name]
        if self.score is not None and score <= self.score:
            return
        self.score = score
        if self.path is None:
            self.weights = {k: v.detach().cpu().clone() for k, v in model.state_dict().items()}
        elif self.run.fabric.is_global_zero:
            content = {"model": model.state_dict(), "settings": self.run.settings}
            checkpoint.write(self.path, {**content, "scores": scores, "step": step})

    def restore(self, model: nn.Module) -> None:
        """Give the model the weights that were kept."""
        self.run.fabric.barrier()
        weights = self.weights if self.path is None else checkpoint.read(self.path)["model"]
        checkpoint.fill(model, weights, self.path or "the best weights")


def best_path(path: str | Path) -> Path:
    """Where `fit` keeps the best weights of the run with the checkpoint `path`."""
    return Path(f"{path}.best")


def read_best(path: str | Path) -> dict[str, Any]:
    """What `fit` kept beside the checkpoint `path`: "model", "scores", and "step", its updates."""
    return checkpoint.read(best_path(path))


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as they come back from a file that holds plain values only."""
    return {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}
