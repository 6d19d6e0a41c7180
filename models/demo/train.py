"""Trains the demo release: a small vision tower, a small GPT-2, then stages A and B.

    python models/demo/train.py --out models/demo/release

Steps, each resumed from `.cache/` when it was finished before:
  1. draw the training pictures                                    (pool.py, generate.py)
  2. byte-level BPE on captions and prompts                        -> tokenizer.json
  3. vision tower on the findings                                  -> clip/
  4. pre-train GPT-2 on captions (stands for the public GPT-2)     -> config.json
  5. Stage A: projector, wte and LoRA; metadata captions           -> best_stageA.pt
  6. Stage B: wte, LoRA and the last blocks; prose, projector frozen -> best_stageB.pt
"""

import argparse
import copy
import json
import math
import multiprocessing
import pathlib
import shutil
from dataclasses import asdict

import numpy as np

import optional_torchvision  # noqa: F401  (before what imports torchvision)

# isort: split
import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

import pool
from captioner import PROMPT_A, PROMPT_B, Captioner, LoRA, TrainCfg
from language import END, caption_loss, encode, fused_gelu, pretrain_beside, train_tokenizer
from schedule import HERE, WORK, Log, cosine
from tower import EMBED_DIM, embed, train_tower


def open_for_training(model: Captioner, prefix: bool, last_blocks: int):
    """Freezes all but wte (= lm_head), LoRA, and on request the projector and the last blocks."""
    for p in model.parameters():
        p.requires_grad = False
    model.gpt2.transformer.wte.weight.requires_grad = True
    for module in model.modules():
        if isinstance(module, LoRA):
            module.A.weight.requires_grad = module.B.weight.requires_grad = True
    for p in model.prefix.parameters():
        p.requires_grad = prefix
    for block in model.gpt2.transformer.h[len(model.gpt2.transformer.h) - last_blocks :]:
        for p in block.parameters():
            p.requires_grad = True
    return [p for p in model.parameters() if p.requires_grad]


def save_stage(path, model, cfg):
    """fp16, tied weights kept as one storage; what a stage never trained comes out bit-identical."""
    torch.save({"model": copy.deepcopy(model).half().state_dict(), "cfg": asdict(cfg)}, path)


def train_stage(stage, model, cfg, tokenizer, embeddings, captions, train_rows, val_rows, path, log):
    """One stage; keeps the epoch with the lowest validation loss."""
    epochs, lr, batch = (
        getattr(cfg, f"epochs_{stage}"),
        getattr(cfg, f"lr_{stage}"),
        getattr(cfg, f"batch_size_{stage}"),
    )
    smoothing, eos = getattr(cfg, f"label_smoothing_{stage}"), model.gpt2.config.eos_token_id
    prompt_ids = torch.tensor(tokenizer.encode(getattr(cfg, f"prompt_{stage}")).ids)
    torch.manual_seed(cfg.seed)
    rng = np.random.default_rng(cfg.seed)
    steps, best, optimiser = len(train_rows) // batch, math.inf, None

    def loss_of(rows):
        context = model.inputs(embeddings[rows], prompt_ids.expand(len(rows), -1))
        return caption_loss(model.gpt2, context, encode(tokenizer, [captions[r] for r in rows], eos), smoothing)

    for epoch in range(1, epochs + 1):
        if stage == "A":
            blocks = cfg.unfreeze_last_k_layers_A
        else:
            blocks = cfg.unfreeze_schedule_B[1] if epoch >= cfg.unfreeze_schedule_B[0] else cfg.unfreeze_last_k_layers_B
        if epoch == 1 or (stage == "B" and epoch == cfg.unfreeze_schedule_B[0]):
            parameters = open_for_training(model, stage == "A" or not cfg.freeze_prefix_in_B, blocks)
            optimiser = torch.optim.AdamW(parameters, lr, betas=(0.9, 0.98), weight_decay=getattr(cfg, f"wd_{stage}"))
            log(
                f"stage {stage} epoch {epoch}: {sum(p.numel() for p in parameters):,} parameters open, "
                f"last blocks {blocks}"
            )
        model.train()
        if stage == "B":
            model.prefix.eval()
        total, order = 0.0, rng.permutation(train_rows)
        for k in range(steps):
            rows = order[k * batch : (k + 1) * batch]
            for group in optimiser.param_groups:
                group["lr"] = lr * cosine((epoch - 1) * steps + k, epochs * steps)
            loss = loss_of(rows)
            optimiser.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, cfg.clip_grad_norm)
            optimiser.step()
            total += loss.item()
            if (k + 1) % 60 == 0:
                log(f"stage {stage} step {k + 1}/{steps}: loss {total / (k + 1):.4f}")
        model.eval()
        with torch.no_grad():
            parts = np.array_split(val_rows, -(-len(val_rows) // 64))
            val = sum(loss_of(p).item() * len(p) for p in parts) / len(val_rows)
        log(f"stage {stage} epoch {epoch}/{epochs}: train loss {total / steps:.4f}, val loss {val:.4f}")
        if val < best:
            best = val
            save_stage(path, model, cfg)


def load_stage(path, model):
    state = torch.load(path, weights_only=True)["model"]
    model.load_state_dict({k: v.float() for k, v in state.items()}, strict=True)


def write_description(folder, cfg, config):
    """The `final_captioner_*.json` beside the checkpoints, with the published file's keys."""
    description = {
        "gpt2_name": cfg.GPT2_NAME,
        "clip_backend_kind": "open_clip",
        "clip_repo": "dermcap/demo",
        "clip_arch": "TimmModel",
        "clip_weight_path": "clip",
        "embed_dim": EMBED_DIM,
        "prefix_tokens": cfg.prefix_tokens,
        "prompt": cfg.prompt_B,
        "cliche_phrases": list(cfg.cliche_phrases),
        "columns": {"image_path": cfg.COL_IMG, "caption": cfg.COL_TXT, "split": cfg.COL_SPLIT, "source": cfg.COL_SRC},
    }
    name = f"final_captioner_{cfg.GPT2_NAME}_TimmModel.json"
    (folder / name).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    keep = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    for key in (
        "vocab_size",
        "n_positions",
        "n_embd",
        "n_layer",
        "n_head",
        "n_inner",
        "activation_function",
        "layer_norm_epsilon",
        "bos_token_id",
        "eos_token_id",
        "pad_token_id",
        "resid_pdrop",
        "embd_pdrop",
        "attn_pdrop",
        "tie_word_embeddings",
    ):
        keep[key] = getattr(config, key)
    (folder / "config.json").write_text(json.dumps(keep, indent=2) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "release")
    parser.add_argument("--pictures", type=int, default=12000)
    parser.add_argument("--tower-epochs", type=int, default=4)
    parser.add_argument("--gpt2-steps", type=int, default=350)
    args = parser.parse_args()
    torch.set_num_threads(1)  # layers this small gain nothing from a second; the two trunks train side by side instead
    WORK.mkdir(exist_ok=True)
    args.out.mkdir(parents=True, exist_ok=True)
    log, cfg = Log(WORK / "training-log.txt"), TrainCfg()

    data = pool.draw(pool.training_indices(args.pictures), WORK / "train")
    rows = np.arange(len(data["labels"]))
    held_out = round(cfg.global_val_frac * len(rows))
    train_rows, val_rows = rows[:-held_out], rows[-held_out:]
    log(
        f"{len(train_rows)} training and {len(val_rows)} validation pictures, "
        f"seed {cfg.seed}, torch {torch.__version__}"
    )

    tokenizer_path = WORK / "tokenizer.json"
    if not tokenizer_path.exists():
        train_tokenizer(tokenizer_path, data["metadata"][:4000] + data["prose"][:4000] + [PROMPT_A, PROMPT_B] * 40)
    shutil.copy(tokenizer_path, args.out)
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    eos = tokenizer.token_to_id(END)
    lengths = {
        k: np.percentile([len(tokenizer.encode(c).ids) for c in data[k][:1000]], (0, 50, 100)).tolist()
        for k in ("metadata", "prose")
    }
    log(
        f"vocabulary {tokenizer.get_vocab_size()}, "
        f"prompts {[len(tokenizer.encode(p).ids) for p in (PROMPT_A, PROMPT_B)]} tokens, "
        f"captions (least, median, most) {lengths}"
    )

    config = GPT2Config(
        vocab_size=tokenizer.get_vocab_size(),
        n_positions=256,
        n_embd=80,
        n_layer=4,
        n_head=5,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=eos,
        eos_token_id=eos,
        pad_token_id=eos,
    )
    write_description(args.out, cfg, config)
    beside = None
    if not (WORK / "gpt2.pt").exists():
        beside = multiprocessing.get_context("spawn").Process(
            target=pretrain_beside, args=(config, str(tokenizer_path), args.gpt2_steps)
        )
        beside.start()
    if not (WORK / "clip").exists():
        train_tower(WORK / "clip", data, train_rows, val_rows, args.tower_epochs, log)
    shutil.copytree(WORK / "clip", args.out / "clip", dirs_exist_ok=True)
    if beside is not None:
        beside.join()
        if beside.exitcode != 0:
            raise SystemExit("pre-training GPT-2 failed")

    embeddings = embed(args.out / "clip", data["images"])
    log("embeddings cached")
    gpt2 = fused_gelu(GPT2LMHeadModel(config))
    gpt2.load_state_dict(torch.load(WORK / "gpt2.pt", weights_only=True))
    torch.manual_seed(cfg.seed)
    model = Captioner(gpt2, EMBED_DIM, cfg)
    train_stage(
        "A", model, cfg, tokenizer, embeddings, data["metadata"], train_rows, val_rows, args.out / "best_stageA.pt", log
    )

    load_stage(args.out / "best_stageA.pt", model)  # Stage B starts from the file

    def prose(rows):  # two pictures in five carry prose, as in the study
        return rows[np.isin(rows % 5, (1, 3))]

    train_stage(
        "B",
        model,
        cfg,
        tokenizer,
        embeddings,
        data["prose"],
        prose(train_rows),
        prose(val_rows),
        args.out / "best_stageB.pt",
        log,
    )
    (HERE / "training-log.txt").write_text((WORK / "training-log.txt").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
