"""Steps 2 and 4: the tokenizer, and a small GPT-2 that stands for the public one."""

import numpy as np

import optional_torchvision  # noqa: F401  (before what imports torchvision)

# isort: split
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch import nn
from torch.nn import functional as F
from transformers import GPT2LMHeadModel

from captioner import PROMPT_A, PROMPT_B
from schedule import WORK, Log, cosine
from vocabulary import ATTRIBUTES, draw_findings, metadata_caption, prose_caption

END = "<|endoftext|>"


def train_tokenizer(path, texts, size=767) -> Tokenizer:
    """GPT-2's scheme (byte level, no space before the first word) with a small vocabulary; the
    end of text is the last id, as in GPT-2."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([END])
    tokenizer.save(str(path))
    return tokenizer


def fused_gelu(gpt2):
    """GPT-2's tanh approximation of GELU as one operator instead of eight: the same function, faster in training."""
    for block in gpt2.transformer.h:
        block.mlp.act = nn.GELU(approximate="tanh")
    return gpt2


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
