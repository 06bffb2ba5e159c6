"""Central differences of the total training loss in float64, against the stored gradients of ../data/*/train/.

    python check_losses.py

For every tensor: along its own gradient and along a random direction. The stored gradients are rounded to float32.
"""
import sys

import numpy as np
import torch
from safetensors.torch import load_file

import double
import families
import hub
import routing
from make_logits import DATA
from make_training import CASES, loss_of

TOLERANCE = 1e-5


def slope(loss, parameter, direction):
    """d loss / d step along `direction`, fourth order. The step is small: the clamped SwiGLU has corners."""
    start, h, values = parameter.detach().clone(), 2e-6, []
    for steps in (-2, -1, 1, 2):
        with torch.no_grad():
            parameter.copy_(start + steps * h * direction)
            values.append(loss().item())
    with torch.no_grad():
        parameter.copy_(start)
    return (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * h)


def check(case):
    config, folder = families.CASES[case], DATA / case
    stored = load_file(folder / "train" / "gradients.safetensors")
    tokens = np.load(folder / "train" / "tokens.npy")
    generator = torch.Generator().manual_seed(1)
    worst, worst_name = 0.0, ""
    model = double.load(folder)
    with double.everywhere(model):
        gates = routing.Gates(config, model)

        def loss():
            with torch.no_grad():
                return loss_of(config, model, gates, tokens, 0)[0]

        # The parts of fused tensors are views: moving one moves the model.
        for name, parameter in hub.parameters(config, model).items():
            g = stored[name].double()
            if g.norm() == 0:
                continue
            random = torch.randn(g.shape, generator=generator, dtype=torch.float64)
            for direction in (g / g.norm(), random / random.norm()):
                error = abs(slope(loss, parameter.data, direction) - (g * direction).sum().item()) / g.norm().item()
                if error > worst:
                    worst, worst_name = error, name
    print(f"{case:12} {len(stored)} tensors, worst difference / gradient norm {worst:.1e} ({worst_name})")
    return worst


if __name__ == "__main__":
    torch.set_num_threads(1)
    if max([check(case) for case in CASES]) > TOLERANCE:
        sys.exit("a stored gradient is not the slope of the loss")
