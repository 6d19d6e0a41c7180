"""What every step of the training shares: where it keeps its progress, its log, its learning rate."""

import math
import pathlib
import time

HERE = pathlib.Path(__file__).parent
WORK = HERE / ".cache"


class Log:
    def __init__(self, path):
        self.file, self.start = path.open("a", encoding="utf-8"), time.time()

    def __call__(self, text):
        line = f"[{(time.time() - self.start) / 60:5.1f} min] {text}"
        print(line, flush=True)
        self.file.write(line + "\n")
        self.file.flush()


def cosine(step, total, warmup=0.06):
    """Learning-rate factor: linear warm-up, then half a cosine down to 2 %."""
    t = step / total
    return t / warmup if t < warmup else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (t - warmup) / (1 - warmup)))
