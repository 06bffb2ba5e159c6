#!/usr/bin/env python3
"""Trains the model of grouped.json in PyTorch on a GPU, its experts with grouped_mm, and prints one JSON line: what
gpu_bench --torch compares with.

    python3 bench/gpu/torch_train.py [--config FILE] [--steps N] [--device cuda] [--tiny]

The same sizes, router, losses, batch, random tokens and AdamW (fused) as our engine's. Four ways are tried, of which the
fastest is reported: weights in float32 with products in bfloat16, as ours, or everything in bfloat16; each as it is and
compiled by torch.compile. --device cpu --tiny tries the script where there is no GPU; it says so in what it prints.
"""
import argparse
import contextlib
import json
import pathlib
import statistics
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:
    print("torch_train.py: PyTorch is not installed here", file=sys.stderr)
    sys.exit(3)

grouped_mm = getattr(F, "grouped_mm", None) or getattr(torch, "_grouped_mm", None)


def turn(x, cos, sin):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class Attention(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.heads, self.kv_heads, self.head = m["heads"], m["kv_heads"], m["head_width"]
        self.qkv = nn.Linear(m["width"], (self.heads + 2 * self.kv_heads) * self.head, bias=False)
        self.o = nn.Linear(self.heads * self.head, m["width"], bias=False)
        self.q_norm, self.k_norm = nn.RMSNorm(self.head, m["rms_epsilon"]), nn.RMSNorm(self.head, m["rms_epsilon"])

    def forward(self, x_BSD, cos, sin):
        b, s, _ = x_BSD.shape
        q, k, v = self.qkv(x_BSD).view(b, s, -1, self.head).split((self.heads, self.kv_heads, self.kv_heads), 2)
        q = turn(self.q_norm(q.to(self.q_norm.weight.dtype)).transpose(1, 2), cos, sin).to(v.dtype)
        k = turn(self.k_norm(k.to(self.k_norm.weight.dtype)).transpose(1, 2), cos, sin).to(v.dtype)
        o = F.scaled_dot_product_attention(q, k, v.transpose(1, 2), is_causal=True, enable_gqa=True)
        return self.o(o.transpose(1, 2).reshape(b, s, -1))


class Experts(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.count, self.chosen = m["experts"], m["experts_per_token"]
        self.router = nn.Linear(m["width"], self.count, bias=False)
        self.gate_up = nn.Parameter(torch.empty(self.count, 2 * m["expert_width"], m["width"]))
        self.down = nn.Parameter(torch.empty(self.count, m["width"], m["expert_width"]))

    def forward(self, x_BSD):
        """Output, and the losses of the router: balance (Switch) and z."""
        x = x_BSD.reshape(-1, x_BSD.shape[-1])
        logits = self.router(x).float()
        scores = logits.softmax(-1)
        weight, ids = scores.topk(self.chosen, -1)
        weight = weight / weight.sum(-1, keepdim=True)
        flat = ids.flatten()
        order = flat.argsort(stable=True)
        counts = torch.zeros(self.count, device=x.device, dtype=torch.int32)
        counts = counts.scatter_add(0, flat, torch.ones_like(flat, dtype=torch.int32))
        ends = counts.cumsum(0, dtype=torch.int32)
        rows = order // self.chosen
        sorted_x = x[rows].bfloat16()
        gate, up = grouped_mm(sorted_x, self.gate_up.bfloat16().transpose(1, 2), offs=ends).chunk(2, -1)
        y = grouped_mm(F.silu(gate) * up, self.down.bfloat16().transpose(1, 2), offs=ends)
        y = y * weight.flatten()[order, None].to(y.dtype)
        out = torch.zeros_like(x).index_add(0, rows, y.to(x.dtype))
        balance = self.count * (counts.float() / flat.numel() * scores.mean(0)).sum()
        return out.view_as(x_BSD), balance, logits.logsumexp(-1).square().mean()


class Layer(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.attention_norm = nn.RMSNorm(m["width"], m["rms_epsilon"])
        self.experts_norm = nn.RMSNorm(m["width"], m["rms_epsilon"])
        self.attention, self.experts = Attention(m), Experts(m)

    def forward(self, x, cos, sin):
        x = x + self.attention(self.attention_norm(x), cos, sin)
        y, balance, z = self.experts(self.experts_norm(x))
        return x + y, balance, z


class Model(nn.Module):
    def __init__(self, m):
        super().__init__()
        self.embedding = nn.Embedding(m["vocabulary"], m["width"])
        self.layers = nn.ModuleList(Layer(m) for _ in range(m["layers"]))
        self.norm = nn.RMSNorm(m["width"], m["rms_epsilon"])
        head = m["head_width"]
        angle = torch.arange(m["context"])[:, None] * m["rope_theta"] ** (-torch.arange(0, head, 2) / head)
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)
        for p in self.parameters():
            if p.dim() > 1:
                nn.init.normal_(p, std=0.02)

    def forward(self, ids_BS):
        x, balance, z = self.embedding(ids_BS), 0.0, 0.0
        for layer in self.layers:
            x, of_layer, z_of_layer = layer(x, self.cos.to(x.dtype), self.sin.to(x.dtype))
            balance, z = balance + of_layer / len(self.layers), z + z_of_layer / len(self.layers)
        return F.linear(self.norm(x), self.embedding.weight), balance, z


def train(config, arguments, weights, compiled):
    m, t = config["model"], config["train"]
    torch.manual_seed(t["seed"])
    model = Model(m).to(arguments.device)
    if weights == "bf16":
        model.to(torch.bfloat16)
    parameters = sum(p.numel() for p in model.parameters())
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                  lr=t["learning_rate"], betas=(0.9, 0.95), eps=1e-8, fused=True)

    def losses(inputs, targets):
        logits, balance, z = model(inputs)
        loss = F.cross_entropy(logits.float().flatten(0, 1), targets.flatten())
        return loss + t["balance_coefficient"] * balance + t["z_coefficient"] * z

    run = torch.compile(losses) if compiled else losses
    on_gpu = arguments.device.startswith("cuda")
    seconds = []
    for step in range(arguments.warmup + arguments.steps):
        ids = torch.randint(m["vocabulary"], (t["batch"], m["context"] + 1), device=arguments.device)
        if on_gpu:
            torch.cuda.synchronize()
        begin = time.perf_counter()
        optimizer.zero_grad(set_to_none=True)
        cast = torch.autocast(arguments.device.split(":")[0], torch.bfloat16) if weights == "f32" else contextlib.nullcontext()
        with cast:
            loss = run(ids[:, :-1], ids[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        value = loss.item()  # waits
        if step >= arguments.warmup:
            seconds.append(time.perf_counter() - begin)
    return {"weights": weights, "compiled": compiled, "parameters": parameters, "loss": value,
            "tokens_per_second": t["batch"] * m["context"] / statistics.median(seconds),
            "peak_bytes": torch.cuda.max_memory_allocated() if on_gpu else 0}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=pathlib.Path, default=pathlib.Path(__file__).parent / "grouped.json")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--no-compile", action="store_true")
    arguments = parser.parse_args()
    if arguments.device.startswith("cuda") and not torch.cuda.is_available():
        print("torch_train.py: this PyTorch sees no GPU", file=sys.stderr)
        sys.exit(3)
    if grouped_mm is None:
        print(f"torch_train.py: PyTorch {torch.__version__} has no grouped_mm", file=sys.stderr)
        sys.exit(3)
    config = json.loads(arguments.config.read_text())
    if arguments.tiny:
        config["model"].update(vocabulary=96, width=32, layers=2, context=16, heads=4, kv_heads=2, head_width=8, experts=8,
                               experts_per_token=3, expert_width=16)
        config["train"]["batch"] = 2
    ways = []
    for weights in ("f32", "bf16"):
        for compiled in (False,) if arguments.no_compile else (False, True):
            try:
                ways.append(train(config, arguments, weights, compiled))
            except Exception as problem:  # one way that fails (memory, the compiler) leaves the others
                print(f"torch_train.py: weights {weights}, compiled {compiled}: {problem}", file=sys.stderr)
            if arguments.device.startswith("cuda"):
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
    if not ways:
        sys.exit(1)
    best = max(ways, key=lambda way: way["tokens_per_second"])
    where = "" if arguments.device.startswith("cuda") else ", on a processor and so no measurement"
    print(json.dumps({
        "what": f"PyTorch {torch.__version__}, grouped_mm, weights in {best['weights']}, "
                f"{'compiled' if best['compiled'] else 'as it is'}{where}",
        "tokens_per_second": best["tokens_per_second"], "ways": ways}))


if __name__ == "__main__":
    main()
