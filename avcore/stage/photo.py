"""A cut-out photograph as a sprite: sampled at any size, and moved by squash, stretch and hop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LARGEST = 256  # pixels along the longer side; a frame of the stage shows fewer


@dataclass(frozen=True, eq=False)
class Photo:
    """A picture in halving sizes, so that a small drawing of it does not flicker.

    Attributes
    ----------
    levels
        (h + 2, w + 2, 4) uint8 each: RGB multiplied by alpha, and alpha, in a transparent border
        of one pixel; each level has half the size of the one before.
    extent
        Half width and half height of the object when its longer side is 2.
    """

    levels: tuple[np.ndarray, ...]
    extent: tuple[float, float]

    @classmethod
    def of(cls, rgba: np.ndarray, largest: int = LARGEST) -> Photo:
        """Make it of an (H, W, 4) uint8 RGBA picture, keeping at most `largest` pixels a side."""
        height, width = rgba.shape[:2]
        colour = rgba.astype(np.float32)
        colour[..., :3] *= colour[..., 3:] / 255  # so that hidden colours do not bleed in
        while max(colour.shape[:2]) > largest:
            colour = _halved(colour)
        levels = [colour]
        while min(levels[-1].shape[:2]) > 4:
            levels.append(_halved(levels[-1]))
        bordered = tuple(
            np.pad(np.rint(level).astype(np.uint8), ((1, 1), (1, 1), (0, 0))) for level in levels
        )
        return cls(bordered, (width / max(width, height), height / max(width, height)))

    def sample(self, x: np.ndarray, y: np.ndarray, pixel: float) -> np.ndarray:
        """Bilinear samples (..., 4) float32 in [0, 1], premultiplied; transparent outside.

        `x` runs from -extent[0] to extent[0], `y` likewise; `pixel` is the distance of samples.
        """
        texels = max(self.levels[0].shape[:2]) - 2
        depth = np.log2(max(pixel * texels / 2, 1e-6))
        level = self.levels[int(np.clip(round(depth), 0, len(self.levels) - 1))]
        height, width = level.shape[0] - 2, level.shape[1] - 2
        column, x_part = _split((x / self.extent[0] + 1) * (width / 2) + 0.5, width)
        row, y_part = _split((y / self.extent[1] + 1) * (height / 2) + 0.5, height)
        packed = level.reshape(-1, 4).view(np.uint32).ravel()  # one load a pixel
        first = row * (width + 2) + column

        def corner(offset: int) -> np.ndarray:
            values = packed[first + offset].view(np.uint8).reshape(*first.shape, 4)
            return values.astype(np.float32)

        upper, lower = corner(0), corner(width + 2)
        upper += x_part * (corner(1) - upper)
        lower += x_part * (corner(width + 3) - lower)
        upper += y_part * (lower - upper)
        upper *= np.float32(1 / 255)
        return upper


def _split(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole part (…) and fraction (…, 1) of positions, held within a border of one texel."""
    position = np.clip(position, 0, size + 0.999).astype(np.float32)
    whole = position.astype(np.int32)
    return whole, (position - whole)[..., None]


def _halved(picture: np.ndarray) -> np.ndarray:
    """Half the size by averaging 2×2; an odd last row or column is repeated."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return even.reshape(even.shape[0] // 2, 2, even.shape[1] // 2, 2, 4).mean((1, 3))


@dataclass(frozen=True)
class PhotoSprite:
    """One look of a photograph: mirrored or not, a little turned, a little recoloured.

    Attributes
    ----------
    angle
        Radians by which the object is turned.
    tint
        Factors of red, green and blue; `saturation` is the factor of what differs from grey.
    stretch, hop, lean
        At drive 1: how much taller the object is, how far it is off the ground, how far it leans
        (rad).
    """

    photo: Photo
    mirror: bool
    angle: float
    tint: tuple[float, float, float]
    saturation: float
    stretch: float
    hop: float
    lean: float

    @classmethod
    def draw(cls, photo: Photo, rng: np.random.Generator) -> PhotoSprite:
        """A look drawn at random."""
        tint = rng.uniform(0.85, 1.1) * rng.uniform(0.95, 1.05, 3)
        return cls(
            photo=photo,
            mirror=bool(rng.random() < 0.5),
            angle=float(rng.uniform(-0.12, 0.12)),
            tint=tuple(tint.tolist()),
            saturation=float(rng.uniform(0.8, 1.2)),
            stretch=float(rng.uniform(0.1, 0.16)),
            hop=float(rng.uniform(0.06, 0.12)),
            lean=float(rng.uniform(-0.08, 0.08)),
        )

    def __call__(
        self, u: np.ndarray, v: np.ndarray, drive: np.ndarray, pixel: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Sprite`: rgb (T, h, w, 3) and alpha (T, h, w), float32 in [0, 1]."""
        drive = np.asarray(drive, np.float32)
        size = self._size()
        taller = 1 + np.float32(self.stretch) * drive
        ground = np.float32(size * self.photo.extent[1])
        y = ground - (ground - v - np.float32(self.hop) * drive) / taller  # the feet stay
        x = u * np.sqrt(taller)  # taller is narrower
        turn = np.float32(self.angle) + np.float32(self.lean) * drive
        cosine, sine = np.cos(turn) / np.float32(size), np.sin(turn) / np.float32(size)
        x, y = cosine * x + sine * y, cosine * y - sine * x
        samples = self.photo.sample(-x if self.mirror else x, y, pixel / size)
        alpha = samples[..., 3].copy()
        rgb = samples[..., :3] @ self._recolour()
        rgb /= np.maximum(alpha, np.float32(1 / 255))[..., None]
        return np.clip(rgb, 0, 1, out=rgb), alpha

    def _recolour(self) -> np.ndarray:
        """(3, 3): red, green, blue -> the part that differs from grey scaled, then the tint."""
        saturate = self.saturation * np.eye(3) + (1 - self.saturation) / 3
        return (saturate * self.tint).astype(np.float32)

    def _size(self) -> float:
        """The scale at which it is within [-1, 1]² at rest and [-1.18, 1.18]² in motion."""
        width, height = self.photo.extent
        turn = abs(self.angle) + abs(self.lean)
        across = width * np.cos(turn) + height * np.sin(turn)
        upright = height * np.cos(turn) + width * np.sin(turn)
        leap = upright * (1 + 2 * self.stretch) / (1.18 - self.hop)
        return 1 / max(across, upright, leap, 1.0)
