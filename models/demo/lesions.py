"""Lesions: where they lie, their outline, colour, relief and scale."""

import numpy as np

from scene import SIZE, XX, YY, Scene, blend, noise, smoothstep, strokes
from sites import curve
from vocabulary import Findings


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
RADIUS = {
    "macule": (22, 30),
    "patch": (54, 70),
    "papule": (17, 24),
    "plaque": (48, 64),
    "nodule": (34, 46),
    "vesicle": (6.5, 9.5),
    "pustule": (8, 11),
}
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

        def pick():
            return centre + rng.normal(0, reach / 2, 2)

    else:
        count = rng.integers(3, 5) if large else rng.integers(6, 12)
        margin = 34
        low, high = np.array((x0 - margin, y0 - margin)), np.array((x1 + margin, y1 + margin))
        if f.site == "face":
            low[1] = max(low[1], 104)

        def pick():
            return rng.uniform(low, high)

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
        edge = (
            r * rng.uniform(0.45, 0.6) if f.border == "ill-defined" and f.lesion != "vesicle" else rng.uniform(2.0, 3.2)
        )
        mask = smoothstep(d + (5 * mottle if edge > 4 else 0), -edge, edge)
        dome = (
            np.sqrt(np.clip(d, 0, r) / r)
            if f.lesion in ("papule", "nodule", "vesicle", "pustule")
            else smoothstep(d, -1, 7)
        )
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
        near = (
            np.max(
                [
                    np.exp(
                        -(np.clip(np.hypot(XX - x, YY - y) / r - 0.6, 0, None) ** 2)
                        / (1.6 if f.lesion == "vesicle" else 0.45)
                    )
                    for x, y, r in spots
                ],
                axis=0,
            )
            * scene.skin
        )
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
        blend(
            scene.rgb,
            colour,
            depth * covered * (1 if f.colour in ("hypopigmented", "black") else np.clip(1 + 0.09 * mottle, 0.6, 1.12)),
        )
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
                vessels.append(
                    (
                        curve(
                            rng,
                            (x + 0.95 * r * np.cos(a), y + 0.95 * r * np.sin(a)),
                            a + np.pi + rng.normal(0, 0.5),
                            rng.uniform(0.4, 0.8) * r,
                            rng.normal(0, 1.6),
                        ),
                        0.9,
                    )
                )
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
