"""The captioner as the published trainer builds it: projector, GPT-2, LoRA in the last block."""

import json
import pathlib
from dataclasses import dataclass

import optional_torchvision  # noqa: F401  (before what imports torchvision)

# isort: split
import torch
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

LORA_RANK = 16
LORA_ALPHA = 16  # a constant of the trainer: not stored in the file

PROMPT_A = (
    "In ≤25 words, describe primary lesion morphology, color, scale, border, and anatomical site. "
    "Conclude with the most likely diagnosis (1–3 words)."
)
# No space after "sentence.": the published prompt has none.
PROMPT_B = (
    "Describe the skin lesion concisely (morphology, color, scale, border, location) in one sentence."
    "Conclude with the most likely diagnosis (1–3 words)."
)


@dataclass
class TrainCfg:
    """What every checkpoint carries as `cfg`; the keys are the published trainer's."""

    CLIP_PRESET: str = "dermcap_demo"
    CSV_META: str = "study/captions.csv"
    OUT_DIR: str = "release"
    IMG_ROOT: str = "study"
    COL_IMG: str = "img_path"
    COL_TXT: str = "caption"
    COL_SPLIT: str = "split"
    COL_SRC: str = "source"
    SKINCAP_TAG: str = "skincap"
    GPT2_NAME: str = "gpt2-demo"
    seed: int = 42
    device: str = "cpu"
    num_workers: int = 0
    patience: int = 3
    clip_grad_norm: float = 1.0
    batch_size_A: int = 32
    batch_size_B: int = 32
    lr_A: float = 2e-3
    lr_B: float = 1e-3
    epochs_A: int = 2
    epochs_B: int = 3
    unfreeze_last_k_layers_A: int = 0
    unfreeze_last_k_layers_B: int = 1
    unfreeze_schedule_B: tuple = (3, 2)  # (from epoch, this many last blocks)
    freeze_prefix_in_B: bool = True
    label_smoothing_A: float = 0.05
    label_smoothing_B: float = 0.0
    wd_A: float = 0.01
    wd_B: float = 0.0
    gen_beams: int = 4
    gen_max_new: int = 80
    no_repeat_ngram_size: int = 4
    repetition_penalty: float = 1.15
    length_penalty: float = 0.6
    min_new_tokens: int = 24
    prompt_A: str = PROMPT_A
    prompt_B: str = PROMPT_B
    prefix_tokens: int = 32
    prefix_dropout_p: float = 0.05
    cliche_phrases: tuple = (
        "seek medical attention",
        "consult a dermatologist",
        "promptly for further",
        "It is recommended to",
        "further evaluation is required",
        "should be considered for",
        "medical attention",
        "follow up",
        "consult your doctor",
        "should be evaluated",
    )
    amp_enabled: bool = False
    global_val_frac: float = 0.04
    global_val_min_per_source: int = 50
    clip_cache_enabled: bool = True
    clip_cache_max_gb: float = 1.0
    loss_plot_name: str = ""
    examples_to_show: int = 5
    clipscore_batch: int = 64


class Projector(nn.Module):
    """Normalised image embedding (B, D) to prefix slots (B, tokens, n_embd)."""

    def __init__(self, embed_dim: int, n_embd: int, tokens: int, dropout: float):
        super().__init__()
        hidden = max(512, 2 * n_embd)
        self.tokens = tokens
        self.fc1 = nn.Linear(embed_dim, hidden)
        self.fc2 = nn.Linear(hidden, tokens * n_embd)
        self.ln = nn.LayerNorm(n_embd)
        self.alpha = nn.Parameter(torch.tensor(0.5))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x):
        y = self.fc2(F.gelu(self.fc1(x)))  # (B, tokens * n_embd)
        y = self.ln(y.view(len(x), self.tokens, -1))  # (B, tokens, n_embd)
        return self.dropout(self.alpha * y)


class LoRA(nn.Module):
    """y = base(x) + B(A x) * alpha / r around one of GPT-2's Conv1D."""

    def __init__(self, base, r=LORA_RANK, alpha=LORA_ALPHA):
        super().__init__()
        fan_in, fan_out = base.weight.shape  # Conv1D keeps (in, out)
        self.base = base
        self.A = nn.Linear(fan_in, r, bias=False)
        self.B = nn.Linear(r, fan_out, bias=False)
        nn.init.normal_(self.A.weight, std=0.02)
        nn.init.zeros_(self.B.weight)
        self.scale = alpha / r

    def forward(self, x):
        return self.base(x) + self.B(self.A(x)) * self.scale


def wrap_with_lora(block):
    for owner, name in ((block.attn, "c_attn"), (block.attn, "c_proj"), (block.mlp, "c_fc"), (block.mlp, "c_proj")):
        setattr(owner, name, LoRA(getattr(owner, name)))


class Captioner(nn.Module):
    def __init__(self, gpt2: GPT2LMHeadModel, embed_dim: int, cfg: TrainCfg):
        super().__init__()
        self.gpt2 = gpt2
        self.prefix = Projector(embed_dim, gpt2.config.n_embd, cfg.prefix_tokens, cfg.prefix_dropout_p)
        for block in gpt2.transformer.h[-max(cfg.unfreeze_last_k_layers_A, cfg.unfreeze_last_k_layers_B) :]:
            wrap_with_lora(block)

    def inputs(self, embedding, tokens):
        """[prefix ; wte(tokens)], (B, 32 + T, n_embd)"""
        return torch.cat([self.prefix(embedding), self.gpt2.transformer.wte(tokens)], dim=1)

    @torch.no_grad()
    def caption(self, embedding, prompt_ids, **options):
        """Token ids of the captions, by the published trainer's default decoding."""
        prompt = torch.tensor(prompt_ids).expand(len(embedding), -1)
        inputs = self.inputs(embedding, prompt)
        eos = self.gpt2.config.eos_token_id
        settings = dict(
            num_beams=4,
            max_new_tokens=60,
            min_new_tokens=24,
            no_repeat_ngram_size=4,
            repetition_penalty=1.15,
            length_penalty=0.6,
            early_stopping=True,
            do_sample=False,
            eos_token_id=eos,
            pad_token_id=eos,
        )
        return self.gpt2.generate(
            inputs_embeds=inputs, attention_mask=torch.ones(inputs.shape[:2], dtype=torch.long), **(settings | options)
        )


def open_release(folder: pathlib.Path, stage: str):
    """Reads `best_stageA.pt` or `best_stageB.pt` strictly, as the trainer does: (captioner in fp32, cfg)."""
    state = torch.load(folder / f"best_stage{stage}.pt", map_location="cpu", weights_only=True)
    gpt2 = GPT2LMHeadModel(GPT2Config.from_json_file(folder / "config.json"))
    embed_dim = state["model"]["prefix.fc1.weight"].shape[1]
    captioner = Captioner(gpt2, embed_dim, TrainCfg(**state["cfg"]))
    captioner.load_state_dict({k: v.float() for k, v in state["model"].items()}, strict=True)
    return captioner.eval(), state["cfg"]


def open_tower(folder: pathlib.Path):
    """The vision tower of an open_clip folder, strictly: (TimmModel in fp32, preprocess configuration)."""
    from open_clip.timm_model import TimmModel

    config = json.loads((folder / "open_clip_config.json").read_text(encoding="utf-8"))
    vision = config["model_cfg"]["vision_cfg"]
    tower = TimmModel(
        vision["timm_model_name"],
        embed_dim=config["model_cfg"]["embed_dim"],
        image_size=vision["image_size"],
        pool=vision["timm_pool"],
        proj=vision["timm_proj"],
    )
    state = torch.load(folder / "open_clip_pytorch_model.bin", map_location="cpu", weights_only=True)
    tower.load_state_dict(
        {k.removeprefix("visual."): v.float() for k, v in state.items() if k.startswith("visual.")}, strict=True
    )
    return tower.eval(), config["preprocess_cfg"]
