#!/usr/bin/env python3
"""Draws answers for the held-out sample of the label rules: real models, sampled, labels left open for a person.

    held_out_answers.py NODE OUT.json FIRST_SEED [EVERY]

FIRST_SEED: a number that no sample before this one began with, so that the answers are new; EVERY: only every so many
items. NODE is moescope-node with the models of ./run. Writes every answer with its prompt, model, language, seed and stop
reason, in a fixed shuffled order and without anything that the rules say. A person fills in "delivery" and
"engagement" (probes/README.md says what they mean) before looking at the rules; tests/probes/held_out_test.cpp then
compares. Answers that come twice are kept once.
"""
import hashlib
import json
import pathlib
import random
import subprocess
import sys

QWEN, SMOL = "qwen2.5-coder-0.5b", "smollm2-135m"
TOKENS, TEMPERATURE = 72, 0.8


def plan(items):
    """Both models on every item: Qwen in both languages, SmolLM2 in English, and on every fourth item in Chinese."""
    for index, item in enumerate(items):
        for model, language in ((QWEN, "en"), (QWEN, "zh"), (SMOL, "en"), (SMOL, "zh")):
            if model == SMOL and (index % 4 if language == "zh" else index % 2):
                continue
            yield item, model, language


def answer(node, model, prompt, seed):
    command = [node, "generate", "--model", model, "--prompt", prompt, "--max-tokens", str(TOKENS), "--seed", str(seed),
               "--temperature", str(TEMPERATURE), "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    node, out, first_seed, *every = sys.argv[1:]
    first_seed, every = int(first_seed), int(every[0]) if every else 1
    path = pathlib.Path(__file__).resolve().parents[3] / "assets/probe_sets/starter.json"
    probe_set = json.loads(path.read_text())
    answers, seen = [], set()
    for number, (item, model, language) in enumerate(plan(probe_set["items"][::every])):
        got = answer(node, model, item["prompt"][language], first_seed + number)
        if got["text"] in seen:
            continue
        seen.add(got["text"])
        answers.append({"id": f"held-{number:03}", "item": item["id"], "model": model, "language": language,
                        "seed": first_seed + number, "prompt": item["prompt"][language], "answer": got["text"],
                        "stop": got["stop"], "delivery": None, "engagement": None})
        print(number, model, language, item["id"], file=sys.stderr)
    random.Random(first_seed).shuffle(answers)
    sample = {"set_sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "max_tokens": TOKENS,
              "temperature": TEMPERATURE, "answers": answers}
    pathlib.Path(out).write_text(json.dumps(sample, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
