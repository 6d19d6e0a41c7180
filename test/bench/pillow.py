"""Median processor time in ms of Pillow's part in test/bench/preprocess.mjs: JPEG to a normalised tensor, one thread."""

import sys
import time

import numpy as np
from PIL import Image

MEAN = np.array([0.481, 0.458, 0.408], np.float32)
STD = np.array([0.269, 0.261, 0.276], np.float32)


def pixels(path: str) -> np.ndarray:
    """4:3 images need no crop in `train-centre`."""
    image = Image.open(path).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
    return ((np.asarray(image, np.float32) / 255 - MEAN) / STD).transpose(2, 0, 1).copy()


path, runs = sys.argv[1], int(sys.argv[2])
times = []
for run in range(runs + 1):
    before = time.process_time()
    pixels(path)
    if run:
        times.append(1000 * (time.process_time() - before))
print(sorted(times)[runs // 2])
