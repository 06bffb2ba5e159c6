"""Golden placements of experts from NumPy in single precision, independent of our C++.

    python3 -m venv v && v/bin/pip install numpy && v/bin/python placement_golden.py > golden.json

The balancer of deepseek-ai/EPLB from its description: heaviest first into the lightest pack with room, one more replica for whoever
has the most per replica, groups to nodes before experts to devices. Every choice is a search through a list, the first one where
several are equal; no heap, no order kept from before.
"""
import json

import numpy as np

f32 = np.float32


def first_best(values):
    """The place of the largest value, the first one of several."""
    best = 0
    for i, value in enumerate(values):
        if value > values[best]:
            best = i
    return best


def packed(weights, packs):
    """Pack and rank in it of each thing; as many things in every pack."""
    room = len(weights) // packs
    if room == 1:
        return list(range(packs)), [0] * packs
    left, members, sums = list(range(len(weights))), [[] for _ in range(packs)], [f32(0)] * packs
    while left:
        thing = left.pop(first_best([weights[i] for i in left]))
        open_packs = [p for p in range(packs) if len(members[p]) < room]
        pack = open_packs[first_best([-sums[p] for p in open_packs])]
        members[pack].append(thing)
        sums[pack] = f32(sums[pack] + weights[thing])
    where = {thing: (p, rank) for p in range(packs) for rank, thing in enumerate(members[p])}
    return [where[i][0] for i in range(len(weights))], [where[i][1] for i in range(len(weights))]


def replicated(loads, replicas):
    """(expert, which of its replicas) of each replica, and how many each expert has."""
    counts, made = [1] * len(loads), [(e, 0) for e in range(len(loads))]
    while len(made) < replicas:
        e = first_best([f32(load / f32(n)) for load, n in zip(loads, counts)])
        made.append((e, counts[e]))
        counts[e] += 1
    return made, counts


def place(loads, replicas, groups, nodes, gpus):
    loads = np.array(loads, f32)
    if groups % nodes:
        groups = nodes = 1
    size, on_node = len(loads) // groups, replicas // nodes
    sums = [f32(loads[g * size:(g + 1) * size].sum(dtype=np.float64)) for g in range(groups)]
    node_of, rank_of = packed(sums, nodes)
    slots, counts = [None] * replicas, [0] * len(loads)
    for node in range(nodes):
        members = sorted((g for g in range(groups) if node_of[g] == node), key=lambda g: rank_of[g])
        experts = [g * size + i for g in members for i in range(size)]
        made, many = replicated([loads[e] for e in experts], on_node)
        device, rank = packed([f32(loads[experts[e]] / f32(many[e])) for e, _ in made], gpus // nodes)
        for (e, which), d, r in zip(made, device, rank):
            slots[node * on_node + d * (replicas // gpus) + r] = (experts[e], which)
        for e, n in zip(experts, many):
            counts[e] = n
    return slots, counts


def placed(loads, **order):
    rows = [place(row, **order) for row in loads]
    width = max(max(counts) for _, counts in rows)
    where = [[[-1] * width for _ in row] for row in loads]
    for layer, (slots, _) in enumerate(rows):
        for slot, (expert, which) in enumerate(slots):
            where[layer][expert][which] = slot
    return {"loads": loads, **order,
            "physical_to_logical": [[e for e, _ in slots] for slots, _ in rows],
            "logical_to_physical": where,
            "logical_count": [counts for _, counts in rows]}


def cases():
    rng = np.random.default_rng(13)
    # The example of the balancer's README.
    yield placed([[90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86], [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27]],
                 replicas=16, groups=4, nodes=2, gpus=8)
    shapes = [(64, 80, 8, 4, 16), (64, 72, 8, 3, 9), (32, 32, 4, 2, 8), (16, 24, 1, 1, 6), (16, 16, 4, 4, 16), (12, 36, 3, 3, 6),
              (24, 40, 6, 4, 4), (8, 64, 2, 1, 4), (48, 64, 8, 8, 8)]
    for experts, replicas, groups, nodes, gpus in shapes:
        order = {"replicas": replicas, "groups": groups, "nodes": nodes, "gpus": gpus}
        spread = rng.lognormal(6, 1, (2, experts))
        yield placed(np.round(spread).astype(int).tolist(), **order)            # tokens
        yield placed(rng.integers(0, 4, (2, experts)).tolist(), **order)        # many equal ones
        yield placed(spread.round(3).tolist(), **order)                         # not whole
    for row in ([0] * 8, [5] * 8, [0, 0, 0, 0, 0, 0, 0, 9]):
        yield placed([row], replicas=12, groups=4, nodes=2, gpus=4)


print("[" + ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases()) + "]")
