"""The tiny models: their config.json, the shapes of their tensors and their random weights, without PyTorch.

Of every type some cases are written the way transformers 4 wrote them (rope_theta, rope_scaling, torch_dtype), and some
are saved by the transformers of requirements.txt (rope_parameters, dtype, its own names of keys): an importer meets both.
"""
import zlib

import numpy as np

VOCABULARY = 96
WIDTH = 32
TOKENS = 40  # of the sequence whose logits are stored


def old_style(theta, scaling=None):
    return {"rope_theta": theta, "rope_scaling": scaling, "torch_dtype": "float32"}


def new_style(theta, scaling=None):
    return {"rope_parameters": {"rope_type": "default", "rope_theta": theta, **(scaling or {})}, "dtype": "float32"}


# Of configurations that transformers 4 wrote, or that came with a model's own code; 5 does not know them.
OLD_KEYS = {"max_window_layers", "moe_layer_freq", "scoring_func", "topk_method"}


def is_new_style(config):
    return "rope_parameters" in config


def common(kind, architecture, layers, rope, **more):
    return {
        "architectures": [architecture],
        "model_type": kind,
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "num_hidden_layers": layers,
        "hidden_act": "silu",
        "max_position_embeddings": 256,
        "tie_word_embeddings": False,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "use_cache": True,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
        **rope,
        **more,
    }


def qwen3_moe(rope, **changes):
    return common(
        "qwen3_moe", "Qwen3MoeForCausalLM", 2, rope,
        **{
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 12, "rms_norm_eps": 1e-6,
            "attention_bias": False, "use_sliding_window": False, "sliding_window": None, "max_window_layers": 2,
            "intermediate_size": 40, "moe_intermediate_size": 20, "num_experts": 8, "num_experts_per_tok": 3,
            "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], "router_aux_loss_coef": 0.001,
            "output_router_logits": False, **changes,
        })


def mixtral(rope, **changes):
    return common(
        "mixtral", "MixtralForCausalLM", 2, rope,
        **{
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "rms_norm_eps": 1e-5,
            "intermediate_size": 24, "num_local_experts": 6, "num_experts_per_tok": 2, "sliding_window": None,
            "router_aux_loss_coef": 0.001, "router_jitter_noise": 0.0, "output_router_logits": False, **changes,
        })


def olmoe(rope, **changes):
    return common(
        "olmoe", "OlmoeForCausalLM", 2, rope,
        **{
            "num_attention_heads": 4, "num_key_value_heads": 4, "rms_norm_eps": 1e-5, "attention_bias": False,
            "clip_qkv": None, "intermediate_size": 20, "num_experts": 8, "num_experts_per_tok": 3,
            "norm_topk_prob": False, "router_aux_loss_coef": 0.01, "output_router_logits": False, **changes,
        })


def deepseek_v3(rope, **changes):
    return common(
        "deepseek_v3", "DeepseekV3ForCausalLM", 3, rope,
        **{
            "num_attention_heads": 4, "num_key_value_heads": 4, "rms_norm_eps": 1e-6, "attention_bias": False,
            "q_lora_rank": 20, "kv_lora_rank": 16, "qk_nope_head_dim": 12, "qk_rope_head_dim": 8, "v_head_dim": 10,
            "rope_interleave": True, "intermediate_size": 40, "moe_intermediate_size": 12, "first_k_dense_replace": 1,
            "moe_layer_freq": 1, "n_routed_experts": 8, "n_shared_experts": 1, "num_experts_per_tok": 3, "n_group": 1,
            "topk_group": 1, "routed_scaling_factor": 2.5, "norm_topk_prob": True, "scoring_func": "sigmoid",
            "topk_method": "noaux_tc", "num_nextn_predict_layers": 0, **changes,
        })


def gpt_oss(rope, **changes):
    return common(
        "gpt_oss", "GptOssForCausalLM", 3, rope,
        **{
            "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-5,
            "attention_bias": True, "intermediate_size": 16, "num_local_experts": 6, "num_experts_per_tok": 2,
            "sliding_window": 8, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"],
            "swiglu_limit": 7.0, "router_aux_loss_coef": 0.9, "output_router_logits": False, **changes,
        })


def yarn(factor, original, style="rope_type", **more):
    return {style: "yarn", "factor": factor, "original_max_position_embeddings": original, "beta_fast": 32.0,
            "beta_slow": 1.0, **more}


CASES = {
    "qwen3_moe": qwen3_moe(new_style(1000000.0)),
    "qwen3_moe-tied": qwen3_moe(old_style(10000.0), tie_word_embeddings=True),
    "qwen3_moe-dense_first": qwen3_moe(old_style(10000.0), mlp_only_layers=[0], norm_topk_prob=False),
    "mixtral": mixtral(old_style(1000000.0)),
    "mixtral-sliding": mixtral(new_style(10000.0), sliding_window=8),
    "olmoe": olmoe(new_style(10000.0)),
    "olmoe-shared_heads": olmoe(old_style(10000.0), num_key_value_heads=2, norm_topk_prob=True),
    "deepseek_v3": deepseek_v3(old_style(10000.0)),
    "deepseek_v3-groups": deepseek_v3(new_style(10000.0), q_lora_rank=None, n_group=4, topk_group=2,
                                      n_shared_experts=2, routed_scaling_factor=1.5),
    "deepseek_v3-yarn": deepseek_v3(old_style(10000.0, yarn(4.0, 64, "type", mscale=1.0, mscale_all_dim=1.0)),
                                    qk_rope_head_dim=16, n_group=2, topk_group=1, num_experts_per_tok=2),
    "deepseek_v3-yarn_mscale": deepseek_v3(new_style(10000.0, yarn(4.0, 64, mscale=1.0, mscale_all_dim=0.7)),
                                           qk_rope_head_dim=16, norm_topk_prob=False, routed_scaling_factor=1.0),
    "gpt_oss": gpt_oss(old_style(150000.0, yarn(32.0, 4096, truncate=False))),
    "gpt_oss-truncate": gpt_oss(new_style(10000.0, yarn(4.0, 64, truncate=True)), num_hidden_layers=2,
                                layer_types=["sliding_attention", "full_attention"]),
}


def head_width(config):
    return config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]


def is_dense(config, layer):
    return layer < config.get("first_k_dense_replace", 0) or layer in config.get("mlp_only_layers", [])


def swiglu_shapes(prefix, inner, width):
    return {
        prefix + "gate_proj.weight": (inner, width),
        prefix + "up_proj.weight": (inner, width),
        prefix + "down_proj.weight": (width, inner),
    }


def latent_attention_shapes(config, prefix):
    width, heads = config["hidden_size"], config["num_attention_heads"]
    nope, rope, value = config["qk_nope_head_dim"], config["qk_rope_head_dim"], config["v_head_dim"]
    rank, query_rank = config["kv_lora_rank"], config["q_lora_rank"]
    shapes = {
        prefix + "kv_a_proj_with_mqa.weight": (rank + rope, width),
        prefix + "kv_a_layernorm.weight": (rank,),
        prefix + "kv_b_proj.weight": (heads * (nope + value), rank),
        prefix + "o_proj.weight": (width, heads * value),
    }
    if query_rank is None:
        shapes[prefix + "q_proj.weight"] = (heads * (nope + rope), width)
    else:
        shapes[prefix + "q_a_proj.weight"] = (query_rank, width)
        shapes[prefix + "q_a_layernorm.weight"] = (query_rank,)
        shapes[prefix + "q_b_proj.weight"] = (heads * (nope + rope), query_rank)
    return shapes


def attention_shapes(config, prefix):
    kind, width, size = config["model_type"], config["hidden_size"], head_width(config)
    if kind == "deepseek_v3":
        return latent_attention_shapes(config, prefix)
    q, kv = config["num_attention_heads"] * size, config["num_key_value_heads"] * size
    shapes = {
        prefix + "q_proj.weight": (q, width),
        prefix + "k_proj.weight": (kv, width),
        prefix + "v_proj.weight": (kv, width),
        prefix + "o_proj.weight": (width, q),
    }
    if kind == "qwen3_moe":
        shapes |= {prefix + "q_norm.weight": (size,), prefix + "k_norm.weight": (size,)}
    if kind == "olmoe":
        shapes |= {prefix + "q_norm.weight": (q,), prefix + "k_norm.weight": (kv,)}
    if kind == "gpt_oss":
        shapes |= {prefix + p + "_proj.bias": (n,) for p, n in (("q", q), ("k", kv), ("v", kv), ("o", width))}
        shapes[prefix + "sinks"] = (config["num_attention_heads"],)
    return shapes


def gpt_oss_expert_shapes(config, prefix):
    experts, width, inner = config["num_local_experts"], config["hidden_size"], config["intermediate_size"]
    return {
        prefix + "mlp.router.weight": (experts, width),
        prefix + "mlp.router.bias": (experts,),
        prefix + "mlp.experts.gate_up_proj": (experts, width, 2 * inner),
        prefix + "mlp.experts.gate_up_proj_bias": (experts, 2 * inner),
        prefix + "mlp.experts.down_proj": (experts, inner, width),
        prefix + "mlp.experts.down_proj_bias": (experts, width),
    }


def mixtral_expert_shapes(config, prefix):
    experts, width, inner = config["num_local_experts"], config["hidden_size"], config["intermediate_size"]
    shapes = {prefix + "block_sparse_moe.gate.weight": (experts, width)}
    for e in range(experts):
        name = f"{prefix}block_sparse_moe.experts.{e}."
        shapes |= {name + "w1.weight": (inner, width), name + "w3.weight": (inner, width),
                   name + "w2.weight": (width, inner)}
    return shapes


def expert_shapes(config, prefix):
    kind, width = config["model_type"], config["hidden_size"]
    if kind == "gpt_oss":
        return gpt_oss_expert_shapes(config, prefix)
    if kind == "mixtral":
        return mixtral_expert_shapes(config, prefix)
    experts = config.get("num_experts") or config["n_routed_experts"]
    inner = config["intermediate_size"] if kind == "olmoe" else config["moe_intermediate_size"]
    shapes = {prefix + "mlp.gate.weight": (experts, width)}
    for e in range(experts):
        shapes |= swiglu_shapes(f"{prefix}mlp.experts.{e}.", inner, width)
    if kind == "deepseek_v3":
        shapes[prefix + "mlp.gate.e_score_correction_bias"] = (experts,)
        shapes |= swiglu_shapes(prefix + "mlp.shared_experts.", inner * config["n_shared_experts"], width)
    return shapes


def tensor_shapes(config):
    """Name in the file (classic, one tensor per expert; gpt_oss fused) -> shape."""
    width = config["hidden_size"]
    shapes = {"model.embed_tokens.weight": (config["vocab_size"], width), "model.norm.weight": (width,)}
    if not config["tie_word_embeddings"]:
        shapes["lm_head.weight"] = (config["vocab_size"], width)
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}."
        shapes[prefix + "input_layernorm.weight"] = (width,)
        shapes[prefix + "post_attention_layernorm.weight"] = (width,)
        shapes |= attention_shapes(config, prefix + "self_attn.")
        if is_dense(config, layer):
            shapes |= swiglu_shapes(prefix + "mlp.", config["intermediate_size"], width)
        else:
            shapes |= expert_shapes(config, prefix)
    return shapes


def random_tensor(name, shape, seed):
    """Large enough that every part changes the logits; a tensor depends on its name and the seed only."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    if "norm" in name:
        return rng.uniform(0.6, 1.4, shape).astype(np.float32)
    deviation = 0.2
    if name.endswith("e_score_correction_bias"):
        deviation = 0.08
    elif name.endswith("sinks"):
        deviation = 1.0
    elif name.endswith("bias"):
        deviation = 0.3
    elif "gate.weight" in name or "router.weight" in name:
        deviation = 0.3
    elif name.endswith("experts.gate_up_proj"):
        deviation = 0.7  # reaches the limit of the clamped SwiGLU
    return rng.normal(0.0, deviation, shape).astype(np.float32)


def random_weights(config, seed):
    return {name: random_tensor(name, shape, seed) for name, shape in sorted(tensor_shapes(config).items())}


def random_tokens(count, seed, vocabulary=VOCABULARY):
    """A chain in which every token has three likely successors: there is something to learn in it."""
    rng = np.random.default_rng([seed, 1])
    next_tokens = rng.integers(0, vocabulary, (vocabulary, 3))
    tokens = np.empty(count, np.int32)
    tokens[0] = rng.integers(vocabulary)
    for i in range(1, count):
        likely = rng.random() < 0.8
        tokens[i] = next_tokens[tokens[i - 1], rng.integers(3)] if likely else rng.integers(vocabulary)
    return tokens
