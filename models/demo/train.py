"""Trains the demo release: a small vision tower, a small GPT-2, then stages A and B.

    python models/demo/train.py --out models/demo/release

Steps, each resumed from `.work/` when it was finished before:
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
import time
from dataclasses import asdict

import numpy as np

import optional_torchvision  # noqa: F401  (first)
import torch
from open_clip.timm_model import TimmModel
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional as F
from transformers import GPT2Config, GPT2LMHeadModel

import pool
from captioner import PROMPT_A, PROMPT_B, Captioner, LoRA, TrainCfg, open_tower
from vocabulary import ATTRIBUTES, draw_findings, metadata_caption, prose_caption

HERE = pathlib.Path(__file__).parent
WORK = HERE / ".work"
MEAN = (0.48145466, 0.4578275, 0.40821073)  # BiomedCLIP's preprocess_cfg
STD = (0.26862954, 0.26130258, 0.27577711)
EMBED_DIM = 128
END = "<|endoftext|>"


class Log:
    def __init__(self, path):
        self.file, self.start = open(path, "a", encoding="utf-8"), time.time()

    def __call__(self, text):
        line = f"[{(time.time() - self.start) / 60:5.1f} min] {text}"
        print(line, flush=True)
        self.file.write(line + "\n")
        self.file.flush()


def cosine(step, total, warmup=0.06):
    """Learning-rate factor: linear warm-up, then half a cosine down to 2 %."""
    t = step / total
    return t / warmup if t < warmup else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (t - warmup) / (1 - warmup)))


def fused_gelu(gpt2):
    """GPT-2's tanh approximation of GELU as one operator instead of eight: the same function, faster in training."""
    for block in gpt2.transformer.h:
        block.mlp.act = nn.GELU(approximate="tanh")
    return gpt2


# --- 2. tokenizer -------------------------------------------------------------------------


def train_tokenizer(path, texts, size=767) -> Tokenizer:
    """GPT-2's scheme (byte level, no space before the first word) with a small vocabulary; the
    end of text is the last id, as in GPT-2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False))
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(path))
    return tokenizer


# --- 3. vision tower ----------------------------------------------------------------------


def normalised(images: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) to (B, 3, H, W)"""
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255
    return (x - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def augmented(images, maps, rng):
    """Mirrored pictures, slightly varied light; (x, maps) with the maps mirrored alike."""
    flip = rng.random(len(images)) < 0.5
    images, maps = images.copy(), maps.copy()
    images[flip], maps[flip] = images[flip, :, ::-1], maps[flip, :, :, ::-1]
    x = normalised(images)
    x = x * torch.from_numpy(rng.normal(1, 0.05, (len(images), 1, 1, 1))).float()
    return x + torch.from_numpy(rng.normal(0, 0.06, (len(images), 3, 1, 1))).float(), torch.from_numpy(maps).float() / 255


class TowerTrainer(nn.Module):
    """The tower with heads that are thrown away after training.

    `attributes` read the findings from the normalised embedding by cosine, like class names
    of a CLIP text encoder; `patches` reads lesion, scale and relief under every patch, which
    teaches a transformer this small where to look long before the labels alone would.
    """

    def __init__(self):
        super().__init__()
        self.tower = TimmModel("test_vit", embed_dim=EMBED_DIM, image_size=pool.INPUT, pool="", proj="linear")
        self.attributes = nn.ModuleList(nn.Linear(EMBED_DIM, len(v)) for v in ATTRIBUTES.values())
        self.patches = nn.Linear(64, 3)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def forward(self, x):
        tokens = self.tower.trunk.forward_features(x)  # (B, 1 + 100, 64)
        embedding = F.normalize(self.tower.head(tokens[:, 0]).float(), dim=-1)  # (B, 128)
        logits = [head(embedding * self.logit_scale.exp()) for head in self.attributes]
        return embedding, logits, self.patches(tokens[:, 1:])


def tower_accuracy(model, data, rows):
    model.eval()
    hits = []
    with torch.no_grad():
        for part in np.array_split(rows, -(-len(rows) // 100)):
            _, logits, _ = model(normalised(data["images"][part]))
            hits.append(np.stack([l.argmax(1).numpy() == data["labels"][part, k] for k, l in enumerate(logits)], 1))
    model.train()
    return dict(zip(ATTRIBUTES, np.concatenate(hits).mean(0).round(3).tolist()))


def train_tower(folder, data, train_rows, val_rows, epochs, log, batch=64, lr=2e-3):
    torch.manual_seed(42)
    rng = np.random.default_rng(42)
    model = TowerTrainer()
    progress = WORK / "tower.pt"
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW([{"params": decay, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0}], lr, betas=(0.9, 0.98))
    steps, step, first = len(train_rows) // batch, 0, 0
    if progress.exists():
        saved = torch.load(progress, weights_only=False)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        first, rng = saved["epoch"], saved["rng"]
        step = first * steps
    for epoch in range(first, epochs):
        totals = np.zeros(2)
        order = rng.permutation(train_rows)
        for k in range(steps):
            rows = np.sort(order[k * batch : (k + 1) * batch])
            x, maps = augmented(data["images"][rows], data["maps"][rows], rng)
            labels = torch.from_numpy(data["labels"][rows])
            for group in optimiser.param_groups:
                group["lr"] = lr * cosine(step, epochs * steps)
            _, logits, patches = model(x)
            loss = sum(F.cross_entropy(l, labels[:, i], label_smoothing=0.02) for i, l in enumerate(logits)) / len(logits)
            where = F.binary_cross_entropy_with_logits(patches, maps.flatten(2).transpose(1, 2))
            optimiser.zero_grad()
            (loss + 2 * where).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            totals += (loss.item(), where.item())
            if step % 60 == 0:
                log(f"tower step {step}: loss {totals[0] / (k + 1):.3f}, patch maps {totals[1] / (k + 1):.3f}")
        log(f"tower epoch {epoch + 1}/{epochs}: loss {totals[0] / steps:.3f}, patch maps {totals[1] / steps:.3f}, "
            f"held-out accuracy {tower_accuracy(model, data, val_rows)}")
        torch.save({"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch + 1, "rng": rng}, progress)

    folder.mkdir(parents=True, exist_ok=True)
    state = {f"visual.{k}": v.half().contiguous() for k, v in model.tower.state_dict().items()}
    torch.save(state | {"logit_scale": model.logit_scale.detach().half()}, folder / "open_clip_pytorch_model.bin")
    config = {
        "model_cfg": {
            "embed_dim": EMBED_DIM,
            "vision_cfg": {"timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "", "timm_proj": "linear",
                           "image_size": pool.INPUT},
        },
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD)},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def embed(folder, images) -> torch.Tensor:
    """Normalised embeddings (N, D) of every picture, by the tower as it was saved."""
    tower, _ = open_tower(folder)
    return torch.cat([F.normalize(tower(normalised(part)), dim=-1) for part in np.array_split(images, -(-len(images) // 64))])


# --- 4. GPT-2 -----------------------------------------------------------------------------


def encode(tokenizer, captions, eos, length=96):
    """Captions as ids, padded with the end of text to the longest of the batch plus one."""
    ids = [tokenizer.encode(c).ids[: length - 1] for c in captions]
    width = max(map(len, ids)) + 1
    return torch.tensor([i + [eos] * (width - len(i)) for i in ids])


def caption_loss(gpt2, context, targets, smoothing=0.0, count_padding=True):
    """Cross-entropy of `targets` (B, T) after `context` (B, C, n_embd).

    The published trainer pads with the end of text and counts the padding; so do the stages here.
    """
    inputs = torch.cat([context, gpt2.transformer.wte(targets[:, :-1])], 1)
    hidden = gpt2.transformer(inputs_embeds=inputs).last_hidden_state[:, context.shape[1] - 1 :]
    logits = gpt2.lm_head(hidden).float()
    if not count_padding:
        eos = gpt2.config.eos_token_id
        targets = targets.masked_fill((targets == eos) & (targets.roll(1, 1) == eos), -100)
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), label_smoothing=smoothing)


class FindingsPrefix(nn.Module):
    """Stands for the projector while GPT-2 is pre-trained, and is thrown away: findings to 32 slots."""

    def __init__(self, n_embd, tokens=32):
        super().__init__()
        self.tables = nn.ModuleList(nn.Embedding(len(v), tokens * n_embd) for v in ATTRIBUTES.values())
        self.ln = nn.LayerNorm(n_embd)
        self.tokens = tokens

    def forward(self, labels):
        y = sum(table(labels[:, k]) for k, table in enumerate(self.tables))
        return 0.5 * self.ln(y.view(len(labels), self.tokens, -1))


def pretrain_gpt2(path, config, tokenizer, steps, log, batch=48, lr=3e-3):
    """Both caption styles, after either prompt or none at random, told the findings through the prefix slots.

    The published recipe starts from GPT-2 as it was released, whose frozen blocks already follow
    whatever a prefix says. A GPT-2 this small has no such release: these steps give it that.
    """
    torch.manual_seed(43)
    rng = np.random.default_rng(43)
    gpt2, prefix, eos = fused_gelu(GPT2LMHeadModel(config)), FindingsPrefix(config.n_embd), config.eos_token_id
    parameters = list(gpt2.parameters()) + list(prefix.parameters())
    optimiser = torch.optim.AdamW(parameters, lr, betas=(0.9, 0.98), weight_decay=0.01)
    prompts = [tokenizer.encode(p).ids for p in (PROMPT_A, PROMPT_B, "", "")]
    gpt2.train()
    recent = []
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = lr * cosine(step, steps)
        findings = [draw_findings(rng) for _ in range(batch)]
        captions = [metadata_caption(f) if rng.random() < 0.4 else prose_caption(f, rng) for f in findings]
        labels = torch.tensor([[v.index(getattr(f, n)) for n, v in ATTRIBUTES.items()] for f in findings])
        prompt = torch.tensor(prompts[rng.integers(4)], dtype=torch.long).expand(batch, -1)
        context = torch.cat([prefix(labels), gpt2.transformer.wte(prompt)], 1)
        loss = caption_loss(gpt2, context, encode(tokenizer, captions, eos), count_padding=False)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        recent.append(loss.item())
        if (step + 1) % 50 == 0:
            log(f"gpt-2 step {step + 1}/{steps}: loss {np.mean(recent[-50:]):.3f}")
    gpt2.eval()
    torch.save(gpt2.state_dict(), path)


def pretrain_beside(config, tokenizer_path, steps):
    torch.set_num_threads(1)
    pretrain_gpt2(WORK / "gpt2.pt", config, Tokenizer.from_file(tokenizer_path), steps, Log(WORK / "training-log.txt"))


# --- 5 and 6. the two stages --------------------------------------------------------------


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
    epochs, lr, batch = getattr(cfg, f"epochs_{stage}"), getattr(cfg, f"lr_{stage}"), getattr(cfg, f"batch_size_{stage}")
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
            log(f"stage {stage} epoch {epoch}: {sum(p.numel() for p in parameters):,} parameters open, last blocks {blocks}")
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
        "gpt2_name": cfg.GPT2_NAME, "clip_backend_kind": "open_clip", "clip_repo": "dermcap/demo", "clip_arch": "TimmModel",
        "clip_weight_path": "clip", "embed_dim": EMBED_DIM, "prefix_tokens": cfg.prefix_tokens, "prompt": cfg.prompt_B,
        "cliche_phrases": list(cfg.cliche_phrases),
        "columns": {"image_path": cfg.COL_IMG, "caption": cfg.COL_TXT, "split": cfg.COL_SPLIT, "source": cfg.COL_SRC},
    }
    name = f"final_captioner_{cfg.GPT2_NAME}_TimmModel.json"
    (folder / name).write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    keep = {"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}
    for key in ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head", "n_inner", "activation_function", "layer_norm_epsilon",
                "bos_token_id", "eos_token_id", "pad_token_id", "resid_pdrop", "embd_pdrop", "attn_pdrop", "tie_word_embeddings"):
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
    log(f"{len(train_rows)} training and {len(val_rows)} validation pictures, seed {cfg.seed}, torch {torch.__version__}")

    tokenizer_path = args.out / "tokenizer.json"
    if not (WORK / "tokenizer.done").exists():
        train_tokenizer(tokenizer_path, data["metadata"][:4000] + data["prose"][:4000] + [PROMPT_A, PROMPT_B] * 40)
        (WORK / "tokenizer.done").touch()
    tokenizer = Tokenizer.from_file(str(tokenizer_path))
    eos = tokenizer.token_to_id(END)
    lengths = {k: np.percentile([len(tokenizer.encode(c).ids) for c in data[k][:1000]], (0, 50, 100)).tolist() for k in ("metadata", "prose")}
    log(f"vocabulary {tokenizer.get_vocab_size()}, prompts {[len(tokenizer.encode(p).ids) for p in (PROMPT_A, PROMPT_B)]} tokens, "
        f"captions (least, median, most) {lengths}")

    config = GPT2Config(vocab_size=tokenizer.get_vocab_size(), n_positions=256, n_embd=80, n_layer=4, n_head=5, resid_pdrop=0.0,
                        embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=eos, eos_token_id=eos, pad_token_id=eos)
    write_description(args.out, cfg, config)
    beside = None
    if not (WORK / "gpt2.pt").exists():
        beside = multiprocessing.get_context("spawn").Process(target=pretrain_beside, args=(config, str(tokenizer_path), args.gpt2_steps))
        beside.start()
    if not (WORK / "tower.done").exists():
        train_tower(args.out / "clip", data, train_rows, val_rows, args.tower_epochs, log)
        (WORK / "tower.done").touch()
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
    train_stage("A", model, cfg, tokenizer, embeddings, data["metadata"], train_rows, val_rows, args.out / "best_stageA.pt", log)

    load_stage(args.out / "best_stageA.pt", model)  # Stage B starts from the file
    prose = lambda rows: rows[np.isin(rows % 5, (1, 3))]  # two pictures in five carry prose, as in the study
    train_stage("B", model, cfg, tokenizer, embeddings, data["prose"], prose(train_rows), prose(val_rows), args.out / "best_stageB.pt", log)
    (HERE / "training-log.txt").write_text((WORK / "training-log.txt").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    main()
