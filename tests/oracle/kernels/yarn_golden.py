"""Golden numbers for RoPE with YaRN (Peng et al., 2023, arXiv 2309.00071), independent of our C++.

    python3 yarn_golden.py > ../../kernels/data/yarn_golden.json

Only the standard library is used.
"""
import json
import math

POSITIONS = [1, 77, 1000]

#        name                     width theta    factor context fast slow truncate mscale all_dim
CASES = [
    ("plain",                      16, 10000.0,  1.0,  4096, 32.0, 1.0, True,  0.0,   0.0),
    ("gpt-oss",                    64, 150000.0, 32.0, 4096, 32.0, 1.0, False, 0.0,   0.0),
    ("gpt-oss truncated",          64, 150000.0, 32.0, 4096, 32.0, 1.0, True,  0.0,   0.0),
    ("deepseek-v3",                64, 10000.0,  40.0, 4096, 32.0, 1.0, True,  1.0,   1.0),
    ("deepseek-v2",                64, 10000.0,  40.0, 4096, 32.0, 1.0, True,  0.707, 0.707),
    ("different magnitudes",       32, 10000.0,  4.0,  256,  32.0, 1.0, True,  1.0,   0.5),
    ("only mscale",                32, 10000.0,  4.0,  256,  32.0, 1.0, True,  0.8,   0.0),
    ("only mscale_all_dim",        32, 10000.0,  4.0,  256,  32.0, 1.0, False, 0.0,   0.8),
    ("range starts below zero",    16, 10000.0,  2.0,  64,   32.0, 1.0, True,  0.0,   0.0),
    ("range ends above the width", 8,  100.0,    3.0,  1e6,  32.0, 1.0, True,  0.0,   0.0),
    ("range of one point",         16, 10000.0,  8.0,  4096, 3.0,  3.0, False, 0.0,   0.0),
    ("range ends below zero",      16, 10000.0,  8.0,  2,    32.0, 4.0, True,  0.0,   0.0),
    ("narrow head",                2,  10000.0,  8.0,  128,  32.0, 1.0, True,  0.0,   0.0),
]


def get_mscale(factor, mscale=1.0):
    return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0


def attention_factor(factor, mscale, mscale_all_dim):
    if mscale and mscale_all_dim:
        return get_mscale(factor, mscale) / get_mscale(factor, mscale_all_dim)
    return get_mscale(factor)


def frequencies(width, theta, factor, context, fast, slow, truncate):
    extrapolated = [theta ** (-i / width) for i in range(0, width, 2)]
    if factor <= 1:
        return extrapolated

    def dimension_with(rotations):  # the inverse of: rotations = context / (2 pi theta^(2 dimension / width))
        return width / 2 * math.log(context / (2 * math.pi * rotations), theta)

    low, high = dimension_with(fast), dimension_with(slow)
    if truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    if low == high:
        high += 0.001
    result = []
    for i, plain in enumerate(extrapolated):
        interpolated = plain / factor
        ramp = min(1.0, max(0.0, (i - low) / (high - low)))
        result.append(ramp * interpolated + (1 - ramp) * plain)
    return result


def case(name, width, theta, factor, context, fast, slow, truncate, mscale, all_dim):
    frequency = frequencies(width, theta, factor, context, fast, slow, truncate)
    amplitude = attention_factor(factor, mscale, all_dim)
    softmax = get_mscale(factor, all_dim) ** 2 if all_dim else 1.0
    tables = [[[float("%.9g" % (amplitude * f(position * w))) for w in frequency] for f in (math.cos, math.sin)]
              for position in POSITIONS]
    return {"name": name, "width": width, "theta": theta, "factor": factor, "original_context": context,
            "beta_fast": fast, "beta_slow": slow, "truncate": truncate, "mscale": mscale, "mscale_all_dim": all_dim,
            "softmax_factor": softmax, "cos_sin": tables}


if __name__ == "__main__":
    lines = ",\n".join(json.dumps(case(*c)) for c in CASES)
    print('{"positions": %s, "cases": [\n%s\n]}' % (json.dumps(POSITIONS), lines))
