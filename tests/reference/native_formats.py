"""The narrow formats of swift-native in plain NumPy: random bits, stochastic rounding, 8-bit blocks, and steps.

Written from the headers in packages/swift-native/cpp, one array operation at a time in float32, so that the kernels can
be compared bit for bit. bfloat16 is kept as float32 whose lower half is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

MASK64 = (1 << 64) - 1
BLOCK = 128


def mixed(x: int) -> int:
    """SplitMix64."""
    x = (x + 0x9E3779B97F4A7C15) & MASK64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK64
    return x ^ (x >> 31)


def words(seed: int, step: int, purpose: int, first: int, size: int) -> np.ndarray:
    """Return the random words of the elements [first, first + size)."""
    origin = mixed(mixed(mixed(seed) ^ step) ^ purpose) >> 32
    index = np.arange(first, first + size, dtype=np.uint64)
    counter = ((origin + index * np.uint64(0x9E3779B9)) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    word = counter ^ (counter >> np.uint32(15))
    word = (word.astype(np.uint64) * np.uint64(0xD168AAAD) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    return word ^ (word >> np.uint32(15))


def turned_words(seed: int, step: int, purpose: int, first: int, size: int) -> np.ndarray:
    """Return the words of elements that share them in fours: of 64 the words of 16, turned by 0, 16, 8 and 24 bits."""
    full = words(seed, step, purpose, first, -(-size // 64) * 64).reshape(-1, 4, 16)
    turns = [full[:, 0] << np.uint32(bits) | full[:, 0] >> np.uint32((32 - bits) % 32) for bits in (0, 16, 8, 24)]
    return np.stack(turns, axis=1).reshape(-1)[:size]


def bits_of(values: np.ndarray) -> np.ndarray:
    """Return the bits of float32 values."""
    return values.astype(np.float32).view(np.uint32)


def float_of(bits: np.ndarray) -> np.ndarray:
    """Return float32 values of the given bits."""
    return bits.astype(np.uint32).view(np.float32)


def nearest(values: np.ndarray) -> np.ndarray:
    """Round to bfloat16, ties to even."""
    bits = bits_of(values).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16 << 16
    return float_of(np.where(np.isnan(values), 0x7FC00000, rounded))


def stochastic(values: np.ndarray, random: np.ndarray) -> np.ndarray:
    """Round to bfloat16 with 16 random bits."""
    return float_of((bits_of(values).astype(np.uint64) + random) >> 16 << 16)


def root_and_inverse(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The root of kernels/precision.hpp and its inverse."""
    f = np.float32
    estimate = float_of(np.uint32(0x5F36E000) - (bits_of(x) >> np.uint32(1)))
    root = x * estimate
    h = root * estimate
    factor = f(1.8808990) + h * (f(-1.2607571) + h * f(0.3798538))
    return root * factor, np.where(x == 0, f(0), estimate * factor)


def fast_root(x: np.ndarray) -> np.ndarray:
    """The root of kernels/precision.hpp."""
    return root_and_inverse(x)[0]


def blocks(size: int) -> list[slice]:
    """Return the blocks of an array."""
    return [slice(begin, begin + BLOCK) for begin in range(0, size, BLOCK)]


def lone(values: np.ndarray, word: np.ndarray) -> np.ndarray:
    """Return what lone states become: three bits of the mantissa, fifteen octaves."""
    kept = np.zeros_like(values)
    for part in blocks(values.size):
        bits = bits_of(values[part]).astype(np.int64)
        magnitude = bits & 0x7FFFFFFF
        base = (max(int(magnitude.max()) >> 23, 15) + 1) * 8 - 127
        code = np.maximum((magnitude + (word[part] >> 12)) // (1 << 20) - base, 0)
        kept[part] = float_of(np.where(code == 0, 0, (code + base) << 20) | (bits & 0x80000000))
    return kept


def roots_kept(roots: np.ndarray, word: np.ndarray) -> np.ndarray:
    """Return what the roots of one block become."""
    bits = bits_of(roots).astype(np.int64)
    if not bits.any():
        return np.zeros_like(roots)
    smallest = int(bits[bits != 0].min())
    for step in range(12, 21):
        unit = 1 << max(step, 19)
        top = max(-(-int(bits.max()) // unit) * unit, 0x10000000)
        if (top - smallest) // (1 << step) <= 253:
            break
    first = top - 255 * (1 << step)
    turned = (word << np.uint32(16) | word >> np.uint32(16)).astype(np.int64)
    code = np.maximum((bits + (~turned & ((1 << step) - 1)) - first) // (1 << step), 1)
    return float_of(np.where(bits == 0, 0, first + code * (1 << step)))


def shares_kept(shares: np.ndarray, word: np.ndarray) -> np.ndarray:
    """Return what the shares of one block become."""
    f = np.float32
    largest = int((bits_of(shares) & np.uint32(0x7FFFFFFF)).max())
    if largest == 0:
        return np.zeros_like(shares)
    eighths = min(max(-(-largest // (1 << 20)), 872), 871 + 254)
    size = float_of(np.array([eighths << 20]))[0]
    offset = float_of(np.uint32(0x43000000) | (word & np.uint32(0xFFFF)))
    code = np.minimum((shares * (f(127) / size) + offset).astype(np.int64), 255) - 128
    return code.astype(f) * (size * f(1 / 127))


def pair(m: np.ndarray, v: np.ndarray, word: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what both moments become: roots of the second, and the first as shares of them."""
    roots, inverse = root_and_inverse(v)
    shares = m * inverse
    first, second = np.zeros_like(m), np.zeros_like(v)
    for part in blocks(m.size):
        if np.isfinite(roots[part]).all() and np.isfinite(shares[part]).all():
            kept = roots_kept(roots[part], word[part])
            first[part], second[part] = shares_kept(shares[part], word[part]) * kept, kept * kept
        else:
            first[part] = second[part] = np.nan
    return first, second


@dataclass
class NarrowAdamW:
    """AdamW over one flat parameter with narrow weights and moments; all options by name."""

    param: np.ndarray
    moments: str
    rounding: str | None
    lr: float
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.01
    seed: int = 0
    first: int = 0
    step_number: int = 0
    exp_avg: np.ndarray = field(init=False)
    exp_avg_sq: np.ndarray = field(init=False)
    compensation: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.exp_avg, self.exp_avg_sq, self.compensation = (np.zeros_like(self.param) for _ in range(3))

    def step(self, grad: np.ndarray) -> None:
        """Take a step; `grad` is float32."""
        f = np.float32
        self.step_number += 1
        beta1, beta2 = self.betas
        root_share = math.sqrt(1 - beta2**self.step_number)
        step_size = self.lr / (1 - beta1**self.step_number)
        if self.moments == "fp32":
            m = self.exp_avg + (grad - self.exp_avg) * f(1 - beta1)
            v = self.exp_avg_sq * f(beta2) + grad * grad * f(1 - beta2)
            move = f(step_size) * m / (np.sqrt(v) * f(1 / root_share) + f(self.eps))
        else:
            m = self.exp_avg * f(beta1) + grad * f(1 - beta1)
            v = self.exp_avg_sq * f(beta2) + np.square(grad * f(math.sqrt(1 - beta2)))
            move = f(step_size * root_share) * m / (fast_root(v) + f(self.eps * root_share))
        before = self.param + self.compensation if self.rounding == "kahan" else self.param
        moved = before * f(1 - self.lr * self.weight_decay) - move
        word = words(self.seed, self.step_number, 0, self.first, grad.size)
        self._keep_moments(m, v, word)
        if self.moments == "8bit":
            word = turned_words(self.seed, self.step_number, 0, self.first, grad.size)
        self._keep_weights(moved, word)

    def _keep_moments(self, m: np.ndarray, v: np.ndarray, word: np.ndarray) -> None:
        if self.moments == "bf16":
            m, v = stochastic(m, word & 0xFFFF), stochastic(v, word >> 16)
        if self.moments == "8bit":
            m, v = pair(m, v, turned_words(self.seed, self.step_number, 1, self.first, m.size))
        self.exp_avg, self.exp_avg_sq = m, v

    def _keep_weights(self, moved: np.ndarray, word: np.ndarray) -> None:
        if self.rounding == "stochastic":
            self.param = stochastic(moved, word >> 8 & 0xFFFF)
        elif self.rounding is not None:
            self.param = nearest(moved)
            self.compensation = nearest(moved - self.param) if self.rounding == "kahan" else self.compensation
        else:
            self.param = moved
