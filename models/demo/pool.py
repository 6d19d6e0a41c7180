"""The training pictures: drawn once, kept as arrays under `.cache/` (not committed).

Pictures pass through the same steps as at inference: JPEG, then a bicubic resize of the
square to the tower's input.
"""

import io
import json
import multiprocessing
import pathlib

import numpy as np
from PIL import Image

from generate import STUDY_SIZE, example, study_split
from vocabulary import ATTRIBUTES

INPUT = 160  # pixels, the fixed input of timm's test_vit
GRID = 10  # patches a side
FIRST_OUTSIDE_STUDY = 1000  # indices below are the study's


def pixels(jpeg: bytes) -> np.ndarray:
    """uint8 (INPUT, INPUT, 3)"""
    image = Image.open(io.BytesIO(jpeg)).convert("RGB")
    return np.asarray(image.resize((INPUT, INPUT), Image.Resampling.BICUBIC))


def one(index: int):
    item = example(index)
    side = item.maps.shape[-1]
    # mean of each map over each patch, edges cut where 256 is no multiple of 10
    cut = np.linspace(0, side, GRID + 1).astype(int)
    maps = np.add.reduceat(np.add.reduceat(item.maps, cut[:-1], 1), cut[:-1], 2)
    maps /= np.diff(cut)[:, None] * np.diff(cut)[None, :]
    labels = [values.index(getattr(item.findings, name)) for name, values in ATTRIBUTES.items()]
    return pixels(item.jpeg), (maps * 255).astype(np.uint8), labels, item.metadata, item.prose


def draw(indices, folder: pathlib.Path, workers=2):
    """Draws `indices` into `folder`: images.npy, maps.npy, labels.npy, captions.json."""
    if (folder / "captions.json").exists():
        return load(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with multiprocessing.Pool(workers) as pool:
        images, maps, labels, metadata, prose = zip(*pool.imap(one, indices, chunksize=32), strict=True)
    np.save(folder / "images.npy", np.stack(images))
    np.save(folder / "maps.npy", np.stack(maps))
    np.save(folder / "labels.npy", np.array(labels))
    (folder / "captions.json").write_text(json.dumps({"metadata": metadata, "prose": prose}), encoding="utf-8")
    return load(folder)


def load(folder: pathlib.Path) -> dict:
    captions = json.loads((folder / "captions.json").read_text(encoding="utf-8"))
    return {name: np.load(folder / f"{name}.npy") for name in ("images", "maps", "labels")} | captions


def training_indices(count: int) -> list:
    """The study's train split, then pictures outside the study; val and test are never drawn here."""
    own = [i for i in range(STUDY_SIZE) if study_split(i) == "train"]
    return own + list(range(FIRST_OUTSIDE_STUDY, FIRST_OUTSIDE_STUDY + count - len(own)))


def study_indices(split: str) -> list:
    return [i for i in range(STUDY_SIZE) if study_split(i) == split]
