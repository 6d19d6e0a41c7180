"""Writes a full-size pair of checkpoints and a vision tower of seeded noise, in the published layout and sizes.

    python make_pair.py --out DIR

DIR/best_stageA.pt and best_stageB.pt: 423 M parameters each (24 blocks of 1,024 with 16 heads, 50,257 tokens, LoRA of
rank 16 in the last block). Stage B shares all with Stage A but the token embeddings and the last two blocks.
DIR/clip: BiomedCLIP's layout, 86 M parameters of ViT-B/16 and 110 M of the text tower that captions do not use.
"""

import argparse
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "fixtures" / "captions"))

import family  # noqa: E402  (prepares torchvision)
import torch  # noqa: E402
from material import PROMPT_A, PROMPT_B  # noqa: E402
from open_clip.model import CLIPVisionCfg, _build_vision_tower  # noqa: E402
from transformers import BertConfig, BertModel  # noqa: E402

SIZES = family.Sizes(
    layers=24, width=1024, heads=16, vocabulary=50257, positions=1024, embedding=512, hidden=2048, lora_blocks=1, rank=16
)
VISION = {
    "timm_model_name": "vit_base_patch16_224",
    "timm_model_pretrained": False,
    "timm_pool": "",
    "timm_proj": "linear",
    "image_size": 224,
}
TEXT = {
    "hf_model_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    "hf_tokenizer_name": "microsoft/BiomedNLP-BiomedBERT-base-uncased-abstract",
    "hf_proj_type": "mlp",
    "hf_pooler_type": "cls_last_hidden_state_pooler",
    "context_length": 256,
}
MEAN, STD = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
OWN_IN_B = (".wte.", ".h.22.", ".h.23.")


def noise(key, shape, generator):
    """Scales at which a random GPT-2 of this size says something else for every image."""
    values = torch.randn(shape, generator=generator)
    if key == "prefix.alpha":
        return torch.tensor(0.5)
    if key.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight", "prefix.ln.weight")):
        return values.mul_(0.1).add_(1)
    if ".wte." in key:
        return values.mul_(0.06)
    if key.endswith("prefix.fc1.weight"):
        return values
    return values.mul_(0.02)


def write_pair(folder):
    with torch.device("meta"):
        shapes = {key: tensor.shape for key, tensor in family.Captioner(SIZES).state_dict().items()}
    generator = torch.Generator().manual_seed(1)
    state = {}
    for stage in ("A", "B"):
        for key, shape in shapes.items():
            if key == "gpt2.lm_head.weight":
                state[key] = state["gpt2.transformer.wte.weight"]
            elif stage == "A" or any(part in key for part in OWN_IN_B):
                state[key] = noise(key, shape, generator)
        config = {"GPT2_NAME": "gpt2-medium", "prompt_A": PROMPT_A, "prompt_B": PROMPT_B, "prefix_tokens": 32}
        torch.save({"model": state, "cfg": config}, folder / f"best_stage{stage}.pt")


def write_tower(folder):
    folder.mkdir(exist_ok=True)
    model = {"embed_dim": 512, "vision_cfg": VISION, "text_cfg": TEXT}
    config = {"model_cfg": model, "preprocess_cfg": {"mean": MEAN, "std": STD}}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2))
    with torch.device("meta"):
        visual = _build_vision_tower(512, CLIPVisionCfg(**VISION)).state_dict()
        text = BertModel(BertConfig(), add_pooling_layer=False).state_dict()
    generator = torch.Generator().manual_seed(2)
    state = {}
    for key, tensor in visual.items():
        values = torch.randn(tensor.shape, generator=generator)
        if "norm" in key:
            values = values.mul_(0.1).add_(float(key.endswith("weight")))
        elif key.endswith(("bias", "_embed", "_token")):
            values = values.mul_(0.2)
        else:
            values = values.mul_(1.5 / tensor[0].numel() ** 0.5)
        state[f"visual.{key}"] = values
    for key, tensor in text.items():
        state[f"text.transformer.{key}"] = torch.randn(tensor.shape, generator=generator).mul_(0.02)
    state["text.transformer.embeddings.position_ids"] = torch.arange(512)[None]
    state["text.proj.0.weight"] = torch.randn(640, 768, generator=generator)
    state["text.proj.2.weight"] = torch.randn(512, 640, generator=generator)
    state["logit_scale"] = torch.tensor(4.6)
    torch.save(state, folder / "open_clip_pytorch_model.bin")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    folder = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    started = time.time()
    write_pair(folder)
    write_tower(folder / "clip")
    sizes = {str(p.relative_to(folder)): f"{p.stat().st_size / 1e6:.0f} MB" for p in sorted(folder.rglob("*")) if p.is_file()}
    print(f"written in {time.time() - started:.0f} s: {sizes}")


if __name__ == "__main__":
    main()
