"""Captions images with both stages of a full-size pair, by transformers and open_clip, under the default decoding.

    python reference.py --release DIR --json OUT IMAGE…

One image at a time, Stage A then Stage B, as the published scripts do. Writes tokens, scores, embeddings, seconds per
image and stage, and the peak of resident memory.
"""

import argparse
import json
import platform
import resource
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures" / "captions"))

import family  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from make_pair import SIZES  # noqa: E402
from towers import Tower  # noqa: E402

# GPT-2's BPE of the two published prompts: neither this file nor its packages hold the vocabulary.
PROMPT_IDS = {
    "a": [818, 41305, 1495, 2456, 11, 6901, 4165, 10287, 295, 46320, 11, 3124, 11, 5046, 11, 4865, 11, 290, 48631, 2524, 13, 1482,
          9152, 351, 262, 749, 1884, 13669, 357, 16, 1906, 18, 2456, 737],
    "b": [24564, 4892, 262, 4168, 10287, 295, 35327, 306, 357, 24503, 1435, 11, 3124, 11, 5046, 11, 4865, 11, 4067, 8, 287,
          530, 6827, 13, 3103, 9152, 351, 262, 749, 1884, 13669, 357, 16, 1906, 18, 2456, 737],
}


def peak_bytes() -> int:
    try:
        status = Path("/proc/self/status").read_text()
        return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if platform.system() == "Darwin" else peak * 1024


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    parser = argparse.ArgumentParser()
    parser.add_argument("--release", type=Path, required=True)
    parser.add_argument("--json", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("images", nargs="+", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    tower = Tower(options.release / "clip")
    started = time.time()
    embeddings = torch.cat([tower.embed([image]) for image in options.images])
    embedding_seconds = (time.time() - started) / len(options.images)
    del tower

    captions, load_seconds = [{} for _ in options.images], 0.0
    for stage, file in (("a", "best_stageA.pt"), ("b", "best_stageB.pt")):
        started = time.time()
        model = family.load(options.release / file, SIZES, mmap=True)
        load_seconds += time.time() - started
        for row, embedding in zip(captions, embeddings):
            started = time.time()
            tokens, score = model.decode(embedding[None], PROMPT_IDS[stage], {})[0]
            row[stage] = {"tokens": tokens, "score": score, "seconds": time.time() - started}
            print(f"reference: stage {stage.upper()}, {len(tokens)} tokens in {row[stage]['seconds']:.1f} s", flush=True)
        del model

    result = {
        "madeWith": {name: version(name) for name in ("torch", "transformers", "open_clip_torch")},
        "threads": options.threads,
        "loadSeconds": load_seconds,
        "embeddingSeconds": embedding_seconds,
        "embeddings": embeddings.tolist(),
        "captions": captions,
        "peakBytes": peak_bytes(),
    }
    options.json.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
