"""Golden numbers for the probe statistics from scipy and statsmodels, independent of our C++.

    python3 -m venv v && v/bin/pip install scipy statsmodels && v/bin/python paired_golden.py > ../../probes/data/paired_golden.json
"""
import itertools
import json
import math

import numpy as np
from scipy.stats import binom, norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.proportion import proportion_confint

rng = np.random.default_rng(1)


def wilson_cases():
    cases = [(0, 50), (3, 3), (1359, 1360), (0, 1), (1, 1), (17, 20), (850, 1000)]
    cases += [(int(rng.integers(0, n + 1)), int(n)) for n in rng.integers(1, 400, 20)]
    out = []
    for k, n in cases:
        low, high = proportion_confint(k, n, method="wilson")
        out.append({"k": k, "n": n, "low": float(low), "high": float(high)})
    return out


def newcombe10(a, b, c, d):
    """Newcombe 1998, Statistics in Medicine 17:2635, method 10, from the paper's formulas."""
    n = a + b + c + d
    p1, p2 = (a + b) / n, (a + c) / n
    l1, u1 = proportion_confint(a + b, n, method="wilson")
    l2, u2 = proportion_confint(a + c, n, method="wilson")
    product = (a + b) * (c + d) * (a + c) * (b + d)
    num = a * d - b * c
    if num > 0:
        num = max(num - n / 2, 0)
    phi = 0.0 if product == 0 else num / math.sqrt(product)
    low = (p1 - p2) - math.sqrt(max(0, (p1 - l1) ** 2 - 2 * phi * (p1 - l1) * (u2 - p2) + (u2 - p2) ** 2))
    high = (p1 - p2) + math.sqrt(max(0, (u1 - p1) ** 2 - 2 * phi * (u1 - p1) * (p2 - l2) + (p2 - l2) ** 2))
    return low, high


def pair_cases():
    cases = [(36, 12, 2, 0), (0, 0, 0, 5), (5, 0, 0, 0), (20, 25, 0, 5), (19, 22, 0, 9), (25, 23, 1, 1), (3, 7, 9, 30), (0, 6, 0, 0), (0, 5, 0, 11)]
    cases += [tuple(int(x) for x in rng.integers(0, 40, 4)) for _ in range(20)]
    out = []
    for a, b, c, d in cases:
        if a + b + c + d == 0:
            continue
        exact = mcnemar([[a, b], [c, d]], exact=True).pvalue if b + c else 1.0
        k, n = min(b, c), b + c
        mid = 1.0 if n == 0 else min(1.0, 2 * binom.cdf(k, n, 0.5) - binom.pmf(k, n, 0.5))
        low, high = newcombe10(a, b, c, d)
        out.append({"both": a, "only_first": b, "only_second": c, "neither": d, "p": float(min(1, exact)), "mid_p": float(mid),
                    "difference": (b - c) / (a + b + c + d), "low": float(low), "high": float(high)})
    return out


def power(n, p10, p01, alpha):
    """Sum of the trinomial probability over every (b, c) that the exact test rejects."""
    total = 0.0
    for b in range(n + 1):
        for c in range(n + 1 - b):
            p = 1.0 if b == c else min(1.0, 2 * binom.cdf(min(b, c), b + c, 0.5))
            if p > alpha:
                continue
            log = math.lgamma(n + 1) - math.lgamma(b + 1) - math.lgamma(c + 1) - math.lgamma(n - b - c + 1)
            log += b * math.log(p10) + c * math.log(p01) + (n - b - c) * math.log(1 - p10 - p01)
            total += math.exp(log)
    return total


def power_cases():
    cases = [(n, d, 0.03, alpha) for n in (16, 24, 30, 50) for d, alpha in ((0.08, .05), (0.13, .05), (0.23, .05), (0.13, .005), (0.23, .005))]
    cases += [(30, 0.33, 0.03, 0.05), (24, 0.38, 0.03, 0.05), (40, 0.2, 0.2, 0.05)]
    return [{"n": n, "p10": p10, "p01": p01, "alpha": alpha, "power": power(n, p10, p01, alpha)} for n, p10, p01, alpha in cases]


def holm_cases():
    sets = [[.01, .04, .03, .005], [.5], [.2, .2, .2], [1, 0, .5], list(map(float, rng.random(12)))]
    return [{"p": s, "adjusted": [float(x) for x in multipletests(s, method="holm")[1]]} for s in sets]


def sign_flip(d):
    d = [x for x in d if x]
    total = abs(sum(d)) - 1e-9
    hits = sum(abs(sum(s * x for s, x in zip(signs, d))) >= total for signs in itertools.product((1, -1), repeat=len(d)))
    return hits / 2 ** len(d)


def sign_flip_cases():
    sets = [[1 / 3, 1 / 3, -1 / 3, 0, 2 / 3], [1, 1, 1, 1, 1, 1], [.2, -.2], list(map(float, np.round(rng.normal(.3, 1, 11), 2)))]
    return [{"d": s, "p": sign_flip(s)} for s in sets]


assert abs(norm.ppf(.975) - 1.959963984540054) < 1e-15
print(json.dumps({"wilson": wilson_cases(), "pairs": pair_cases(), "power": power_cases(), "holm": holm_cases(), "sign_flip": sign_flip_cases()}, indent=1))
