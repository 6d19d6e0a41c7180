"""Step 3: the vision tower, trained to name the findings from its normalised embedding."""

import json
import math

import numpy as np

import optional_torchvision  # noqa: F401  (before what imports torchvision)

# isort: split
import torch
from open_clip.timm_model import TimmModel
from torch import nn
from torch.nn import functional as F

import pool
from captioner import open_tower
from schedule import WORK, cosine
from vocabulary import ATTRIBUTES

MEAN = (0.48145466, 0.4578275, 0.40821073)  # BiomedCLIP's preprocess_cfg
STD = (0.26862954, 0.26130258, 0.27577711)
EMBED_DIM = 128


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
    return x + torch.from_numpy(rng.normal(0, 0.06, (len(images), 3, 1, 1))).float(), torch.from_numpy(
        maps
    ).float() / 255


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
            hits.append(np.stack([of.argmax(1).numpy() == data["labels"][part, k] for k, of in enumerate(logits)], 1))
    model.train()
    return dict(zip(ATTRIBUTES, np.concatenate(hits).mean(0).round(3).tolist(), strict=True))


def train_tower(folder, data, train_rows, val_rows, epochs, log, batch=64, lr=2e-3):
    torch.manual_seed(42)
    rng = np.random.default_rng(42)
    model = TowerTrainer()
    progress = WORK / "tower.pt"
    decay = [p for p in model.parameters() if p.ndim > 1]
    plain = [p for p in model.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.03}, {"params": plain, "weight_decay": 0}], lr, betas=(0.9, 0.98)
    )
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
            loss = sum(F.cross_entropy(of, labels[:, i], label_smoothing=0.02) for i, of in enumerate(logits)) / len(
                logits
            )
            where = F.binary_cross_entropy_with_logits(patches, maps.flatten(2).transpose(1, 2))
            optimiser.zero_grad()
            (loss + 2 * where).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            step += 1
            totals += (loss.item(), where.item())
            if step % 60 == 0:
                log(f"tower step {step}: loss {totals[0] / (k + 1):.3f}, patch maps {totals[1] / (k + 1):.3f}")
        log(
            f"tower epoch {epoch + 1}/{epochs}: loss {totals[0] / steps:.3f}, patch maps {totals[1] / steps:.3f}, "
            f"held-out accuracy {tower_accuracy(model, data, val_rows)}"
        )
        torch.save(
            {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch + 1, "rng": rng}, progress
        )

    folder.mkdir(parents=True, exist_ok=True)
    state = {f"visual.{k}": v.half().contiguous() for k, v in model.tower.state_dict().items()}
    torch.save(state | {"logit_scale": model.logit_scale.detach().half()}, folder / "open_clip_pytorch_model.bin")
    config = {
        "model_cfg": {
            "embed_dim": EMBED_DIM,
            "vision_cfg": {
                "timm_model_name": "test_vit",
                "timm_model_pretrained": False,
                "timm_pool": "",
                "timm_proj": "linear",
                "image_size": pool.INPUT,
            },
        },
        "preprocess_cfg": {"mean": list(MEAN), "std": list(STD)},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


@torch.no_grad()
def embed(folder, images) -> torch.Tensor:
    """Normalised embeddings (N, D) of every picture, by the tower as it was saved."""
    tower, _ = open_tower(folder)
    return torch.cat(
        [F.normalize(tower(normalised(part)), dim=-1) for part in np.array_split(images, -(-len(images) // 64))]
    )
