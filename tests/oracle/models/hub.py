"""Loading a Hugging Face folder with transformers, and its tensors under the names of the file.

transformers 5 keeps the experts of a layer in one tensor in memory; the files, and Moescope, one per expert.
"""
import torch
from transformers import AutoModelForCausalLM
from transformers.utils import logging

logging.disable_progress_bar()


def load(folder, dtype=torch.float32):
    """The plainest code paths: eager attention, a loop over experts. Refuses missing and unexpected tensors."""
    model, report = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", experts_implementation="eager", output_loading_info=True)
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report.get(what):
            raise SystemExit(f"{folder}: {what} {sorted(report[what])}")
    model.eval()
    return model


def classic_tensors(config, named):
    """(name in memory, tensor) pairs -> dict of name in the file -> tensor."""
    if config["model_type"] == "gpt_oss":
        return dict(named)
    out = {}
    for name, tensor in named:
        for classic, part in classic_parts(config, name, tensor):
            out[classic] = part
    return out


def classic_parts(config, name, tensor):
    mixtral = config["model_type"] == "mixtral"
    if mixtral:
        name = name.replace(".mlp.", ".block_sparse_moe.")
    gate, up, down = ("w1", "w3", "w2") if mixtral else ("gate_proj", "up_proj", "down_proj")
    if name.endswith("experts.gate_up_proj"):
        inner = tensor.shape[1] // 2
        prefix = name.removesuffix("gate_up_proj")
        for e in range(tensor.shape[0]):
            yield f"{prefix}{e}.{gate}.weight", tensor[e, :inner]
            yield f"{prefix}{e}.{up}.weight", tensor[e, inner:]
    elif name.endswith("experts.down_proj"):
        prefix = name.removesuffix("down_proj")
        for e in range(tensor.shape[0]):
            yield f"{prefix}{e}.{down}.weight", tensor[e]
    else:
        yield name, tensor


def parameters(config, model):
    """What is trained, under the names of the file; a tied head is the embedding."""
    return classic_tensors(config, model.named_parameters())
