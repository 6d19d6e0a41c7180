"""Captions the study's held-out test pictures with the demo release and measures both stages.

    python models/demo/evaluate.py [--release models/demo/release] [--split test] [--readme]

The files are opened strictly, as the trainer does, and decoded by transformers with the
published default decoding. `--readme` writes the table into models/demo/README.md.
"""

import argparse
import csv
import pathlib
import re
import time

import numpy as np
import torch
from PIL import Image
from tokenizers import Tokenizer
from torch.nn import functional as F

from captioner import open_release, open_tower
from vocabulary import ATTRIBUTES, TONE_WORDS

HERE = pathlib.Path(__file__).parent


@torch.no_grad()
def embeddings(folder, paths):
    """L2-normalised image embeddings (N, D). The pictures are square: resizing is the whole preprocessing."""
    tower, preprocess = open_tower(folder)
    mean, std = (torch.tensor(preprocess[k])[:, None, None] for k in ("mean", "std"))
    side = tower.image_size
    rows = []
    for path in paths:
        image = Image.open(path).convert("RGB").resize(side[::-1], Image.Resampling.BICUBIC)
        x = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1).float() / 255
        rows.append(F.normalize(tower(((x - mean) / std)[None]), dim=-1))
    return torch.cat(rows)


def captions(release, stage, x, tokenizer, prompt):
    """Decoded captions of one stage after its own prompt, and the seconds they took."""
    captioner, cfg = open_release(release, stage)
    start, texts = time.time(), []
    for part in x.split(8):
        for ids in captioner.caption(part, tokenizer.encode(cfg[prompt]).ids):
            texts.append(tokenizer.decode(ids.tolist(), skip_special_tokens=True).strip())
    return texts, time.time() - start


def named(text, attribute):
    """Which values of an attribute a caption names."""
    if attribute == "tone_group":
        words = {v: rf"(Skin tone: {v}\b|\b{TONE_WORDS[v]} skin)" for v in ATTRIBUTES[attribute]}
    elif attribute == "scale":
        words = {v: rf"(Scale: {v}\b|\b{v} (white |yellow )?scale)" for v in ATTRIBUTES[attribute]}
        words["none"] = r"(Scale: none\b|without scale)"
    elif attribute == "lesion":
        words = {v: rf"\b{v}(s|es)?\b" for v in ATTRIBUTES[attribute]}
    else:
        if attribute == "colour":
            text = text.replace("yellow scale", "scale")  # a colour of the scale, not of the lesion
        words = {v: rf"\b{re.escape(v)}\b" for v in ATTRIBUTES[attribute]}
    return {value for value, pattern in words.items() if re.search(pattern, text)}


def accuracy(texts, truth):
    """Share of captions that name the true value of each attribute, and no other one."""
    return {
        a: float(np.mean([named(t, a) == {row[a]} for t, row in zip(texts, truth, strict=True)])) for a in ATTRIBUTES
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--release", type=pathlib.Path, default=HERE / "release")
    parser.add_argument("--study", type=pathlib.Path, default=HERE / "study")
    parser.add_argument("--split", default="test")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--show", type=int, default=5)
    parser.add_argument("--readme", action="store_true")
    args = parser.parse_args()
    from sacrebleu import corpus_bleu

    torch.set_num_threads(1)

    def read(name):
        with (args.study / name).open(encoding="utf-8-sig", newline="") as file:
            return list(csv.DictReader(file))

    inside = {row["img_name"] for row in read("splits.csv") if row["split"] == args.split}
    truth = [row for row in read("parameters.csv") if row["img_name"] in inside][: args.limit]
    tokenizer = Tokenizer.from_file(str(args.release / "tokenizer.json"))
    x = embeddings(args.release / "clip", [args.study / "images" / row["img_name"] for row in truth])

    results = {}
    for stage in "AB":
        texts, seconds = captions(args.release, stage, x, tokenizer, f"prompt_{stage}")
        bleu = {
            style: corpus_bleu(texts, [[row[f"{style}_caption"] for row in truth]]).score
            for style in ("metadata", "prose")
        }
        results[stage] = (texts, bleu, accuracy(texts, truth), seconds / len(texts))
        print(f"Stage {stage}: BLEU {bleu}, attributes {results[stage][2]}, {seconds / len(texts):.2f} s per caption")
    for i in range(min(args.show, len(truth))):
        print(f"\n{truth[i]['img_name']}\n  truth  {truth[i]['metadata_caption']}")
        for stage in "AB":
            print(f"  {stage}      {results[stage][0][i]}")

    table = [f"| on {len(truth)} {args.split} pictures | Stage A | Stage B |", "|---|---|---|"]
    for style in ("metadata", "prose"):
        table.append(
            f"| BLEU against the {style} captions | " + " | ".join(f"{results[s][1][style]:.1f}" for s in "AB") + " |"
        )
    for attribute in ATTRIBUTES:
        label = {"tone_group": "skin tone", "colour": "colour"}.get(attribute, attribute)
        table.append(
            f"| names the right {label} | " + " | ".join(f"{100 * results[s][2][attribute]:.0f} %" for s in "AB") + " |"
        )
    print("\n" + "\n".join(table))
    if args.readme:
        readme = HERE / "README.md"
        text = readme.read_text(encoding="utf-8")
        begin, end = "<!-- results -->\n", "\n<!-- /results -->"
        head, rest = text.split(begin)
        readme.write_text(head + begin + "\n".join(table) + end + rest.split(end)[1], encoding="utf-8")


if __name__ == "__main__":
    main()
