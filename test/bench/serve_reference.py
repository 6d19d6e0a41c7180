"""The reference as a long-lived process: transformers and open_clip, asked by lines of JSON on stdin.

    python serve_reference.py

{"do": "open", "release", "threads", "stages": {"a": {"file", "prompt": [ids]}}, "images": [paths]}
{"do": "caption", "stages": ["a", "b"], "images": 8, "beams": 4, "attention": "sdpa"}
{"do": "embed", "images": 8}

Each is answered by one line of JSON. Captions are made as a user of transformers makes them: embeddings once, then one
stage after the other. Times are this process's own, in seconds, without loading.
"""

import json
import os
import sys
import time
import warnings
from importlib.metadata import version
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent / "full-size"), str(HERE.parent / "fixtures" / "captions")]

# Libraries print; answers alone go to stdout.
answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

import family  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402
from make_pair import SIZES  # noqa: E402
from towers import Tower  # noqa: E402


class Reference:
    def open(self, release, threads, stages, images):
        torch.set_num_threads(threads)
        self.tower = Tower(Path(release) / "clip")
        self.pixels = torch.stack([self.tower.pixels(self.tower.resized(Path(i), "train-centre")) for i in images])
        self.prompts = {stage: it["prompt"] for stage, it in stages.items()}
        self.models = {stage: family.load(it["file"], SIZES, mmap=True) for stage, it in stages.items()}
        self.forwards = 0
        for model in self.models.values():
            model.gpt2.transformer.register_forward_pre_hook(self.count)
        names = ("torch", "transformers", "open_clip_torch", "timm", "pillow")
        return {"versions": {name: version(name) for name in names}}

    def count(self, *_):
        self.forwards += 1

    @torch.inference_mode()
    def embeddings(self, images):
        return torch.nn.functional.normalize(self.tower.visual(self.pixels[:images]), dim=-1)

    def embed(self, images):
        """Seconds of the vision tower on preprocessed images."""
        started = time.perf_counter()
        self.embeddings(images)
        return {"seconds": time.perf_counter() - started}

    def caption(self, stages, images, beams, attention):
        for stage in stages:
            self.models[stage].gpt2.set_attn_implementation(attention)
        tokens, steps = {}, {}
        started = time.perf_counter()
        embeddings = self.embeddings(images)
        for stage in stages:
            self.forwards = 0
            tokens[stage] = self.decode(stage, embeddings, beams)
            steps[stage] = self.forwards
        return {"seconds": time.perf_counter() - started, "tokens": tokens, "steps": max(steps.values())}

    def decode(self, stage, embeddings, beams):
        """The published decoding, without scores, which would cost a copy of them at every step."""
        model, options = self.models[stage], family.DEFAULT_DECODING
        inputs = model.inputs(embeddings, self.prompts[stage])
        eos = model.gpt2.config.eos_token_id
        sequences = model.gpt2.generate(
            inputs_embeds=inputs,
            attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long),
            num_beams=beams,
            max_new_tokens=options["maxNewTokens"],
            min_new_tokens=options["minNewTokens"],
            no_repeat_ngram_size=options["noRepeatNgramSize"],
            repetition_penalty=options["repetitionPenalty"],
            length_penalty=options["lengthPenalty"],
            early_stopping=options["earlyStopping"] if beams > 1 else False,
            do_sample=False,
            eos_token_id=eos,
            pad_token_id=eos,
        )
        return [row[: row.index(eos)] if eos in row else row for row in sequences.tolist()]


def main():
    warnings.filterwarnings("ignore")
    transformers.logging.set_verbosity_error()
    reference = Reference()
    for line in sys.stdin:
        request = json.loads(line)
        answer = getattr(reference, request.pop("do"))(**request)
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
