"""Checks what our engine exported, with the tools of others. Needs models/requirements.txt.

    python check_export.py hf FOLDER TOKENS.npy LOGITS.npy [--limit 1e-10]
        runs the folder with transformers in float64 on the token ids [T] (or [B, T]) and compares with the logits our
        engine wrote, [T, V] (or [B, T, V]); no tensor may be missing, left over or of another shape
    python check_export.py gguf FILE.gguf [--folder FOLDER] [--list]
        reads a GGUF with the gguf package: the keys its architecture needs, every tensor name known to that
        architecture, none missing; with --folder also the values, against the Hugging Face folder of the same model

Exit status 1 when something is wrong.
"""
import argparse
import json
import pathlib
import re
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "models"))

# Metadata a GGUF of each architecture can not do without, after the architecture's prefix.
COMMON_KEYS = ["block_count", "context_length", "embedding_length", "attention.head_count",
               "attention.layer_norm_rms_epsilon", "expert_count", "expert_used_count"]
KEYS = {
    "qwen3moe": ["attention.head_count_kv", "attention.key_length", "attention.value_length", "rope.freq_base",
                 "expert_feed_forward_length"],
    "olmoe": ["attention.head_count_kv", "feed_forward_length", "rope.freq_base"],
    "llama": ["attention.head_count_kv", "feed_forward_length", "rope.dimension_count", "rope.freq_base"],
    "deepseek2": ["attention.head_count_kv", "attention.kv_lora_rank", "attention.key_length",
                  "attention.value_length", "attention.key_length_mla", "attention.value_length_mla",
                  "feed_forward_length", "rope.dimension_count", "rope.freq_base", "leading_dense_block_count",
                  "expert_feed_forward_length", "expert_shared_count", "expert_weights_scale", "expert_weights_norm",
                  "expert_gating_func"],
    "gpt-oss": ["attention.head_count_kv", "attention.key_length", "attention.value_length",
                "attention.sliding_window", "rope.freq_base", "expert_feed_forward_length"],
}
MODEL_TYPES = {"qwen3moe": "qwen3_moe", "olmoe": "olmoe", "llama": "mixtral", "deepseek2": "deepseek_v3",
               "gpt-oss": "gpt_oss"}


def normalised_error(ours, reference):
    return float(np.square(ours - reference).mean() / np.square(reference).mean())


def check_hf(arguments):
    import torch

    import double

    torch.set_num_threads(1)
    tokens, ours = np.load(arguments.tokens), np.load(arguments.logits).astype(np.float64)
    rows = torch.from_numpy(np.atleast_2d(tokens)).long()
    model = double.load(arguments.folder)
    with double.everywhere(model), torch.no_grad():
        theirs = model(rows, use_cache=False).logits.numpy().reshape(ours.shape)
    error = normalised_error(ours, theirs)
    print(f"transformers, {rows.numel()} tokens: normalised mean squared error {error:.3e}, "
          f"largest difference {np.abs(ours - theirs).max():.3e}, "
          f"same best token {np.mean(ours.argmax(-1) == theirs.argmax(-1)):.2%}")
    return [] if error <= arguments.limit else [f"the error is above {arguments.limit:g}"]


def value_of(reader, key):
    field = reader.get_field(key)
    return None if field is None else field.contents()


def check_keys(reader, architecture):
    if architecture not in KEYS:
        return [f"general.architecture is {architecture}, not one of {', '.join(KEYS)}"]
    wanted = [f"{architecture}.{key}" for key in COMMON_KEYS + KEYS[architecture]] + ["tokenizer.ggml.model"]
    return [f"missing key {key}" for key in wanted if reader.get_field(key) is None]


def known_names(architecture, layers):
    """Every tensor name that llama.cpp knows for the architecture."""
    import gguf

    by_name = {name: key for key, name in gguf.MODEL_ARCH_NAMES.items()}
    names = set()
    for tensor in gguf.MODEL_TENSORS[by_name[architecture]]:
        pattern = gguf.TENSOR_NAMES[tensor]
        names |= {pattern.format(bid=i) for i in range(layers)} if "{bid}" in pattern else {pattern}
    return names


def check_names(reader, architecture):
    layers = value_of(reader, f"{architecture}.block_count")
    known = known_names(architecture, layers)
    faults = []
    for tensor in reader.tensors:
        base = re.sub(r"\.(weight|bias)$", "", tensor.name)
        if base not in known:
            faults.append(f"tensor {tensor.name} is not known to {architecture}")
    have = {t.name for t in reader.tensors}
    if len(have) != len(reader.tensors):
        faults.append("a tensor name occurs twice")
    router = [f"blk.{i}.ffn_gate_inp.weight" for i in range(value_of(reader, f"{architecture}.leading_dense_block_count")
                                                            or 0, layers)]
    wanted = ["token_embd.weight", "output_norm.weight", *router]
    wanted += [n.replace("ffn_gate_inp", p) for n in router for p in ("ffn_gate_exps", "ffn_up_exps", "ffn_down_exps")]
    return faults + [f"missing tensor {name}" for name in wanted if name not in have]


def layer_tensors(kind, config, weights, i):
    """(name in the GGUF, value) of one layer, from the classic tensors of a Hugging Face folder."""
    hf, to = f"model.layers.{i}.", f"blk.{i}."
    plain = {
        "input_layernorm.weight": "attn_norm.weight", "self_attn.q_proj.weight": "attn_q.weight",
        "self_attn.k_proj.weight": "attn_k.weight", "self_attn.v_proj.weight": "attn_v.weight",
        "self_attn.o_proj.weight": "attn_output.weight", "self_attn.q_proj.bias": "attn_q.bias",
        "self_attn.k_proj.bias": "attn_k.bias", "self_attn.v_proj.bias": "attn_v.bias",
        "self_attn.o_proj.bias": "attn_output.bias", "self_attn.q_norm.weight": "attn_q_norm.weight",
        "self_attn.k_norm.weight": "attn_k_norm.weight", "self_attn.sinks": "attn_sinks.weight",
        "self_attn.q_a_proj.weight": "attn_q_a.weight", "self_attn.q_a_layernorm.weight": "attn_q_a_norm.weight",
        "self_attn.q_b_proj.weight": "attn_q_b.weight", "self_attn.kv_a_layernorm.weight": "attn_kv_a_norm.weight",
        "self_attn.kv_a_proj_with_mqa.weight": "attn_kv_a_mqa.weight",
        "post_attention_layernorm.weight": "post_attention_norm.weight" if kind == "gpt_oss" else "ffn_norm.weight",
        "mlp.gate.weight": "ffn_gate_inp.weight", "mlp.router.weight": "ffn_gate_inp.weight",
        "block_sparse_moe.gate.weight": "ffn_gate_inp.weight", "mlp.router.bias": "ffn_gate_inp.bias",
        "mlp.gate.e_score_correction_bias": "exp_probs_b.bias",
    }
    for part in ("gate", "up", "down"):
        plain[f"mlp.{part}_proj.weight"] = f"ffn_{part}.weight"
        plain[f"mlp.shared_experts.{part}_proj.weight"] = f"ffn_{part}_shexp.weight"
    for name, target in plain.items():
        if hf + name in weights:
            yield to + target, weights[hf + name]
    if hf + "self_attn.kv_b_proj.weight" in weights:
        heads, nope = config["num_attention_heads"], config["qk_nope_head_dim"]
        kv_b = weights[hf + "self_attn.kv_b_proj.weight"].reshape(heads, -1, config["kv_lora_rank"])
        yield to + "attn_k_b.weight", kv_b[:, :nope].transpose(0, 2, 1)
        yield to + "attn_v_b.weight", kv_b[:, nope:]
    yield from expert_tensors(weights, hf, to)


def expert_tensors(weights, hf, to):
    fused = hf + "mlp.experts.gate_up_proj"
    if fused in weights:
        for k, part in enumerate(("gate", "up")):
            yield f"{to}ffn_{part}_exps.weight", weights[fused][:, :, k::2].transpose(0, 2, 1)
            yield f"{to}ffn_{part}_exps.bias", weights[fused + "_bias"][:, k::2]
        yield to + "ffn_down_exps.weight", weights[hf + "mlp.experts.down_proj"].transpose(0, 2, 1)
        yield to + "ffn_down_exps.bias", weights[hf + "mlp.experts.down_proj_bias"]
    for block, names in (("mlp.", ("gate_proj", "up_proj", "down_proj")), ("block_sparse_moe.", ("w1", "w3", "w2"))):
        for part, name in zip(("gate", "up", "down"), names):
            stack = []
            while f"{hf}{block}experts.{len(stack)}.{name}.weight" in weights:
                stack.append(weights[f"{hf}{block}experts.{len(stack)}.{name}.weight"])
            if stack:
                yield f"{to}ffn_{part}_exps.weight", np.stack(stack)


def interleave_heads(matrix, heads):
    """llama.cpp's llama architecture turns neighbours; Hugging Face's rows are in halves."""
    rows, columns = matrix.shape
    return matrix.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def expected_tensors(folder):
    from safetensors.numpy import load_file

    config, weights = json.loads((pathlib.Path(folder) / "config.json").read_text()), {}
    for file in sorted(pathlib.Path(folder).glob("*.safetensors")):
        weights |= load_file(file)
    out = {"token_embd.weight": weights["model.embed_tokens.weight"], "output_norm.weight": weights["model.norm.weight"]}
    if "lm_head.weight" in weights:
        out["output.weight"] = weights["lm_head.weight"]
    for i in range(config["num_hidden_layers"]):
        out |= dict(layer_tensors(config["model_type"], config, weights, i))
        if config["model_type"] == "mixtral":
            q, k = f"blk.{i}.attn_q.weight", f"blk.{i}.attn_k.weight"
            out[q] = interleave_heads(out[q], config["num_attention_heads"])
            out[k] = interleave_heads(out[k], config["num_key_value_heads"])
    return config, out


def check_values(reader, architecture, folder):
    config, expected = expected_tensors(folder)
    faults = []
    if config["model_type"] != MODEL_TYPES.get(architecture):
        faults.append(f"the folder holds {config['model_type']}, the GGUF {architecture}")
    have = {t.name: t for t in reader.tensors}
    faults += [f"missing tensor {name}" for name in expected.keys() - have.keys()]
    faults += [f"tensor {name} has no source in the folder" for name in have.keys() - expected.keys() - {"output.weight"}]
    for name in sorted(expected.keys() & have.keys()):
        value, wanted = have[name].data, expected[name]
        if have[name].tensor_type.name != "F32":
            print(f"{name}: {have[name].tensor_type.name}, not compared")
        elif tuple(value.shape) != wanted.shape:
            faults.append(f"{name} is {tuple(value.shape)}, not {wanted.shape}")
        elif not np.array_equal(value, wanted.astype(np.float32)):
            faults.append(f"{name} differs, by up to {np.abs(value - wanted).max():.2e}")
    return faults


def check_gguf(arguments):
    import gguf

    reader = gguf.GGUFReader(arguments.file)
    architecture = value_of(reader, "general.architecture")
    if arguments.list:
        for key in reader.fields:
            print(f"{key} = {str(value_of(reader, key))[:100]}")
        for tensor in reader.tensors:
            print(f"{tensor.name} {tensor.tensor_type.name} {[int(n) for n in tensor.shape]}")
    faults = check_keys(reader, architecture)
    if not faults:
        faults = check_names(reader, architecture)
    if arguments.folder and not faults:
        faults = check_values(reader, architecture, arguments.folder)
    print(f"{arguments.file}: {architecture}, {len(reader.tensors)} tensors, {len(reader.fields)} keys")
    return faults


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    hf = kinds.add_parser("hf")
    hf.add_argument("folder")
    hf.add_argument("tokens")
    hf.add_argument("logits")
    hf.add_argument("--limit", type=float, default=1e-10)
    hf.set_defaults(check=check_hf)
    file = kinds.add_parser("gguf")
    file.add_argument("file")
    file.add_argument("--folder")
    file.add_argument("--list", action="store_true")
    file.set_defaults(check=check_gguf)
    arguments = parser.parse_args()
    faults = arguments.check(arguments)
    for fault in faults:
        print(f"FAULT: {fault}")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
