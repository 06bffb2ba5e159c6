"""Writes ../data/CASE/{config.json,model.safetensors,tokens.npy,logits.npy} for every case of families.py.

    python make_logits.py [CASE ...]

Cases in the style of transformers 5 (see families.py) are saved by save_pretrained, with everything that it writes;
the others hold what transformers 4 wrote. logits.npy [T, V] float32 is computed in float64 throughout (double.py). The
seed is the first for which no token is undecided between two experts, so that float32 rounding can not change a choice.
"""
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.numpy import save_file

import double
import families
import hub
from routing import Gates

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
MARGIN = 1e-3


def write_old(folder, config, seed):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    save_file(families.random_weights(config, seed), folder / "model.safetensors", metadata={"format": "pt"})


def write_new(folder, config, seed):
    """As transformers itself saves it, under the names that it gives the keys."""
    with tempfile.TemporaryDirectory() as scratch:
        write_old(pathlib.Path(scratch), config, seed)
        model = hub.load(scratch)
        model.config = type(model.config)(**{k: v for k, v in config.items() if k not in families.OLD_KEYS})
        model.config._attn_implementation = "eager"
        model.save_pretrained(folder)


def write_model(folder, config, seed):
    (write_new if families.is_new_style(config) else write_old)(folder, config, seed)


def check_names(config, folder, model, seed):
    """transformers holds exactly the tensors of the file: the mapping of names in hub.py is right."""
    held = hub.classic_tensors(config, [*model.named_parameters(), *model.named_buffers()])
    for name, value in families.random_weights(config, seed).items():
        if not np.array_equal(held[name].detach().numpy(), value):
            raise SystemExit(f"{folder}: {name} is not what was written")


def forward(config, model, tokens):
    gates = Gates(config, model)
    with torch.no_grad():
        logits = model(torch.from_numpy(tokens).long()[None], use_cache=False).logits[0]
    return logits.numpy(), min(margin for _, _, margin in gates.layers)


def make(case):
    config, folder = families.CASES[case], DATA / case
    for seed in range(100):
        write_model(folder, config, seed)
        tokens = families.random_tokens(families.TOKENS, seed)
        model = hub.load(folder)
        check_names(config, folder, model, seed)
        narrow, _ = forward(config, model, tokens)
        model = double.load(folder)
        with double.everywhere(model):
            logits, margin = forward(config, model, tokens)
        if margin > MARGIN:
            break
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "logits.npy", logits.astype(np.float32))
    error = np.square(narrow - logits).mean() / np.square(logits).mean()
    size = sum(f.stat().st_size for f in folder.iterdir() if f.is_file())
    print(f"{case:26} seed {seed:2} margin {margin:.1e} size {size // 1024:4} KiB  logits rms {logits.std():.2f}  "
          f"transformers in float32 against float64: {error:.1e}")


if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for name in sys.argv[1:] or families.CASES:
        make(name)
