"""Skin of six sites, each with what tells it from the others: hair, eye, creases, a limb on cloth."""

import numpy as np
from PIL import Image, ImageDraw

from scene import SIZE, XX, YY, Scene, blend, noise, smoothstep, strokes
from vocabulary import TONES, Findings

# sRGB of unlit skin, Fitzpatrick I to VI
SKIN = np.array(
    [(238, 205, 184), (228, 188, 160), (210, 162, 132), (176, 126, 98), (134, 90, 64), (88, 58, 44)], np.float32
)
# Hair that goes with each type; the last two of every row are the darker, more common ones.
HAIR = (
    ((196, 160, 104), (122, 80, 48), (90, 62, 44)),
    ((150, 112, 70), (84, 58, 40), (58, 42, 32)),
    ((96, 66, 44), (58, 42, 32), (36, 28, 24)),
    ((56, 40, 30), (34, 27, 24), (26, 22, 21)),
    ((32, 26, 24), (26, 22, 21), (22, 19, 19)),
    ((28, 24, 23), (20, 18, 18), (17, 15, 16)),
)
DRAPES = ((70, 118, 132), (58, 104, 88), (86, 112, 156), (206, 210, 208), (44, 62, 84))


def bare_skin(f: Findings, rng) -> Scene:
    """Uneven melanin and redness, fine skin lines."""
    tone = TONES.index(f.tone)
    base = SKIN[tone] * rng.normal(1, 0.02) + rng.normal(0, 3, 3).astype(np.float32)
    if f.site == "palm":  # palms carry little melanin and much blood
        base = 0.45 * base + 0.55 * np.array((222, 160, 140), np.float32) * (1 - 0.04 * tone)
    rgb = np.broadcast_to(base, (SIZE, SIZE, 3)).astype(np.float32).copy()
    rgb *= 1 + 0.03 * noise(rng, "cloud")[..., None] * np.array((0.8, 1.0, 1.15), np.float32)
    rgb += noise(rng, "blotch")[..., None] * np.array((1.5, -1.2, -0.9), np.float32)
    lines = np.abs(noise(rng, "flake"))  # valleys of |noise| run like the net of skin lines
    height = 0.24 * smoothstep(lines, 0, 0.5) + 0.035 * noise(rng, "grain")
    return Scene(
        rgb,
        height.astype(np.float32),
        np.full((SIZE, SIZE), 0.12, np.float32),
        np.ones((SIZE, SIZE), np.float32),
        [],
        (70, 70, SIZE - 70, SIZE - 70),
        base,
    )


def curve(rng, start, angle, length, bend, steps=9):
    """A strand: points that leave `start` at `angle` and turn by `bend` in all."""
    t = np.linspace(0, 1, steps)
    heading = angle + bend * t
    step = length / (steps - 1)
    x = start[0] + np.concatenate([[0], np.cumsum(np.cos(heading[:-1]) * step)])
    y = start[1] + np.concatenate([[0], np.cumsum(np.sin(heading[:-1]) * step)])
    return list(zip(x.tolist(), y.tolist(), strict=True))


def hair_colour(f, rng):
    return np.array(HAIR[TONES.index(f.tone)][rng.integers(3)], np.float32) * rng.normal(1, 0.05)


def trunk(f, rng) -> Scene:
    scene = bare_skin(f, rng)
    moles = rng.integers(0, 3)
    for _ in range(moles):  # pinpoint freckles, far smaller than any lesion drawn
        x, y = rng.uniform(10, SIZE - 10, 2)
        blend(scene.rgb, scene.base * 0.7, 0.5 * smoothstep(2.4 - np.hypot(XX - x, YY - y), 0, 1.2))
    vellus = [
        (curve(rng, rng.uniform(0, SIZE, 2), rng.normal(1.2, 0.4), rng.uniform(14, 26), rng.normal(0, 0.6)), 0.5)
        for _ in range(rng.integers(4, 12))
    ]
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
    blend(
        scene.rgb,
        ((74, 48, 32), (60, 84, 60), (70, 98, 122))[rng.integers(1 if f.tone in ("IV", "V", "VI") else 3)],
        opening * smoothstep(11.5 - iris, 0, 1.5),
    )
    blend(scene.rgb, (14, 12, 12), opening * smoothstep(4.8 - iris, 0, 1.5))
    blend(scene.rgb, (250, 250, 250), opening * smoothstep(2.2 - np.hypot(XX - ex + 4, YY - ey + 3), 0, 1))
    colour = hair_colour(f, rng) * 0.8
    lid = [(ex + 36 * s, ey - 11 * (1 - s * s)) for s in np.linspace(-1, 1, 15)]
    crease = [(ex + 40 * s, ey - 8 - 13 * (1 - s * s)) for s in np.linspace(-1, 1, 15)]
    lower = [(ex + 36 * s, ey + 10 * (1 - s * s)) for s in np.linspace(-1, 1, 15)]
    lashes = [
        (curve(rng, lid[i], -np.pi / 2 + 0.55 * s, rng.uniform(8, 12), 0.5 * s, 5), 0.9)
        for i, s in enumerate(np.linspace(-1, 1, 15))
    ]
    brow = []
    for _ in range(120):
        s = rng.uniform(-1, 1)
        root = (ex + 46 * s, ey - 38 + 9 * s * s + rng.normal(0, 3.2) * (1.1 - 0.4 * s * outward))
        brow.append(
            (curve(rng, root, np.pi / 2 - outward * (1.25 + 0.2 * s), rng.uniform(9, 15), -0.3 * outward, 5), 0.9)
        )
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
    for start, heading, length, bend, width in (
        ((-6, 92), -0.12, 230, -0.75, 2.3),
        ((-8, 118), 0.10, 260, 0.45, 2.2),
        ((2, 108), 0.25, 240, 1.5, 2.6),
    ):
        points = curve(rng, (start[0], start[1] + rng.normal(0, 12)), heading + rng.normal(0, 0.08), length, bend, 16)
        lines.append((points, width))
    for _ in range(rng.integers(4, 8)):
        lines.append(
            (
                curve(
                    rng, rng.uniform(20, SIZE - 20, 2), rng.uniform(0, np.pi), rng.uniform(25, 60), rng.normal(0, 0.5)
                ),
                0.8,
            )
        )
    if mirror:
        lines = [([(SIZE - x, y) for x, y in p], w) for p, w in lines]
    crease = strokes(lines, 0.7)
    scene.height -= 2.6 * strokes(lines, 1.6)
    tone = TONES.index(f.tone)
    blend(scene.rgb, np.array((168, 92, 76), np.float32) * (1 - 0.10 * tone), 0.75 * crease)
    scene.rgb *= 1 + 0.05 * np.sin((XX if mirror else SIZE - XX) / SIZE * np.pi)[..., None]
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
        lines.append(
            (
                [(x + 10 * np.sin(s * 2.2 + k) + rng.normal(0, 0.8), s * SIZE) for s in np.linspace(0.08, 0.92, 14)],
                (2.6, 1.6, 1.2, 1.0)[k],
            )
        )
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
    lines = [
        (
            curve(rng, rng.uniform(0, SIZE, 2), rng.normal(1.5, 0.35), rng.uniform(16, 34), rng.normal(0, 0.9)),
            rng.uniform(0.6, 1.0),
        )
        for _ in range(rng.integers(34, 60))
    ]
    scene.hair.append((0.85 * strokes(lines) * scene.skin, hair_colour(f, rng) * 0.9))
    return scene


PAINT_SITE = {
    "scalp": scalp,
    "face": face,
    "trunk": trunk,
    "palm": palm,
    "elbow crease": elbow_crease,
    "lower leg": lower_leg,
}
