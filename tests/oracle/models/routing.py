"""What Moescope adds to the cross-entropy: the losses of the router, in plain PyTorch, from the gates' inputs.

Legend: T tokens, E experts, K chosen, z logits, s scores. Both losses are means over the layers that have a router.
  balance = E sum_i f_i P_i: f_i the share of the T K choices that went to expert i, P_i the mean of q_i over the tokens.
      q = softmax(z) (`batch`: over all tokens of the step), or s / sum s with s = sigmoid(z) for deepseek_v3
      (`sequence`: the loss of each sequence by itself, then their mean).
  z = mean over tokens of (log sum exp z)^2.
The choices are computed here from z and compared with what transformers chose, where it tells.
"""
import torch
import torch.nn.functional as F


class Gates:
    """Collects z of every router while the model runs, with its autograd graph."""

    def __init__(self, config, model):
        self.config = config
        self.layers = []
        for name, module in model.named_modules():
            if name.endswith((".mlp.gate", ".mlp.router")) and hasattr(module, "weight"):
                module.register_forward_hook(self.keep)

    def clear(self):
        self.layers = []

    def keep(self, module, args, output):
        x = args[0]
        x = x.reshape(-1, x.shape[-1])
        z = F.linear(x, module.weight, getattr(module, "bias", None))
        bias = getattr(module, "e_score_correction_bias", None)
        ids, margin = choose(self.config, z.detach(), bias)
        if isinstance(output, tuple):
            check_same_choice(ids, output)
        self.layers.append((z, ids, margin))


def check_same_choice(ids, output):
    """transformers returns its ids among other tensors; ours must be the same sets."""
    theirs = [t for t in output if torch.is_tensor(t) and not t.is_floating_point()]
    if theirs and not torch.equal(theirs[-1].sort(-1).values, ids.sort(-1).values):
        raise SystemExit("the choice of experts differs from that of transformers")


def choose(config, z, bias):
    """ids [T, K] and the smallest distance between a chosen and a refused expert (or kept and refused group)."""
    k = config["num_experts_per_tok"]
    if config["model_type"] != "deepseek_v3":
        top = z.topk(k + 1, -1)
        return top.indices[:, :k], (top.values[:, k - 1] - top.values[:, k]).min().item()
    c = z.sigmoid() + bias
    groups, kept = config["n_group"], config["topk_group"]
    margin = float("inf")
    if kept < groups:
        score = c.view(len(c), groups, -1).topk(2, -1).values.sum(-1)
        top = score.topk(kept + 1, -1)
        margin = (top.values[:, kept - 1] - top.values[:, kept]).min().item()
        refused = torch.ones_like(score, dtype=torch.bool).scatter_(1, top.indices[:, :kept], False)
        c = c.view(len(c), groups, -1).masked_fill(refused[..., None], float("-inf")).view(len(c), -1)
    top = c.topk(k + 1, -1)
    return top.indices[:, :k], min(margin, (top.values[:, k - 1] - top.values[:, k]).min().item())


def balance_of(q, ids):
    experts = q.shape[-1]
    share = torch.bincount(ids.flatten(), minlength=experts).to(q.dtype) / ids.numel()
    return experts * (share * q.mean(0)).sum()


def balance_loss(config, z, ids, sequence_length):
    if config["model_type"] != "deepseek_v3":
        return balance_of(z.softmax(-1), ids)
    s = z.sigmoid()
    q = s / s.sum(-1, keepdim=True)
    parts = zip(q.split(sequence_length), ids.split(sequence_length))
    return torch.stack([balance_of(a, b) for a, b in parts]).mean()


def z_loss(z):
    return z.logsumexp(-1).square().mean()


def losses(config, gates, logits_BSV, targets_BS, balance_coefficient, z_coefficient):
    """Total, and its three parts before their coefficients."""
    cross_entropy = F.cross_entropy(logits_BSV.flatten(0, 1), targets_BS.flatten())
    length = targets_BS.shape[1]
    balance = torch.stack([balance_loss(config, z, ids, length) for z, ids, _ in gates.layers]).mean()
    z = torch.stack([z_loss(z) for z, _, _ in gates.layers]).mean()
    return cross_entropy + balance_coefficient * balance + z_coefficient * z, (cross_entropy, balance, z)
