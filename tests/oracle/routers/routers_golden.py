"""Golden routings from NumPy in double precision, independent of our C++.

    python3 -m venv v && v/bin/pip install numpy && v/bin/python routers_golden.py > golden.json

Each function follows the published description of one router; shapes: T tokens, E experts, K chosen. Equal values go to the lower id.
"""
import json
import math

import numpy as np

rng = np.random.default_rng(7)


def logits(T, E, spread=1.5):
    """Thousandths, as single precision holds them; the file says them as integers."""
    return np.round(rng.normal(0, spread, (T, E)), 3).astype(np.float32).astype(np.float64)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def top(x, k):
    return np.argsort(-x, axis=-1, kind="stable")[..., :k]


def pick(x, ids):
    return np.take_along_axis(x, ids, axis=-1)


def deepseek_v2(z, K, groups, kept, scale):
    """Softmax over all; a group is worth its best expert; not normalised."""
    s = softmax(z)
    T, E = s.shape
    best = top(s.reshape(T, groups, E // groups).max(axis=-1), kept)
    mask = np.zeros((T, groups), bool)
    np.put_along_axis(mask, best, True, axis=1)
    ids = top(np.where(np.repeat(mask, E // groups, axis=1), s, -np.inf), K)
    return s, ids, pick(s, ids) * scale


def deepseek_v3(z, bias, K, groups, kept, scale):
    """Sigmoid; the bias only chooses; a group is worth its two best together; normalised."""
    s = 1 / (1 + np.exp(-z))
    c = s + bias
    T, E = s.shape
    grouped = np.sort(c.reshape(T, groups, E // groups), axis=-1)
    best = top(grouped[..., -1] + grouped[..., -2], kept)
    mask = np.zeros((T, groups), bool)
    np.put_along_axis(mask, best, True, axis=1)
    ids = top(np.where(np.repeat(mask, E // groups, axis=1), c, -np.inf), K)
    w = pick(s, ids)
    return s, ids, w / (w.sum(axis=-1, keepdims=True) + 1e-20) * scale


def deepseek_v4(z, bias, K, scale):
    s = np.sqrt(np.log1p(np.exp(z)))
    ids = top(s + bias, K)
    w = pick(s, ids)
    return s, ids, w / (w.sum(axis=-1, keepdims=True) + 1e-20) * scale


def gpt_oss(z, K):
    """First the K largest logits, then a softmax over these."""
    ids = top(z, K)
    return softmax(z), ids, softmax(pick(z, ids))


def softmax_top_k(z, K, normalise):
    s = softmax(z)
    ids = top(s, K)
    w = pick(s, ids)
    return s, ids, w / w.sum(axis=-1, keepdims=True) if normalise else w


def sinkhorn(z, K):
    T, E = z.shape
    cost, d1, change = np.exp(z), np.ones(E), 1.0
    rounds = 0
    while change >= 1e-4 and rounds < 100:
        d0 = 1 / (T * (cost @ d1))
        new = 1 / (E * (d0 @ cost))
        change, d1, rounds = np.abs(new - d1).mean(), new, rounds + 1
    s = softmax(z)
    ids = top(d0[:, None] * cost * d1, K)
    return s, ids, pick(s, ids)


def quantile(z, K):
    s = softmax(z)
    T, E = s.shape
    C = max(1, math.floor(T * K / E + 0.5))
    b = np.zeros(E)
    for _ in range(8):
        rows = -np.sort(-(s - b), axis=1)
        a = (rows[:, K - 1] + rows[:, K]) / 2
        columns = -np.sort(-(s - a[:, None]), axis=0)
        b = (columns[C - 1] + columns[C]) / 2
    ids = top(s - b, K)
    return s, ids, pick(s, ids)


def expert_choice(z, C):
    """Column by column: which tokens; then by token, best expert first, -1 for the rest."""
    s = softmax(z)
    T, E = s.shape
    taken = np.zeros((T, E), bool)
    for e in range(E):
        taken[top(s[:, e], C), e] = True
    order = top(np.where(taken, s, -1), E)
    used = pick(taken, order)
    return s, np.where(used, order, -1), np.where(used, pick(s, order), 0.0)


def drops(ids, w, E, capacity, policy):
    kept = np.ones(ids.shape, int)
    for e in range(E):
        t, k = np.nonzero(ids == e)
        order = np.lexsort((t, -w[t, k])) if policy == "probability" else np.arange(len(t))
        for lost in order[capacity:]:
            kept[t[lost], k[lost]] = 0
    return kept


def losses(z, q, ids, sequence):
    """Switch balance over the batch, the mean over sequences, z-loss, entropy of q."""
    T, E = z.shape
    K = ids.shape[1]

    def balance(rows):
        f = np.bincount(ids[rows].ravel(), minlength=E) / (len(rows) * K)
        return E * float(f @ q[rows].mean(axis=0))

    starts = range(0, T, sequence)
    lse = np.log(np.exp(z).sum(axis=1))
    return {"sequence": sequence, "balance_batch": balance(np.arange(T)),
            "balance_sequence": float(np.mean([balance(np.arange(a, min(a + sequence, T))) for a in starts])),
            "z_loss": float((lse ** 2).mean()), "entropy": float(-(q * np.log(q)).sum(axis=1).mean())}


def splitmix64(state):
    mask = (1 << 64) - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    x = state
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return state, x ^ (x >> 31)


def hash_ids(token, E, K, seed):
    """Draw K of the experts without replacement; the draw names a place in the list of those left."""
    state, x = splitmix64(seed)
    state = x ^ (token & 0xFFFFFFFF)
    left, ids = list(range(E)), []
    for _ in range(K):
        state, x = splitmix64(state)
        ids.append(left.pop(((x >> 32) * len(left)) >> 32))
    return ids


def bias_update(loads, speed):
    loads = np.array(loads, float)
    return speed * np.sign(loads.mean() - loads)


def short(x):
    return [float(f"{v:.9g}") for v in np.asarray(x, float).ravel()]


def case(name, z, result, sequence=3, **settings):
    s, ids, w = result
    out = {"name": name, "T": z.shape[0], "E": z.shape[1], "K": ids.shape[1], **settings,
           "z_thousandths": np.rint(z * 1000).astype(int).ravel().tolist(), "ids": ids.ravel().tolist(), "w": short(w)}
    if (ids >= 0).all():
        out.update(losses(z, s / s.sum(axis=1, keepdims=True), ids, sequence))
    return out


def cases():
    z = logits(4, 160)
    yield case("deepseek_v2", z, deepseek_v2(z, 6, 8, 3, 16.0), scoring="softmax", normalise=False, groups=8, groups_kept=3,
               group_score="max", scale=16.0)
    z, bias = logits(4, 256), np.round(rng.normal(0, 0.1, 256), 3).astype(np.float32).astype(float)
    yield case("deepseek_v3", z, deepseek_v3(z, bias, 8, 8, 4, 2.5), scoring="sigmoid", normalise=True, groups=8, groups_kept=4,
               group_score="top2", scale=2.5, bias=short(bias))
    z, bias = logits(3, 64), np.round(rng.normal(0, 0.1, 64), 3).astype(np.float32).astype(float)
    yield case("deepseek_v4", z, deepseek_v4(z, bias, 6, 1.5), scoring="sqrt_softplus", normalise=True, scale=1.5, bias=short(bias))
    z = logits(5, 32)
    yield case("gpt_oss", z, gpt_oss(z, 4), scoring="softmax_after_top_k", normalise=False)
    z = logits(3, 64)
    yield case("olmoe", z, softmax_top_k(z, 8, False), scoring="softmax", normalise=False)
    z = logits(3, 128)
    yield case("qwen3", z, softmax_top_k(z, 8, True), scoring="softmax", normalise=True)
    for K in (1, 2):
        z = logits(24, 6)
        yield case(f"sinkhorn_{K}", z, sinkhorn(z, K), scoring="softmax", normalise=False, choice="sinkhorn")
    z = logits(40, 8)
    yield case("quantile", z, quantile(z, 2), scoring="softmax", normalise=False, choice="quantile")
    z = logits(12, 4)
    out = case("expert_choice", z, expert_choice(z, 5), scoring="softmax", normalise=False, choice="expert", capacity_factor=0.8)
    yield {**out, "K": 2}
    z = (np.round(logits(20, 4), 3) + np.array([1.5, 0, 0, 0])).astype(np.float32).astype(float)
    for policy in ("probability", "position"):
        s, ids, w = softmax_top_k(z, 2, True)
        kept = drops(ids, w, 4, 10, policy)
        yield {**case(f"drop_{policy}", z, (s, ids, w * kept), scoring="softmax", normalise=True, capacity_factor=1.0, drop=policy),
               "kept": kept.ravel().tolist()}


def main():
    hashes = [{"token": t, "E": E, "K": K, "seed": seed, "ids": hash_ids(t, E, K, seed)}
              for t, E, K, seed in [(0, 16, 2, 1), (1, 16, 2, 1), (129279, 256, 6, 42), (77, 8, 8, 3), (5, 1, 1, 9),
                                    (2147483647, 1024, 64, 2**64 - 1)]]
    loads = [10, 0, 4, 2, 4]
    lines = ",\n".join(json.dumps(c, separators=(",", ":")) for c in cases())
    print('{"routers":[\n' + lines + '\n],\n"hash":' + json.dumps(hashes, separators=(",", ":")) + ',\n"bias":'
          + json.dumps({"loads": loads, "speed": 0.001, "bias": bias_update(loads, 0.001).tolist()}) + "}")


main()
