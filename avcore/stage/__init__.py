"""The stage: a synthetic world of scenes with sound, motion, speech and pixel truth."""

from avcore.stage.bank import ProceduralBank
from avcore.stage.batch import (
    SceneBatch,
    SceneDataset,
    collate,
    join,
    render,
    render_splits,
)
from avcore.stage.compose import COLLAGE, MOVING, STILL, Stage
from avcore.stage.scene import (
    SPLITS,
    AssetBank,
    Performance,
    Scene,
    SceneConfig,
    Source,
    Sprite,
    Word,
)

__all__ = [
    "COLLAGE",
    "MOVING",
    "SPLITS",
    "STILL",
    "AssetBank",
    "Performance",
    "ProceduralBank",
    "Scene",
    "SceneBatch",
    "SceneConfig",
    "SceneDataset",
    "Source",
    "Sprite",
    "Stage",
    "Word",
    "collate",
    "join",
    "render",
    "render_splits",
]
