"""Frozen features, computed once: a cache of tensors under a key of all that they depend on.

A network that is not trained gives the same features in every epoch, chapter and claim. `cached`
keeps them as one file each below the cache folder, in half precision where `embed` made them.
"""

from __future__ import annotations

import hashlib
import json
import os
import warnings
import zlib
from collections.abc import Callable, Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import joblib
import torch
from torch import Tensor, nn

from avcore.data.media.cache import cache_folder
from avcore.stage import AssetBank
from avcore.support import AvcoreError, atomic_write, remove_leftovers, require
from avcore.training.predict import device_of, evaluating

FORMAT = "avcore features 1"
LIMIT_GB = 8.0  # of all files together, unless $AVCORE_FEATURES_GB says otherwise
Tensors = dict[str, Tensor]


@torch.inference_mode()
def embed(backbone: nn.Module, pictures: Tensor, batch: int = 64) -> list[Tensor]:
    """The features of pictures in half precision, on the CPU.

    Parameters
    ----------
    backbone
        Pictures (B, 3, H, W) in [0, 1] -> a list of maps (B, C, h, w), such as
        `avcore.nn.pretrained.image_backbone`.
    pictures
        (N, 3, H, W) uint8.

    Returns
    -------
    One tensor (N, C, h, w) float16 for each map of the backbone.
    """
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or len(pictures) == 0:
        raise AvcoreError(
            f"features are made of pictures (N, 3, H, W) uint8, got {tuple(pictures.shape)} "
            f"{pictures.dtype}"
        )
    device, parts = device_of(backbone), []
    with evaluating(backbone):
        for part in pictures.split(batch):
            image = part.to(device, torch.float32) / 255
            maps = backbone(image.contiguous(memory_format=torch.channels_last))
            parts.append([each.half().cpu().contiguous() for each in maps])
    return [torch.cat(column) for column in zip(*parts, strict=True)]


def cached(
    key: Mapping[str, Any], make: Callable[[], Tensors], cache: str | Path | None = None
) -> Tensors:
    """What `make()` gives, from the cache where it holds it whole; else made and kept there.

    Parameters
    ----------
    key
        Everything the tensors depend on: plain values by name. Whose code made them is best
        named by `code_digest`. Another key is another file.
    make
        Gives tensors by name.
    cache
        The cache folder; by default $AVCORE_CACHE or ~/.cache/avcore.

    Damaged, partial or foreign files are made again. Where the disk is full or may not be
    written, a warning says so and the tensors are used without being kept.
    """
    text = json.dumps(dict(key), sort_keys=True, default=str)
    path = features_folder(cache) / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.safetensors"
    found = _read(path, text)
    if found is None:
        found = make()
        _write(path, text, found)
    return found


def seen(backbone: nn.Module, pictures: Tensor, cache: str | Path | None = None) -> list[Tensor]:
    """`embed`, kept in the cache under the weights of the backbone and the pictures themselves."""
    key = {
        "backbone": weights_digest(backbone),
        "form": type(backbone).__name__,
        "code": code_digest("avcore.nn.pretrained", "avcore.nn.pictures"),
        "pictures": hashlib.blake2b(_bytes(pictures), digest_size=12).hexdigest(),
        "shape": list(pictures.shape),
    }
    found = cached(key, lambda: _numbered(embed(backbone, pictures)), cache)
    return [found[str(number)] for number in range(len(found))]


def _numbered(maps: list[Tensor]) -> Tensors:
    return {str(number): each for number, each in enumerate(maps)}


def features_folder(cache: str | Path | None = None) -> Path:
    """Where features are kept: "features" in `cache`, $AVCORE_CACHE or ~/.cache/avcore."""
    return cache_folder(cache) / "features"


def size(cache: str | Path | None = None) -> int:
    """Bytes that all kept features take."""
    return sum(file.stat().st_size for file in _files(features_folder(cache)))


def clear(cache: str | Path | None = None) -> int:
    """Remove all kept features; gives the bytes that were freed."""
    return sum(map(_remove, _files(features_folder(cache))))


@lru_cache(maxsize=64)
def code_digest(*modules: str) -> str:
    """Hash of the source of modules or whole packages, for keys: another code, other features."""
    digest = hashlib.sha256()
    for name in sorted(modules):
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise AvcoreError(f"there is no module {name!r}")
        origin = Path(spec.origin)
        files = sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]
        for file in files:
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def weights_digest(model: nn.Module) -> str:
    """Hash of a network's weights, for keys."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        digest.update(name.encode() + _bytes(value))
    return digest.hexdigest()[:16]


def bank_digest(bank: AssetBank) -> str:
    """The name of a bank and a hash of all that it holds, for keys."""
    return f"{bank.name} {joblib.hash(bank)}"


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data


def _read(path: Path, text: str) -> Tensors | None:
    """The tensors of a whole file with this key, else None."""
    safetensors = require("safetensors", "eye")
    try:
        with safetensors.safe_open(path, "pt") as file:
            said = file.metadata() or {}
            if said.get("format") != FORMAT or said.get("key") != text:
                return None
            sums = json.loads(said["sums"])
            found = {name: file.get_tensor(name) for name in sums}
    except FileNotFoundError:
        return None
    except Exception:  # a damaged or foreign file fails in many ways; it is made again
        return None
    if any(zlib.crc32(_bytes(tensor)) != sums[name] for name, tensor in found.items()):
        return None
    os.utime(path)  # it was used now: others go first
    return found


def _write(path: Path, text: str, tensors: Tensors) -> None:
    save = require("safetensors.torch", "eye").save
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    sums = json.dumps({name: zlib.crc32(_bytes(tensor)) for name, tensor in whole.items()})
    content = save(whole, {"format": FORMAT, "key": text, "sums": sums})
    try:
        remove_leftovers(path)
        _make_room(path.parent, len(content))
        with atomic_write(path, "wb") as file:
            file.write(content)
    except OSError as error:
        warnings.warn(f"features are not kept in {path.parent}: {error.strerror}", stacklevel=3)


def _make_room(folder: Path, needed: int) -> None:
    """Remove the files that were used longest ago until `needed` bytes fit under the limit."""
    try:
        limit = 1e9 * float(os.environ.get("AVCORE_FEATURES_GB", LIMIT_GB))
    except ValueError:
        raise AvcoreError("AVCORE_FEATURES_GB is a number of gigabytes") from None
    files = sorted(_files(folder), key=lambda file: file.stat().st_mtime)
    used = sum(file.stat().st_size for file in files)
    while files and used + needed > limit:
        used -= _remove(files.pop(0))


def _files(folder: Path) -> list[Path]:
    return list(folder.glob("*.safetensors")) if folder.is_dir() else []


def _remove(file: Path) -> int:
    """Remove a file, if another process has not; gives its bytes."""
    try:
        size = file.stat().st_size
        file.unlink()
    except FileNotFoundError:
        return 0
    return size
