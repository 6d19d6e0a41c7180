"""Draws the demo's dermatology-like pictures, with numpy and Pillow only.

Skin, site and lesion are painted into three fields of a `Scene`: `rgb` (colour), `height` (relief)
and `gloss`. One light from the upper left then shades all of them together, so that a
papule, a crease and a flake of scale cast their highlights from the same side.

    python models/demo/generate.py            # writes models/demo/study
    python models/demo/generate.py --sheet contact-sheet.png
"""

import argparse
import csv
import io
import pathlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from lesions import paint_lesion
from scene import SEED, SIZE, blend, light, smoothstep
from sites import PAINT_SITE
from vocabulary import Findings, draw_findings, metadata_caption, prose_caption


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
        parameters.append(
            {
                "img_name": name,
                "index": index,
                "site": f.site,
                "fitzpatrick": f.tone,
                "tone_group": f.tone_group,
                "lesion": f.lesion,
                "arrangement": f.arrangement,
                "colour": f.colour,
                "scale": f.scale,
                "border": f.border,
                "malignant": "Yes" if f.malignant else "No",
                "diagnosis": f.diagnosis,
                "metadata_caption": item.metadata,
                "prose_caption": item.prose,
            }
        )
    for name, rows in (("captions", captions), ("splits", splits), ("parameters", parameters)):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
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
