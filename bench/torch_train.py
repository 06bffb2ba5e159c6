"""Trains the 31.6 M reference model in PyTorch and prints one JSON line: what train_vs_torch compares our engine with.

    python torch_train.py plain|transformers [--dtype f32|bf16|bf16_weights] [--threads N] [--steps N] [--tokens FILE.npy]

plain: sort by expert, a loop over the experts, index_add. transformers: Qwen3MoeForCausalLM of the same sizes with its
grouped matrix products. Both have the same sizes, tied head, batch of 8 x 256 tokens and AdamW (PyTorch's fused
one). bf16: autocast over float32 weights, as we train; bf16_weights: everything in bf16, weights and optimizer too, which
is faster and learns worse: report the better of the two as PyTorch's speed. Versions: tests/oracle/models/requirements.txt.
Step i trains on sequences i B ... i B + B - 1, sequence j = tokens[j S : j S + S + 1] (from the start again at the end).
"""
import argparse
import contextlib
import json
import resource
import statistics
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, WIDTH, LAYERS, HEADS, KV_HEADS, HEAD = 8192, 256, 6, 4, 2, 64
EXPERTS, CHOSEN, INNER = 16, 2, 384
THETA, EPSILON = 10000.0, 1e-6


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(WIDTH, HEADS * HEAD, bias=False)
        self.k = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=False)
        self.v = nn.Linear(WIDTH, KV_HEADS * HEAD, bias=False)
        self.o = nn.Linear(HEADS * HEAD, WIDTH, bias=False)
        self.q_norm = nn.RMSNorm(HEAD, EPSILON)
        self.k_norm = nn.RMSNorm(HEAD, EPSILON)

    def normalise(self, norm, x):
        """In the type of the weight: PyTorch's fused kernel wants both equal."""
        return norm(x.to(norm.weight.dtype)).transpose(1, 2)

    def forward(self, x_BSD, cos, sin):
        b, s, _ = x_BSD.shape
        q = self.normalise(self.q_norm, self.q(x_BSD).view(b, s, HEADS, HEAD))
        k = self.normalise(self.k_norm, self.k(x_BSD).view(b, s, KV_HEADS, HEAD))
        v = self.v(x_BSD).view(b, s, KV_HEADS, HEAD).transpose(1, 2)
        q, k = turn(q, cos, sin).to(v.dtype), turn(k, cos, sin).to(v.dtype)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o(o.transpose(1, 2).reshape(b, s, HEADS * HEAD))


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Experts(nn.Module):
    def __init__(self):
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.gate_up = nn.ModuleList(nn.Linear(WIDTH, 2 * INNER, bias=False) for _ in range(EXPERTS))
        self.down = nn.ModuleList(nn.Linear(INNER, WIDTH, bias=False) for _ in range(EXPERTS))

    def forward(self, x_BSD):
        x = x_BSD.reshape(-1, WIDTH)
        weight, ids = self.router(x).float().softmax(-1).topk(CHOSEN, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        order = ids.flatten().argsort(stable=True)
        counts = ids.flatten().bincount(minlength=EXPERTS).tolist()
        rows = order // CHOSEN
        out, first = torch.zeros_like(x), 0
        for e, count in enumerate(counts):
            mine = rows[first : first + count]
            gate, up = self.gate_up[e](x[mine]).chunk(2, -1)
            y = self.down[e](F.silu(gate) * up) * weight.flatten()[order[first : first + count], None]
            out = out.index_add(0, mine, y.to(out.dtype))
            first += count
        return out.view_as(x_BSD)


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention_norm, self.experts_norm = nn.RMSNorm(WIDTH, EPSILON), nn.RMSNorm(WIDTH, EPSILON)
        self.attention, self.experts = Attention(), Experts()

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attention_norm(x), cos, sin)
        return x + self.experts(self.experts_norm(x))


class Plain(nn.Module):
    def __init__(self, length):
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, EPSILON)
        angle = torch.arange(length)[:, None] * THETA ** (-torch.arange(0, HEAD, 2) / HEAD)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids_BS):
        x = self.embedding(ids_BS)
        for layer in self.layers:
            x = layer(x, self.cos, self.sin)
        return F.linear(self.norm(x), self.embedding.weight)


class Transformers(nn.Module):
    def __init__(self, length, experts):
        super().__init__()
        from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

        config = Qwen3MoeConfig(
            vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
            num_key_value_heads=KV_HEADS, head_dim=HEAD, num_experts=EXPERTS, num_experts_per_tok=CHOSEN,
            moe_intermediate_size=INNER, intermediate_size=INNER, norm_topk_prob=True, tie_word_embeddings=True,
            max_position_embeddings=length, rms_norm_eps=EPSILON,
            rope_parameters={"rope_type": "default", "rope_theta": THETA})
        config._attn_implementation = "sdpa"
        config._experts_implementation = experts
        self.model = Qwen3MoeForCausalLM(config)

    def forward(self, ids_BS):
        return self.model(ids_BS, use_cache=False).logits


def adamw(model, rate):
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.95), eps=1e-8, fused=True)


def windows(arguments):
    """Yields input and target [B, S] for ever."""
    b, s = arguments.batch, arguments.length
    if arguments.tokens:
        tokens = np.load(arguments.tokens).astype(np.int64)
    else:
        tokens = np.random.default_rng(1).integers(0, VOCABULARY, arguments.steps * b * s + 1)
    tokens, count = torch.from_numpy(tokens), (len(tokens) - 1) // s
    step = 0
    while True:
        starts = [(step * b + i) % count * s for i in range(b)]
        rows = torch.stack([tokens[at : at + s + 1] for at in starts])
        yield rows[:, :-1], rows[:, 1:]
        step += 1


def train(model, arguments):
    optimizer = adamw(model, arguments.rate)
    losses, seconds = [], []
    cast = torch.autocast("cpu", torch.bfloat16) if arguments.dtype == "bf16" else contextlib.nullcontext()
    for _, (inputs, targets) in zip(range(arguments.steps), windows(arguments)):
        begin = time.perf_counter()
        optimizer.zero_grad()
        with cast:
            logits = model(inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - begin)
    return losses, seconds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("which", choices=["plain", "transformers"])
    parser.add_argument("--dtype", choices=["f32", "bf16", "bf16_weights"], default="f32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=2, help="steps left out of the median")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--tokens", help="flat int32 .npy, ids below 8192; without it random ids")
    parser.add_argument("--experts", default="grouped_mm", help="transformers only: grouped_mm, batched_mm or eager")
    arguments = parser.parse_args()
    if not 0 <= arguments.warmup < arguments.steps:
        parser.error("--warmup must be less than --steps")
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(1)
    plain = arguments.which == "plain"
    model = Plain(arguments.length) if plain else Transformers(arguments.length, arguments.experts)
    if arguments.dtype == "bf16_weights":
        model.to(torch.bfloat16)
    model.train()
    losses, seconds = train(model, arguments)
    tokens = arguments.batch * arguments.length
    print(json.dumps({
        "which": arguments.which, "dtype": arguments.dtype, "threads": arguments.threads,
        "parameters": sum(p.numel() for p in model.parameters()), "torch": torch.__version__,
        "tokens_per_second": tokens / statistics.median(seconds[arguments.warmup :]),
        "seconds": seconds,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "losses": losses,
    }))


if __name__ == "__main__":
    main()
