"""A second opinion on ../data/*/logits.npy: the five families in NumPy float64, written from their papers and model
cards, sharing nothing with transformers and nothing with make_logits.py but the files.

    python numpy_forward.py     prints the normalised mean squared error of every case; fails above 1e-13
"""
import json
import math
import pathlib
import sys

import numpy as np
from safetensors.numpy import load_file

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def rms_norm(x, w, epsilon):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon) * w


def swiglu(x, gate, up, down):
    g = x @ gate.T
    return (g * sigmoid(g) * (x @ up.T)) @ down.T


class Rope:
    """Angles by position and pair, and the factor on the rotated values; YaRN is arXiv 2309.00071, section 3."""

    def __init__(self, config, width):
        rope = {**(config.get("rope_scaling") or {}), **config.get("rope_parameters", {})}
        theta = config.get("rope_theta") or rope["rope_theta"]
        self.frequency = theta ** (-np.arange(0, width, 2) / width)
        self.factor = self.softmax_factor = 1.0
        if rope.get("rope_type", rope.get("type", "default")) == "yarn":
            self.stretch(rope, theta, width)

    def stretch(self, rope, theta, width):
        factor, original = rope["factor"], rope["original_max_position_embeddings"]

        def pair_that_turns(times):
            return width * math.log(original / (times * 2 * math.pi)) / (2 * math.log(theta))

        low, high = pair_that_turns(rope["beta_fast"]), pair_that_turns(rope["beta_slow"])
        if rope.get("truncate", True):
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, 0), min(high, width - 1)
        slow = np.clip((np.arange(width // 2) - low) / max(high - low, 0.001), 0, 1)
        self.frequency = self.frequency * (1 - slow) + self.frequency / factor * slow

        def scale(m):
            return 0.1 * m * math.log(factor) + 1

        m, all_dim = rope.get("mscale"), rope.get("mscale_all_dim")
        self.factor = scale(m) / scale(all_dim) if m and all_dim else scale(1.0)
        self.softmax_factor = scale(all_dim) ** 2 if all_dim else 1.0

    def turn(self, x, interleaved=False):
        """x [S, heads, width]; interleaved: neighbours are a pair, else i and i + width / 2."""
        angle = np.arange(x.shape[0])[:, None, None] * self.frequency
        half = x.shape[-1] // 2
        a, b = (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
        turned = (a + 1j * b) * np.exp(1j * angle) * self.factor
        out = np.empty_like(x)
        if interleaved:
            out[..., ::2], out[..., 1::2] = turned.real, turned.imag
        else:
            out[..., :half], out[..., half:] = turned.real, turned.imag
        return out


def attend(q, k, v, scale, window, sinks):
    """q [S,H,C], k [S,G,C], v [S,G,Cv] -> [S, H Cv]."""
    length, heads, share = q.shape[0], q.shape[1], q.shape[1] // k.shape[1]
    out = np.zeros((length, heads, v.shape[-1]))
    for s in range(length):
        first = max(0, s - window + 1) if window else 0
        for h in range(heads):
            score = k[first : s + 1, h // share] @ q[s, h] * scale
            if sinks is not None:
                score = np.append(score, sinks[h])
            out[s, h] = softmax(score)[: s + 1 - first] @ v[first : s + 1, h // share]
    return out.reshape(length, -1)


class Model:
    def __init__(self, folder):
        self.c = json.loads((folder / "config.json").read_text())
        self.w = {name: t.astype(np.float64) for name, t in load_file(folder / "model.safetensors").items()}
        self.kind, self.epsilon = self.c["model_type"], self.c["rms_norm_eps"]
        width = self.c["hidden_size"] // self.c["num_attention_heads"]
        self.head = self.c.get("head_dim") or width
        self.rope = Rope(self.c, self.c["qk_rope_head_dim"] if self.kind == "deepseek_v3" else self.head)

    def norm(self, x, name):
        return rms_norm(x, self.w[name], self.epsilon)

    def linear(self, x, name):
        y = x @ self.w[name + ".weight"].T
        return y + self.w[name + ".bias"] if name + ".bias" in self.w else y

    def window(self, layer):
        if self.kind == "gpt_oss":
            return self.c["sliding_window"] if self.c["layer_types"][layer] == "sliding_attention" else 0
        return self.c.get("sliding_window") or 0

    def grouped_attention(self, x, layer, at):
        length = len(x)
        q, k, v = (self.linear(x, f"{at}{p}_proj") for p in "qkv")
        if self.kind == "olmoe":
            q, k = self.norm(q, at + "q_norm.weight"), self.norm(k, at + "k_norm.weight")
        q, k, v = (t.reshape(length, -1, self.head) for t in (q, k, v))
        if self.kind == "qwen3_moe":
            q, k = self.norm(q, at + "q_norm.weight"), self.norm(k, at + "k_norm.weight")
        q, k = self.rope.turn(q), self.rope.turn(k)
        o = attend(q, k, v, self.head**-0.5, self.window(layer), self.w.get(at + "sinks"))
        return self.linear(o, at + "o_proj")

    def latent_attention(self, x, at):
        c, length = self.c, len(x)
        heads, nope, rank = c["num_attention_heads"], c["qk_nope_head_dim"], c["kv_lora_rank"]
        if c["q_lora_rank"]:
            q = self.linear(self.norm(self.linear(x, at + "q_a_proj"), at + "q_a_layernorm.weight"), at + "q_b_proj")
        else:
            q = self.linear(x, at + "q_proj")
        q = q.reshape(length, heads, -1)
        code = self.linear(x, at + "kv_a_proj_with_mqa")
        kv = self.linear(self.norm(code[:, :rank], at + "kv_a_layernorm.weight"), at + "kv_b_proj")
        kv = kv.reshape(length, heads, -1)
        shared = self.rope.turn(code[:, None, rank:], interleaved=True)
        q = np.concatenate([q[..., :nope], self.rope.turn(q[..., nope:], interleaved=True)], -1)
        k = np.concatenate([kv[..., :nope], np.repeat(shared, heads, 1)], -1)
        scale = q.shape[-1] ** -0.5 * self.rope.softmax_factor
        return self.linear(attend(q, k, kv[..., nope:], scale, 0, None), at + "o_proj")

    def route(self, x, at):
        """Yields (token, expert, weight)."""
        c, k = self.c, self.c["num_experts_per_tok"]
        name = at + ("router" if self.kind == "gpt_oss" else "gate")
        z = self.linear(x, name)
        for t, row in enumerate(z):
            if self.kind == "deepseek_v3":
                chosen, weight = self.route_deepseek(row, self.w[name + ".e_score_correction_bias"])
            else:
                chosen = np.argsort(-row)[:k]
                if self.kind in ("gpt_oss", "mixtral") or c.get("norm_topk_prob"):
                    weight = softmax(row[chosen])
                else:
                    weight = softmax(row)[chosen]
            yield from ((t, int(e), g) for e, g in zip(chosen, weight))

    def route_deepseek(self, row, bias):
        """arXiv 2412.19437, section 2.1.2; groups by the sum of their two largest biased scores."""
        c = self.c
        s = sigmoid(row)
        biased = (s + bias).reshape(c["n_group"], -1)
        group_score = np.sort(biased, -1)[:, -2:].sum(-1)
        kept = np.argsort(-group_score)[: c["topk_group"]]
        masked = np.full_like(biased, -np.inf)
        masked[kept] = biased[kept]
        chosen = np.argsort(-masked.ravel())[: c["num_experts_per_tok"]]
        weight = s[chosen] / s[chosen].sum() if c["norm_topk_prob"] else s[chosen]
        return chosen, weight * c["routed_scaling_factor"]

    def expert(self, x, at, e):
        if self.kind == "gpt_oss":
            return self.clamped_expert(x, at + "experts.", e)
        names = ("w1", "w3", "w2") if self.kind == "mixtral" else ("gate_proj", "up_proj", "down_proj")
        return swiglu(x, *(self.w[f"{at}experts.{e}.{n}.weight"] for n in names))

    def clamped_expert(self, x, at, e):
        both = x @ self.w[at + "gate_up_proj"][e] + self.w[at + "gate_up_proj_bias"][e]
        limit = self.c["swiglu_limit"]
        gate, up = np.minimum(both[::2], limit), np.clip(both[1::2], -limit, limit)
        return (gate * sigmoid(1.702 * gate) * (up + 1)) @ self.w[at + "down_proj"][e] + self.w[at + "down_proj_bias"][e]

    def feed_forward(self, x, prefix):
        at = prefix + ("block_sparse_moe." if self.kind == "mixtral" else "mlp.")
        parts = ("gate_proj.weight", "up_proj.weight", "down_proj.weight")
        if at + "gate_proj.weight" in self.w:
            return swiglu(x, *(self.w[at + p] for p in parts))
        out = np.zeros_like(x)
        for t, e, g in self.route(x, at):
            out[t] += g * self.expert(x[t], at, e)
        if self.kind == "deepseek_v3":
            out += swiglu(x, *(self.w[at + "shared_experts." + p] for p in parts))
        return out

    def logits(self, tokens):
        x = self.w["model.embed_tokens.weight"][tokens]
        for layer in range(self.c["num_hidden_layers"]):
            prefix = f"model.layers.{layer}."
            y, at = self.norm(x, prefix + "input_layernorm.weight"), prefix + "self_attn."
            x = x + (self.latent_attention(y, at) if self.kind == "deepseek_v3" else self.grouped_attention(y, layer, at))
            x = x + self.feed_forward(self.norm(x, prefix + "post_attention_layernorm.weight"), prefix)
        head = self.w.get("lm_head.weight", self.w["model.embed_tokens.weight"])
        return self.norm(x, "model.norm.weight") @ head.T


def main():
    worst = 0.0
    for folder in sorted(p for p in DATA.iterdir() if (p / "logits.npy").exists()):
        theirs = np.load(folder / "logits.npy").astype(np.float64)
        ours = Model(folder).logits(np.load(folder / "tokens.npy"))
        error = np.square(ours - theirs).mean() / np.square(theirs).mean()
        worst = max(worst, error)
        print(f"{folder.name:26} {error:.1e}")
    if not worst < 1e-13:  # logits.npy is rounded to float32: about 1e-15
        sys.exit("the NumPy model and transformers disagree")


if __name__ == "__main__":
    main()
