"""transformers in double precision throughout.

Its models cast to float32 inside (RMSNorm, the router, softmax, RoPE), whatever the type of the weights. Within
`everywhere(model)` those casts mean float64: the modelling files see a torch whose float32 is float64. The formulas
stay theirs; only the rounding goes. check_losses.py shows it: the differences it takes would drown in float32.
"""
import contextlib
import sys

import torch
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

import hub


class Wide:
    """torch, with float64 under the names of float32."""

    float = torch.float64
    float32 = torch.float64

    def __getattr__(self, name):
        return getattr(torch, name)


def modelling_modules(model):
    """The file of the model and what it shares with others; transformers imports it when the model is loaded."""
    names = [type(model).__module__, "transformers.modeling_rope_utils"]
    modules = [sys.modules[name] for name in names]
    if not all(module.torch is torch for module in modules):
        raise SystemExit("double.everywhere is not to be nested")
    return modules


@contextlib.contextmanager
def everywhere(model):
    modules, narrow, wide = modelling_modules(model), torch.Tensor.float, Wide()
    for module in modules:
        module.torch = wide
    torch.Tensor.float = torch.Tensor.double
    try:
        yield
    finally:
        torch.Tensor.float = narrow
        for module in modules:
            module.torch = torch


def compute_frequencies(module):
    plain = module.rope_type == "default"
    compute = module.compute_default_rope_parameters if plain else ROPE_INIT_FUNCTIONS[module.rope_type]
    module.inv_freq, module.attention_scaling = compute(module.config)
    module.original_inv_freq = module.inv_freq.clone()


def load(folder):
    """All weights and buffers in float64; the RoPE frequencies are computed again, not only converted."""
    model = hub.load(folder, torch.float64).double()
    with everywhere(model):
        for module in model.modules():
            if hasattr(module, "inv_freq"):
                compute_frequencies(module)
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.is_floating_point() and tensor.dtype != torch.float64:
            raise SystemExit(f"{name} is {tensor.dtype}, not float64")
    return model
