"""Pillow's part in preprocess.mjs as a long-lived process, asked by lines of JSON on stdin:

{"do": "open", "input": {"size", "mean", "std"}}
{"do": "pixels", "path", "mode"}

From a file to the normalised tensor, on one thread: Pillow has no other way. Times are in milliseconds, by the clock and
of the process on a processor. Images are of aspect 3:4 or 4:3, which `train-centre` does not crop.
"""

import hashlib
import json
import sys
import time

import numpy as np
import PIL
from PIL import Image

BICUBIC = Image.Resampling.BICUBIC


class Pillow:
    def open(self, input):
        self.size = input["size"]
        self.mean = np.array(input["mean"], np.float32)
        self.std = np.array(input["std"], np.float32)
        return {"version": PIL.__version__}

    def resized(self, path, mode):
        image = Image.open(path).convert("RGB")
        size = self.size
        if mode == "train-centre":
            return image.resize((size, size), BICUBIC)
        shortest = min(image.size)
        width, height = (size * side // shortest for side in image.size)
        left, top = round((width - size) / 2), round((height - size) / 2)
        return image.resize((width, height), BICUBIC).crop((left, top, left + size, top + size))

    def tensor(self, path, mode):
        values = np.asarray(self.resized(path, mode), np.float32) / 255
        return ((values - self.mean) / self.std).transpose(2, 0, 1).copy()

    def pixels(self, path, mode):
        wall, cpu = time.perf_counter(), time.process_time()
        tensor = self.tensor(path, mode)
        times = {"wallMs": 1000 * (time.perf_counter() - wall), "cpuMs": 1000 * (time.process_time() - cpu)}
        return {**times, "sha256": hashlib.sha256(tensor.tobytes()).hexdigest()}


pillow = Pillow()
for line in sys.stdin:
    request = json.loads(line)
    try:
        answer = getattr(pillow, request.pop("do"))(**request)
    except Exception as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
