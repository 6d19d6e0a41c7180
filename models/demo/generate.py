"""Draws the demo's dermatology-like pictures, with numpy and Pillow only.

Skin, site and lesion are painted into three fields: `rgb` (colour), `height` (relief)
and `gloss`. One light from the upper left then shades all of them together, so that a
papule, a crease and a flake of scale cast their highlights from the same side.

    python models/demo/generate.py            # writes models/demo/study
    python models/demo/generate.py --sheet contact-sheet.png
"""

import argparse
import csv
import functools
import io
import pathlib
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vocabulary import Findings, draw_findings, metadata_caption, prose_caption

SIZE = 256  # pixels, square
SEED = 20261124
FIELD = 512  # side of a precomputed noise field, cropped at random
YY, XX = np.mgrid[0:SIZE, 0:SIZE].astype(np.float32)

# sRGB of unlit skin, Fitzpatrick I to VI
SKIN = np.array([(238, 205, 184), (228, 188, 160), (210, 162, 132), (176, 126, 98), (134, 90, 64), (88, 58, 44)], np.float32)
# Hair that goes with each type; the last two of every row are the darker, more common ones.
HAIR = (((196, 160, 104), (122, 80, 48), (90, 62, 44)), ((150, 112, 70), (84, 58, 40), (58, 42, 32)),
        ((96, 66, 44), (58, 42, 32), (36, 28, 24)), ((56, 40, 30), (34, 27, 24), (26, 22, 21)),
        ((32, 26, 24), (26, 22, 21), (22, 19, 19)), ((28, 24, 23), (20, 18, 18), (17, 15, 16)))
DRAPES = ((70, 118, 132), (58, 104, 88), (86, 112, 156), (206, 210, 208), (44, 62, 84))


# --- fields -----------------------------------------------------------------------------


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


# --- sites ------------------------------------------------------------------------------


def bare_skin(f: Findings, rng) -> Scene:
    """Uneven melanin and redness, fine skin lines."""
    tone = {"I": 0, "II": 1, "III": 2, "IV": 3, "V": 4, "VI": 5}[f.tone]
    base = SKIN[tone] * rng.normal(1, 0.02) + rng.normal(0, 3, 3).astype(np.float32)
    if f.site == "palm":  # palms carry little melanin and much blood
        base = 0.45 * base + 0.55 * np.array((222, 160, 140), np.float32) * (1 - 0.04 * tone)
    rgb = np.broadcast_to(base, (SIZE, SIZE, 3)).astype(np.float32).copy()
    rgb *= 1 + 0.03 * noise(rng, "cloud")[..., None] * np.array((0.8, 1.0, 1.15), np.float32)
    rgb += noise(rng, "blotch")[..., None] * np.array((1.5, -1.2, -0.9), np.float32)
    lines = np.abs(noise(rng, "flake"))  # valleys of |noise| run like the net of skin lines
    height = 0.24 * smoothstep(lines, 0, 0.5) + 0.035 * noise(rng, "grain")
    return Scene(rgb, height.astype(np.float32), np.full((SIZE, SIZE), 0.12, np.float32),
                 np.ones((SIZE, SIZE), np.float32), [], (70, 70, SIZE - 70, SIZE - 70), base)


def curve(rng, start, angle, length, bend, steps=9):
    """A strand: points that leave `start` at `angle` and turn by `bend` in all."""
    t = np.linspace(0, 1, steps)
    heading = angle + bend * t
    step = length / (steps - 1)
    x = start[0] + np.concatenate([[0], np.cumsum(np.cos(heading[:-1]) * step)])
    y = start[1] + np.concatenate([[0], np.cumsum(np.sin(heading[:-1]) * step)])
    return list(zip(x.tolist(), y.tolist()))


def hair_colour(f, rng):
    return np.array(HAIR["I II III IV V VI".split().index(f.tone)][rng.integers(3)], np.float32) * rng.normal(1, 0.05)


def trunk(f, rng) -> Scene:
    scene = bare_skin(f, rng)
    moles = rng.integers(0, 3)
    for _ in range(moles):  # pinpoint freckles, far smaller than any lesion drawn
        x, y = rng.uniform(10, SIZE - 10, 2)
        blend(scene.rgb, scene.base * 0.7, 0.5 * smoothstep(2.4 - np.hypot(XX - x, YY - y), 0, 1.2))
    vellus = [(curve(rng, rng.uniform(0, SIZE, 2), rng.normal(1.2, 0.4), rng.uniform(14, 26), rng.normal(0, 0.6)), 0.5)
              for _ in range(rng.integers(4, 12))]
    scene.hair.append((0.25 * strokes(vellus), scene.base * 0.55))
    return scene


def scalp(f, rng) -> Scene:
    """Long strands that leave a parting, in several shades of one colour."""
    scene = bare_skin(f, rng)
    scene.rgb *= 0.96
    colour, lean = hair_colour(f, rng), rng.uniform(0, 2 * np.pi)
    across = np.array((np.cos(lean), np.sin(lean)))
    middle = np.array((SIZE / 2, SIZE / 2)) + rng.normal(0, 18, 2)
    for shade, count in ((0.75, 110), (1.0, 110), (1.35, 60)):
        lines = []
        for _ in range(int(count * rng.uniform(0.8, 1.15))):
            root = rng.uniform(-30, SIZE + 30, 2)
            side = 1 if (root - middle) @ across > 0 else -1
            angle = np.arctan2(*(side * across)[::-1]) + rng.normal(0, 0.16)
            lines.append((curve(rng, root, angle, rng.uniform(60, 130), rng.normal(0, 0.5)), rng.uniform(0.7, 1.5)))
        scene.hair.append((0.92 * strokes(lines), np.clip(colour * shade, 0, 235)))
    scene.room = (95, 95, SIZE - 95, SIZE - 95)
    return scene


def face(f, rng) -> Scene:
    """Pores, a blush, and an eye with lid, lashes and brow at the upper edge."""
    scene = bare_skin(f, rng)
    left = rng.random() < 0.5
    ex, ey = (62 if left else SIZE - 62) + rng.normal(0, 6), 58 + rng.normal(0, 4)
    outward = -1 if left else 1
    blush = np.exp(-(((XX - SIZE / 2) / 90) ** 2 + ((YY - 170) / 70) ** 2))
    blend(scene.rgb, scene.base * np.array((1.02, 0.86, 0.84), np.float32), 0.45 * blush)
    pores = Image.new("L", (2 * SIZE, 2 * SIZE))
    pen = ImageDraw.Draw(pores)
    for x, y in rng.uniform(0, 2 * SIZE, (420, 2)):
        r = rng.uniform(1.0, 2.1)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=int(rng.uniform(90, 200)))
    pores = np.asarray(pores.resize((SIZE, SIZE), Image.Resampling.BOX), np.float32) / 255
    scene.height -= 1.1 * pores
    blend(scene.rgb, scene.base * 0.7, 0.35 * pores)
    # the open eye: white, iris, pupil between two lid curves
    u, v = (XX - ex) / 36, (YY - ey) / 12
    opening = smoothstep(1 - u * u - np.abs(v) * 1.15, 0, 0.12)
    blend(scene.rgb, scene.base * 0.72, 0.55 * np.exp(-(u**2) / 1.5 - (v / 2.2) ** 2))
    blend(scene.rgb, (232, 226, 220), opening)
    iris = np.hypot(XX - ex - rng.normal(0, 4), YY - ey)
    blend(scene.rgb, ((74, 48, 32), (60, 84, 60), (70, 98, 122))[rng.integers(1 if f.tone in ("IV", "V", "VI") else 3)],
          opening * smoothstep(11.5 - iris, 0, 1.5))
    blend(scene.rgb, (14, 12, 12), opening * smoothstep(4.8 - iris, 0, 1.5))
    blend(scene.rgb, (250, 250, 250), opening * smoothstep(2.2 - np.hypot(XX - ex + 4, YY - ey + 3), 0, 1))
    colour = hair_colour(f, rng) * 0.8
    lid = [(ex + 36 * s, ey - 11 * (1 - s * s)) for s in np.linspace(-1, 1, 15)]
    crease = [(ex + 40 * s, ey - 8 - 13 * (1 - s * s)) for s in np.linspace(-1, 1, 15)]
    lower = [(ex + 36 * s, ey + 10 * (1 - s * s)) for s in np.linspace(-1, 1, 15)]
    lashes = [(curve(rng, lid[i], -np.pi / 2 + 0.55 * s, rng.uniform(8, 12), 0.5 * s, 5), 0.9)
              for i, s in enumerate(np.linspace(-1, 1, 15))]
    brow = []
    for _ in range(120):
        s = rng.uniform(-1, 1)
        root = (ex + 46 * s, ey - 38 + 9 * s * s + rng.normal(0, 3.2) * (1.1 - 0.4 * s * outward))
        brow.append((curve(rng, root, np.pi / 2 - outward * (1.25 + 0.2 * s), rng.uniform(9, 15), -0.3 * outward, 5), 0.9))
    blend(scene.rgb, scene.base * 0.55, 0.7 * strokes([(crease, 1.6), (lower, 1.2)], 0.8))
    scene.hair.append((strokes(brow + lashes + [(lid, 2.2)]), colour))
    scene.room = (84, 138, SIZE - 84, SIZE - 74)
    return scene


def palm(f, rng) -> Scene:
    """Friction ridges and the three flexion creases, darker than the palm."""
    scene = bare_skin(f, rng)
    warp = 26 * noise(rng, "cloud")
    angle = rng.uniform(0, np.pi)
    ridges = np.sin((XX * np.cos(angle) + YY * np.sin(angle) + warp) * 1.25)
    scene.height = 0.25 * scene.height + 0.19 * ridges.astype(np.float32)
    mirror = rng.random() < 0.5
    lines = []
    for start, heading, length, bend, width in (((-6, 92), -0.12, 230, -0.75, 2.3), ((-8, 118), 0.10, 260, 0.45, 2.2),
                                                ((2, 108), 0.25, 240, 1.5, 2.6)):
        points = curve(rng, (start[0], start[1] + rng.normal(0, 12)), heading + rng.normal(0, 0.08), length, bend, 16)
        lines.append((points, width))
    for _ in range(rng.integers(4, 8)):
        lines.append((curve(rng, rng.uniform(20, SIZE - 20, 2), rng.uniform(0, np.pi), rng.uniform(25, 60), rng.normal(0, 0.5)), 0.8))
    if mirror:
        lines = [([(SIZE - x, y) for x, y in p], w) for p, w in lines]
    crease = strokes(lines, 0.7)
    scene.height -= 2.6 * strokes(lines, 1.6)
    tone = "I II III IV V VI".split().index(f.tone)
    blend(scene.rgb, np.array((168, 92, 76), np.float32) * (1 - 0.10 * tone), 0.75 * crease)
    scene.rgb *= (1 + 0.05 * np.sin((XX if mirror else SIZE - XX) / SIZE * np.pi)[..., None])
    return scene


def limb(f, rng, vertical: bool) -> Scene:
    """A limb across the picture with cloth on both sides of it."""
    scene = bare_skin(f, rng)
    along, across = (YY, XX) if vertical else (XX, YY)
    centre = SIZE / 2 + rng.normal(0, 5) + 0.03 * rng.normal() * (along - SIZE / 2)
    half = 92 + 8 * np.sin(along / SIZE * np.pi + rng.uniform(0, 3)) + rng.normal(0, 4)
    u = (across - centre) / half
    scene.skin = smoothstep(1 - np.abs(u), 0, 0.015).astype(np.float32)
    scene.rgb *= (0.62 + 0.38 * np.sqrt(np.clip(1 - u * u, 0, 1)))[..., None]
    cloth = np.array(DRAPES[rng.integers(len(DRAPES))], np.float32)
    weave = 1 + 0.05 * noise(rng, "cloud") + 0.03 * np.sin((XX + YY) * 1.6) + 0.03 * np.sin((XX - YY) * 1.6)
    weave *= 0.55 + 0.45 * smoothstep(np.abs(u), 0.98, 1.30)  # the limb's shadow
    scene.rgb = scene.rgb * scene.skin[..., None] + (cloth * weave[..., None]) * (1 - scene.skin[..., None])
    scene.height *= scene.skin
    scene.gloss *= scene.skin
    scene.room = (92, 80, SIZE - 92, SIZE - 80) if vertical else (80, 92, SIZE - 80, SIZE - 92)
    return scene


def elbow_crease(f, rng) -> Scene:
    """A horizontal limb, folded: creases run across it."""
    scene = limb(f, rng, vertical=False)
    lines, middle = [], SIZE / 2 + rng.normal(0, 22)
    for k in range(rng.integers(3, 5)):
        x = middle + (k - 1.4) * rng.uniform(13, 19)
        lines.append(([(x + 10 * np.sin(s * 2.2 + k) + rng.normal(0, 0.8), s * SIZE) for s in np.linspace(0.08, 0.92, 14)],
                      (2.6, 1.6, 1.2, 1.0)[k]))
    soft = strokes(lines, 3.5) * scene.skin
    scene.height -= 4.5 * strokes(lines, 2.2) * scene.skin
    blend(scene.rgb, scene.base * np.array((0.70, 0.56, 0.54), np.float32), np.clip(1.3 * soft, 0, 0.6))
    blend(scene.rgb, scene.base * np.array((0.45, 0.32, 0.30), np.float32), 0.6 * strokes(lines, 0.6) * scene.skin)
    return scene


def lower_leg(f, rng) -> Scene:
    """A vertical limb with sparse hairs that point down."""
    scene = limb(f, rng, vertical=True)
    dry = np.abs(noise(rng, "flake"))
    scene.height += 0.35 * smoothstep(dry, 0.15, 0) * scene.skin
    lines = [(curve(rng, rng.uniform(0, SIZE, 2), rng.normal(1.5, 0.35), rng.uniform(16, 34), rng.normal(0, 0.9)), rng.uniform(0.6, 1.0))
             for _ in range(rng.integers(34, 60))]
    scene.hair.append((0.85 * strokes(lines) * scene.skin, hair_colour(f, rng) * 0.9))
    return scene


PAINT_SITE = {"scalp": scalp, "face": face, "trunk": trunk, "palm": palm, "elbow crease": elbow_crease, "lower leg": lower_leg}


# --- lesions ----------------------------------------------------------------------------


def outline(rng, x, y, radius, border, lesion) -> np.ndarray:
    """Signed distance in pixels to a lobed outline around (x, y), positive inside."""
    dx, dy = XX - x, YY - y
    stretch, turn = rng.uniform(0.84, 1.0), rng.uniform(0, np.pi)
    c, s = np.cos(turn), np.sin(turn)
    dx, dy = (c * dx + s * dy) * stretch, (-s * dx + c * dy) / stretch
    theta, distance = np.arctan2(dy, dx), np.hypot(dx, dy)
    lobes = np.zeros_like(theta)
    if border == "irregular":
        for k, a in ((2, 0.13), (3, 0.10), (5, 0.075), (7, 0.06), (11, 0.035)):
            lobes += a * rng.uniform(0.6, 1.2) * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
        lobes += 0.045 * noise(rng, "blotch")
    elif lesion in ("patch", "plaque"):
        for k, a in ((2, 0.06), (3, 0.06), (4, 0.03)):
            lobes += a * rng.uniform(0.3, 1.2) * np.cos(k * theta + rng.uniform(0, 2 * np.pi))
        lobes += 0.012 * noise(rng, "blotch")
    return (radius * (1 + lobes) - distance).astype(np.float32)


# Radius in pixels of one element; `many` when several are drawn.
RADIUS = {"macule": (22, 30), "patch": (54, 70), "papule": (17, 24), "plaque": (48, 64), "nodule": (34, 46),
          "vesicle": (6.5, 9.5), "pustule": (8, 11)}
RADIUS_OF_MANY = {"macule": (10, 17), "patch": (24, 34), "papule": (9, 13), "plaque": (22, 31)}
RELIEF = {"macule": 0, "patch": 0, "papule": 9, "plaque": 2.8, "nodule": 22, "vesicle": 6, "pustule": 4.5}


def places(f: Findings, room, rng):
    """Centres and radii (x, y, r) of the elements, kept apart from each other."""
    x0, y0, x1, y1 = room
    centre = rng.uniform((x0, y0), (x1, y1)) * 0.6 + 0.4 * np.array(((x0 + x1) / 2, (y0 + y1) / 2))
    if f.arrangement == "solitary":
        return [(*centre, rng.uniform(*RADIUS[f.lesion]))]
    span = RADIUS_OF_MANY.get(f.lesion, RADIUS[f.lesion])
    large = f.lesion in ("patch", "plaque")
    if f.arrangement == "grouped":
        count, reach = rng.integers(8, 14), 46
        pick = lambda: centre + rng.normal(0, reach / 2, 2)
    else:
        count = rng.integers(3, 5) if large else rng.integers(6, 12)
        margin = 34
        low, high = np.array((x0 - margin, y0 - margin)), np.array((x1 + margin, y1 + margin))
        if f.site == "face":
            low[1] = max(low[1], 104)
        pick = lambda: rng.uniform(low, high)
    gap = 1.02 if f.arrangement == "grouped" else 1.25
    found = []
    for _ in range(400):
        if len(found) == count:
            break
        (x, y), r = pick(), rng.uniform(*span)
        if all(np.hypot(x - u, y - v) > gap * (r + q) for u, v, q in found):
            found.append((x, y, r))
    return found


def lesion_colour(f: Findings, base: np.ndarray, rng) -> np.ndarray:
    """What the skin turns to; erythema is dusky on dark skin, where red light is swallowed."""
    dark = 1 - np.clip((base.mean() - 60) / 150, 0, 1)
    target = {
        "erythematous": base * np.array((0.98, 0.50, 0.49)) + np.array((12, 2, 4)) + dark * np.array((36, 0, 2)),
        "brown": base * np.array((0.56, 0.42, 0.33)) + dark * np.array((-4, -6, -6)),
        "black": np.array((34, 27, 30)) * (1 - 0.45 * dark),
        "violaceous": base * np.array((0.64, 0.47, 0.58)) + np.array((10, 0, 22)) + dark * np.array((16, 2, 26)),
        "hypopigmented": base * 0.20 + 0.80 * np.array((246, 234, 226)),
        "yellow": base * 0.38 + 0.62 * np.array((238, 202, 108)),
        "pearly pink": base * 0.35 + 0.65 * np.array((236, 172, 170)),
    }[f.colour]
    return (target * rng.normal(1, 0.03)).astype(np.float32)


def paint_lesion(f: Findings, scene: Scene, rng):
    """Paints the lesion; returns coverage maps (lesion, scale), each (SIZE, SIZE) 0..1."""
    spots = places(f, scene.room, rng)
    colour = lesion_colour(f, scene.base, rng)
    covered, relief = np.zeros((SIZE, SIZE), np.float32), np.zeros((SIZE, SIZE), np.float32)
    rim = np.zeros((SIZE, SIZE), np.float32)
    mottle = noise(rng, "blotch")
    for x, y, r in spots:
        d = outline(rng, x, y, r, f.border, f.lesion)
        edge = r * rng.uniform(0.45, 0.6) if f.border == "ill-defined" and f.lesion != "vesicle" else rng.uniform(2.0, 3.2)
        mask = smoothstep(d + (5 * mottle if edge > 4 else 0), -edge, edge)
        dome = np.sqrt(np.clip(d, 0, r) / r) if f.lesion in ("papule", "nodule", "vesicle", "pustule") else smoothstep(d, -1, 7)
        if f.border == "annular":
            width = 0.30 * r
            ring = smoothstep(d, -1.6, 1.6) * smoothstep(width - d, -4, 4)
            mask, dome = np.maximum(ring, 0.22 * mask), ring
        covered, relief = np.maximum(covered, mask), np.maximum(relief, dome * RELIEF[f.lesion] * min(1, r / 10))
        rim = np.maximum(rim, smoothstep(d, 0, 0.3 * r) * smoothstep(0.55 * r - d, 0, 0.3 * r))
    covered *= scene.skin
    relief *= scene.skin

    if f.lesion in ("vesicle", "pustule"):
        # a red base around the elements, and what they hold: clear fluid or pus
        near = np.max([np.exp(-(np.clip(np.hypot(XX - x, YY - y) / r - 0.6, 0, None) ** 2) / (1.6 if f.lesion == "vesicle" else 0.45))
                       for x, y, r in spots], axis=0) * scene.skin
        blend(scene.rgb, colour, 0.85 * near)
        if f.lesion == "vesicle":
            blend(scene.rgb, 0.55 * colour + 0.45 * np.array((246, 226, 206)), 0.6 * covered)
            scene.gloss += 0.75 * covered
        else:
            pus = np.max([smoothstep(0.62 * r - np.hypot(XX - x, YY - y), -1, 1.5) for x, y, r in spots], axis=0)
            blend(scene.rgb, (246, 232, 176), 0.92 * pus * scene.skin)
            scene.gloss += 0.25 * covered
    else:
        depth = 0.90 if f.colour in ("black", "hypopigmented", "yellow") else 0.82
        blend(scene.rgb, colour, depth * covered * (1 if f.colour in ("hypopigmented", "black") else np.clip(1 + 0.09 * mottle, 0.6, 1.12)))
        if f.colour == "black":  # shades of brown and blue-grey within
            patchy = smoothstep(noise(rng, "blotch"), 0.5, 1.6)
            blend(scene.rgb, (88, 50, 32), 0.55 * patchy * covered)
            blend(scene.rgb, (78, 84, 104), 0.5 * smoothstep(noise(rng, "blotch"), 0.9, 1.9) * covered)
        if f.colour == "brown" and f.border == "irregular":
            blend(scene.rgb, colour * 0.55, 0.6 * smoothstep(noise(rng, "blotch"), 0.2, 1.3) * covered)
        if f.colour == "pearly pink":  # rolled rim, sunken centre, dilated vessels
            relief += 7 * rim * covered - 5 * smoothstep(relief, 15, 22)
            scene.gloss += 0.55 * covered
            (x, y, r), vessels = spots[0], []
            for a in rng.uniform(0, 2 * np.pi, 8):
                vessels.append((curve(rng, (x + 0.95 * r * np.cos(a), y + 0.95 * r * np.sin(a)), a + np.pi + rng.normal(0, 0.5),
                                      rng.uniform(0.4, 0.8) * r, rng.normal(0, 1.6)), 0.9))
            blend(scene.rgb, (168, 40, 48), 0.7 * strokes(vessels, 0.4) * covered)
        if f.lesion in ("papule", "nodule"):
            scene.gloss += 0.30 * covered

    scale = np.zeros((SIZE, SIZE), np.float32)
    if f.scale == "fine":
        bits = smoothstep(0.7 * noise(rng, "grain") + 0.9 * noise(rng, "flake"), 0.45, 1.05)
        scale = bits * smoothstep(covered, 0.25, 0.8)
        blend(scene.rgb, (240, 232, 226), 0.62 * scale)
        relief += 0.5 * scale
    elif f.scale == "silvery":
        plates = smoothstep(noise(rng, "flake") + 0.6 * noise(rng, "blotch"), -0.15, 0.35)
        scale = plates * smoothstep(covered, 0.55, 0.98)
        blend(scene.rgb, (232, 232, 234), 0.86 * scale)
        scene.gloss += 0.2 * scale
        relief += scale * (1.4 + 0.6 * noise(rng, "flake"))
    elif f.scale == "greasy":
        clumps = smoothstep(noise(rng, "blotch") + 0.7 * noise(rng, "flake"), 0.25, 0.8)
        scale = clumps * smoothstep(covered, 0.35, 0.85)
        blend(scene.rgb, (222, 190, 116), 0.78 * scale)
        scene.gloss += 0.5 * scale
        relief += 1.4 * scale

    if RELIEF[f.lesion]:
        # raised skin is stretched: its own lines fade
        scene.height *= 1 - 0.6 * covered
    scene.height += relief
    return covered, scale


# --- the picture ------------------------------------------------------------------------


def light(scene: Scene, rng) -> np.ndarray:
    """Diffuse and specular light from the upper left, a soft fall-off, sensor noise; uint8 (SIZE, SIZE, 3)."""
    gy, gx = np.gradient(scene.height)
    azimuth = np.deg2rad(225 + rng.normal(0, 14))
    lx, ly = np.cos(azimuth), np.sin(azimuth)
    norm = np.sqrt(gx * gx + gy * gy + 1)
    facing = (-gx * lx - gy * ly + 1.1) / (norm * 1.4866)  # elevation about 48 degrees
    shade = np.clip(facing / 0.74, 0.35, 1.5)
    shine = scene.gloss * np.clip((facing - 0.80) / 0.2, 0, 1) ** 4
    fall = 1.04 - 0.10 * (((XX / SIZE - 0.5) * lx + (YY / SIZE - 0.5) * ly) * -1 + 0.4) - 0.10 * (
        ((XX / SIZE - 0.5) ** 2 + (YY / SIZE - 0.5) ** 2) * 2)
    rgb = scene.rgb * (shade * fall)[..., None] + 150 * shine[..., None]
    rgb *= rng.normal(1, 0.025) * (1 + rng.normal(0, 0.012, 3))
    rgb += rng.normal(0, 0.8, (SIZE, SIZE, 1))
    return np.clip(rgb, 0, 255).astype(np.uint8)


def render(f: Findings, rng: np.random.Generator):
    """The picture as uint8 (SIZE, SIZE, 3) and the maps (lesion, scale, relief), (3, SIZE, SIZE) 0..1."""
    scene = PAINT_SITE[f.site](f, rng)
    flat = scene.height.copy()
    covered, scale = paint_lesion(f, scene, rng)
    raised = np.clip((scene.height - flat) / 12, 0, 1)
    keep = 1 - 0.72 * smoothstep(covered, 0.2, 0.7) if f.site == "scalp" else 1 - 0.3 * covered
    for coverage, colour in scene.hair:
        alpha = coverage * keep
        blend(scene.rgb, colour, alpha)
        scene.height += 0.5 * alpha
    return light(scene, rng), np.stack([covered, scale, raised])


@dataclass
class Example:
    findings: Findings
    jpeg: bytes
    maps: np.ndarray
    metadata: str
    prose: str


def example(index: int, quality=75) -> Example:
    """Picture `index` of the demo world: the same bytes for the same index and library versions."""
    rng = np.random.default_rng((SEED, index))
    findings = draw_findings(rng)
    prose = prose_caption(findings, rng)
    pixels, maps = render(findings, rng)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    return Example(findings, file.getvalue(), maps, metadata_caption(findings), prose)


# --- the study --------------------------------------------------------------------------

STUDY_SIZE = 320
SPLITS = (("train", 200), ("val", 40), ("test", 80))


def study_split(index: int) -> str:
    """The study is index 0 to 319: first train, then val, then test."""
    for name, count in SPLITS:
        if index < count:
            return name
        index -= count
    raise IndexError("not a picture of the study")


def study_source(index: int) -> str:
    """Two rows in five carry clinical prose, the others archive metadata."""
    return "demo_skincap" if index % 5 in (1, 3) else "demo_meta"


def write_study(folder: pathlib.Path):
    (folder / "images").mkdir(parents=True, exist_ok=True)
    captions, splits, parameters = [], [], []
    for index in range(STUDY_SIZE):
        item, source = example(index), study_source(index)
        name = f"{source}_{index:04d}.jpg"
        (folder / "images" / name).write_bytes(item.jpeg)
        caption = item.prose if source == "demo_skincap" else item.metadata
        captions.append({"img_path": f"images/{name}", "caption": caption, "source": source, "img_name": name})
        splits.append({"img_name": name, "split": study_split(index)})
        f = item.findings
        parameters.append({"img_name": name, "index": index, "site": f.site, "fitzpatrick": f.tone, "tone_group": f.tone_group,
                           "lesion": f.lesion, "arrangement": f.arrangement, "colour": f.colour, "scale": f.scale,
                           "border": f.border, "malignant": "Yes" if f.malignant else "No", "diagnosis": f.diagnosis,
                           "metadata_caption": item.metadata, "prose_caption": item.prose})
    for name, rows in (("captions", captions), ("splits", splits), ("parameters", parameters)):
        with open(folder / f"{name}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys(), lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def contact_sheet(path: str, count: int, first: int, columns=6):
    tiles = [Image.open(io.BytesIO(example(first + i).jpeg)) for i in range(count)]
    sheet = Image.new("RGB", (columns * SIZE, -(-count // columns) * SIZE))
    for i, tile in enumerate(tiles):
        sheet.paste(tile, (i % columns * SIZE, i // columns * SIZE))
    sheet.save(path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=pathlib.Path, default=pathlib.Path(__file__).parent / "study")
    parser.add_argument("--sheet", help="write a contact sheet to this PNG instead of the study")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=24)
    args = parser.parse_args()
    if args.sheet:
        contact_sheet(args.sheet, args.count, args.first)
    else:
        write_study(args.study)
