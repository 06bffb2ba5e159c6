"""Writes ../data/attribute_maps.json: of each type, {name of a key: the name that transformers keeps it under}.

    python make_names.py
"""
import json

from transformers import CONFIG_MAPPING

import families
from make_logits import DATA

if __name__ == "__main__":
    kinds = sorted({config["model_type"] for config in families.CASES.values()})
    maps = {kind: CONFIG_MAPPING[kind].attribute_map for kind in kinds}
    (DATA / "attribute_maps.json").write_text(json.dumps(maps, indent=2) + "\n")
