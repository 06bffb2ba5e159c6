"""Writes ../data/CASE/train/: what 20 steps of training from the model of that case must give.

    python make_training.py [CASE ...]

tokens.npy        flat int32; see "windows" in training.json
training.json     every setting of the run
gradients.safetensors  float32, computed in float64: d(total loss of step 0)/d(tensor), unclipped, by file name
losses.json       losses (total) and gradient_norms (before clipping) of the steps, in float32 as PyTorch trains and in
                  float64 ("exact"), and the three parts of each loss
"""
import contextlib
import json
import sys

import numpy as np
import torch
from safetensors.numpy import save_file

import double
import families
import hub
import routing
from make_logits import DATA

CASES = ["qwen3_moe", "olmoe", "deepseek_v3", "gpt_oss"]
MARGIN = 1e-4

SETTINGS = {
    "batch": 2,
    "sequence_length": 16,
    "steps": 20,
    "windows": "sequence j = tokens[j * S : j * S + S + 1]: input its first S tokens, target its last S; step i trains "
               "on sequences i * B ... i * B + B - 1",
    "loss": "mean cross-entropy + balance_coefficient * balance + z_coefficient * z; balance and z are means over the "
            "layers with a router",
    "balance_coefficient": 0.05,
    "z_coefficient": 0.01,
    "optimizer": "adamw",
    "learning_rate": 1e-3,
    "schedule": "constant",
    "beta1": 0.9,
    "beta2": 0.95,
    "adam_epsilon": 1e-8,
    "weight_decay": 0.1,
    "decayed": "matrices: every tensor but norms, biases and sinks; embedding and head are decayed",
    "gradient_clip": 1.0,
    "bias_update_rate": 0.0,
}


def batch_of(tokens, step):
    b, s = SETTINGS["batch"], SETTINGS["sequence_length"]
    rows = np.stack([tokens[j * s : j * s + s + 1] for j in range(step * b, step * b + b)])
    rows = torch.from_numpy(rows).long()
    return rows[:, :-1], rows[:, 1:]


def is_decayed(name):
    return "norm" not in name and not name.endswith(("bias", "sinks"))


def adamw(model):
    groups = {True: [], False: []}
    for name, parameter in model.named_parameters():
        groups[is_decayed(name)].append(parameter)
    return torch.optim.AdamW(
        [{"params": groups[True], "weight_decay": SETTINGS["weight_decay"]},
         {"params": groups[False], "weight_decay": 0.0}],
        lr=SETTINGS["learning_rate"], betas=(SETTINGS["beta1"], SETTINGS["beta2"]), eps=SETTINGS["adam_epsilon"])


def loss_of(config, model, gates, tokens, step):
    inputs, targets = batch_of(tokens, step)
    gates.clear()
    logits = model(inputs, use_cache=False).logits
    return routing.losses(config, gates, logits, targets, SETTINGS["balance_coefficient"], SETTINGS["z_coefficient"])


def first_gradients(config, model):
    """Zero for what the step did not touch, as an expert without tokens."""
    pairs = [(name, torch.zeros_like(p) if p.grad is None else p.grad) for name, p in model.named_parameters()]
    return {name: g.detach().clone() for name, g in hub.classic_tensors(config, pairs).items()}


def train(config, folder, tokens, wide):
    out = {"losses": [], "cross_entropy": [], "balance": [], "z": [], "gradient_norms": [], "margin": float("inf")}
    gradients = None
    model = double.load(folder) if wide else hub.load(folder)
    with double.everywhere(model) if wide else contextlib.nullcontext():
        gates, optimizer = routing.Gates(config, model), adamw(model)
        for step in range(SETTINGS["steps"]):
            optimizer.zero_grad()
            loss, parts = loss_of(config, model, gates, tokens, step)
            loss.backward()
            if step == 0:
                gradients = first_gradients(config, model)
            norm = torch.nn.utils.clip_grad_norm_(model.parameters(), SETTINGS["gradient_clip"])
            optimizer.step()
            for key, value in zip(("losses", "cross_entropy", "balance", "z", "gradient_norms"), (loss, *parts, norm)):
                out[key].append(value.item())
            out["margin"] = min(out["margin"], *(margin for _, _, margin in gates.layers))
    return out, gradients


def relative(a, b):
    return float(np.max(np.abs(np.array(a) - np.array(b)) / np.abs(b)))


def make(case):
    config, folder = families.CASES[case], DATA / case
    target = folder / "train"
    target.mkdir(exist_ok=True)
    count = SETTINGS["steps"] * SETTINGS["batch"] * SETTINGS["sequence_length"] + 1
    for seed in range(1000, 1100):
        tokens = families.random_tokens(count, seed)
        exact, gradients = train(config, folder, tokens, wide=True)
        if exact["margin"] > MARGIN:
            break
    narrow, narrow_gradients = train(config, folder, tokens, wide=False)
    worst = max(((narrow_gradients[n] - g).norm() / g.norm()).item() for n, g in gradients.items() if g.norm() > 0)
    np.save(target / "tokens.npy", tokens)
    save_file({n: g.numpy().astype(np.float32) for n, g in sorted(gradients.items())}, target / "gradients.safetensors",
              metadata={"format": "pt"})
    (target / "training.json").write_text(json.dumps({"init": f"../ ({case})", **SETTINGS}, indent=2) + "\n")
    (target / "losses.json").write_text(
        json.dumps({"losses": narrow["losses"], "gradient_norms": narrow["gradient_norms"], "exact": exact}, indent=1) + "\n")
    print(f"{case:12} seed {seed} margin {exact['margin']:.1e}  loss {exact['losses'][0]:.4f} -> "
          f"{exact['losses'][-1]:.4f}  float32 against float64: losses {relative(narrow['losses'], exact['losses']):.1e}, "
          f"gradients {worst:.1e} (worst tensor), {sum(g.norm().item() == 0 for g in gradients.values())} zero gradients")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[1:] or CASES:
        make(name)
