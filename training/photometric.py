"""What cameras and weather do to a picture: colour, haze, noise, blur, compression, few pixels.

Functions of a u8 (H, W, 3) RGB picture and a random generator; the boxes stay where they are.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Effect = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def recolour(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gain, offset and gamma per channel, as one table each."""
    ramp = np.arange(256, dtype=np.float32) / 255
    gain, offset, gamma = rng.uniform(0.6, 1.35), rng.uniform(-0.12, 0.12), rng.uniform(0.7, 1.5)
    tint = rng.uniform(0.88, 1.12, 3)
    curves = ramp[:, None] ** gamma * gain * tint + offset
    table = np.clip(curves * 255, 0, 255).astype(np.uint8)
    return cv2.LUT(np.ascontiguousarray(image), table[None])


def degrade(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The picture with at most one of the EFFECTS, each at its own chance."""
    chance = rng.random()
    for effect, share in EFFECTS:
        if chance < share:
            return effect(image, rng)
        chance -= share
    return image


def grey(image: np.ndarray, _: np.random.Generator) -> np.ndarray:
    """As a camera at night sees: no colour."""
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def haze(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fog or dust: a veil that thins out from the top of the picture, the far end, to the bottom.

    The usual model of scattering (Koschmieder 1924): picture * t + veil * (1 - t).
    """
    far = rng.uniform(0.15, 0.75)
    near = rng.uniform(far, 1.0)
    clear = np.linspace(far, near, len(image), dtype=np.float32)[:, None, None]
    veil = rng.uniform(120, 240) * rng.uniform((0.95, 0.92, 0.8), (1.05, 1.02, 1.05))
    return (image * clear + veil * (1 - clear)).clip(0, 255).astype(np.uint8)


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A sensor's grain, the same in all three channels half of the time."""
    channels = 1 if rng.random() < 0.5 else 3
    grain = rng.standard_normal((*image.shape[:2], channels), np.float32) * rng.uniform(4, 18)
    return (image + grain).clip(0, 255).astype(np.uint8)


def blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Out of focus, or moved sideways."""
    width = int(rng.integers(2, 6))
    return cv2.blur(image, (width, 1 if rng.random() < 0.3 else width))


def compress(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """JPEG of low quality, as a camera's stream that is short of bits."""
    quality = int(rng.integers(12, 50))
    _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(code, cv2.IMREAD_COLOR)


def few_pixels(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A small picture blown up."""
    height, width = image.shape[:2]
    factor = rng.uniform(0.35, 0.75)
    small = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


EFFECTS: tuple[tuple[Effect, float], ...] = (
    (grey, 0.05),
    (haze, 0.10),
    (noise, 0.07),
    (blur, 0.07),
    (compress, 0.08),
    (few_pixels, 0.08),
)
