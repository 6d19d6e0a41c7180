"""The canvas: noise fields, strokes, and the one light that shades skin, site and lesion together."""

import functools
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

SIZE = 256  # pixels, square
SEED = 20261124
FIELD = 512  # side of a precomputed noise field, cropped at random
YY, XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)


@functools.cache
def noise_bank() -> dict:
    """Fields of 1/f^beta noise, mean 0 and deviation 1: `cloud` is soft, `grain` is crisp."""
    rng = np.random.default_rng(SEED)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(FIELD), np.fft.fftfreq(FIELD)))
    frequency[0, 0] = 1
    bank = {}
    for name, beta, low_cut in (("cloud", 2.2, 0), ("blotch", 1.6, 0.012), ("flake", 1.2, 0.05), ("grain", 0.7, 0.12)):
        amplitude = frequency**-beta * (frequency > low_cut)
        amplitude[0, 0] = 0
        fields = []
        for _ in range(6):
            field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((FIELD, FIELD))) * amplitude).real
            fields.append((field / field.std()).astype(np.float32))
        bank[name] = fields
    return bank


def noise(rng, name) -> np.ndarray:
    """A random window, flip and transposition of a field of the bank, (SIZE, SIZE)."""
    fields = noise_bank()[name]
    field = fields[rng.integers(len(fields))]
    y, x = rng.integers(0, FIELD - SIZE, 2)
    window = field[y : y + SIZE, x : x + SIZE]
    if rng.random() < 0.5:
        window = window[:, ::-1]
    return window.T if rng.random() < 0.5 else window


def smoothstep(x, low, high):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def blend(rgb, colour, alpha):
    """`rgb` moved towards `colour` by `alpha` (SIZE, SIZE), in place."""
    rgb += (np.asarray(colour, np.float32) - rgb) * alpha[..., None]


def strokes(lines, blur=0.0) -> np.ndarray:
    """Coverage 0..1 of polylines [(points, width)], drawn at twice the size and averaged down."""
    canvas = Image.new("L", (2 * SIZE, 2 * SIZE))
    pen = ImageDraw.Draw(canvas)
    for points, width in lines:
        pen.line([(2 * x, 2 * y) for x, y in points], fill=255, width=max(1, round(2 * width)), joint="curve")
    canvas = canvas.resize((SIZE, SIZE), Image.Resampling.BOX)
    if blur:
        canvas = canvas.filter(ImageFilter.GaussianBlur(blur))
    return np.asarray(canvas, np.float32) / 255


@dataclass
class Scene:
    rgb: np.ndarray  # (SIZE, SIZE, 3), 0..255
    height: np.ndarray  # pixels of relief
    gloss: np.ndarray  # 0..1
    skin: np.ndarray  # 1 where there is skin, 0 where there is background cloth
    hair: list  # [(coverage, colour)], painted after the lesion
    room: tuple  # (x0, y0, x1, y1): where a lesion may lie
    base: np.ndarray  # mean skin colour here


def light(scene: Scene, rng) -> np.ndarray:
    """Diffuse and specular light from the upper left, a soft fall-off, sensor noise; uint8 (SIZE, SIZE, 3)."""
    gy, gx = np.gradient(scene.height)
    azimuth = np.deg2rad(225 + rng.normal(0, 14))
    lx, ly = np.cos(azimuth), np.sin(azimuth)
    norm = np.sqrt(gx * gx + gy * gy + 1)
    facing = (-gx * lx - gy * ly + 1.1) / (norm * 1.4866)  # elevation about 48 degrees
    shade = np.clip(facing / 0.74, 0.35, 1.5)
    shine = scene.gloss * np.clip((facing - 0.80) / 0.2, 0, 1) ** 4
    fall = (
        1.04
        - 0.10 * (((XX / SIZE - 0.5) * lx + (YY / SIZE - 0.5) * ly) * -1 + 0.4)
        - 0.10 * (((XX / SIZE - 0.5) ** 2 + (YY / SIZE - 0.5) ** 2) * 2)
    )
    rgb = scene.rgb * (shade * fall)[..., None] + 150 * shine[..., None]
    rgb *= rng.normal(1, 0.025) * (1 + rng.normal(0, 0.012, 3))
    rgb += rng.normal(0, 0.8, (SIZE, SIZE, 1))
    return np.clip(rgb, 0, 255).astype(np.uint8)
