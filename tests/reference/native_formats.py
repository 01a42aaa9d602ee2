"""The narrow formats of swift-native in plain NumPy: random bits, stochastic rounding, 8-bit blocks, and steps.

Written from the headers in packages/swift-native/cpp, one array operation at a time in float32, so that the kernels can
be compared bit for bit. bfloat16 is kept as float32 whose lower half is 0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

MASK64 = (1 << 64) - 1
BLOCK = 256


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


def fast_root(x: np.ndarray) -> np.ndarray:
    """The root of kernels/precision.hpp."""
    f = np.float32
    estimate = float_of(np.uint32(0x5F36E000) - (bits_of(x) >> np.uint32(1)))
    root = x * estimate
    h = root * estimate
    return root * (f(1.8808990) + h * (f(-1.2607571) + h * f(0.3798538)))


def encode(values: np.ndarray, added: np.ndarray, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return 8-bit codes and the scale of each block; `added` has 20 bits."""
    top = 127 if signed else 255
    codes, scales = np.zeros(values.size, np.uint8), np.zeros(-(-values.size // BLOCK), np.uint8)
    for block in range(scales.size):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        bits = bits_of(values[part]).astype(np.int64)
        magnitude = bits & 0x7FFFFFFF
        scale = max(int(magnitude.max()) >> 23, (top + 1) // 8 - 1)
        base = (scale + 1) * 8 - top
        smallest = 0 if signed else (magnitude != 0).astype(np.int64)
        code = np.maximum((magnitude + added[part]) // (1 << 20) - base, smallest)
        codes[part] = code | ((bits >> 24) & 0x80 if signed else 0)
        scales[block] = scale
    return codes, scales


def decode(codes: np.ndarray, scales: np.ndarray, signed: bool) -> np.ndarray:
    """Return the values of 8-bit codes."""
    top = 127 if signed else 255
    scale = np.repeat(scales.astype(np.int64), BLOCK)[: codes.size]
    magnitude = codes.astype(np.int64) & (0x7F if signed else 0xFF)
    bits = np.where(magnitude == 0, 0, (magnitude + (scale + 1) * 8 - top) << 20)
    if signed:
        bits |= (codes.astype(np.int64) & 0x80) << 24
    return np.where(scale == 255, np.float32(np.nan), float_of(bits))


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
        m = self.exp_avg + (grad - self.exp_avg) * f(1 - beta1)
        v = self.exp_avg_sq * f(beta2) + grad * grad * f(1 - beta2)
        root = np.sqrt(v) if self.moments == "fp32" else fast_root(v)
        denominator = root * f(1 / math.sqrt(1 - beta2**self.step_number)) + f(self.eps)
        before = self.param + self.compensation if self.rounding == "kahan" else self.param
        moved = before * f(1 - self.lr * self.weight_decay)
        moved = moved - f(self.lr / (1 - beta1**self.step_number)) * m / denominator
        word = words(self.seed, self.step_number, 0, self.first, grad.size)
        self._keep_moments(m, v, word)
        self._keep_weights(moved, word)

    def _keep_moments(self, m: np.ndarray, v: np.ndarray, word: np.ndarray) -> None:
        if self.moments == "bf16":
            m, v = stochastic(m, word & 0xFFFF), stochastic(v, word >> 16)
        if self.moments == "8bit":
            added = words(self.seed, self.step_number, 1, self.first, m.size) >> 12
            m = decode(*encode(m, added, signed=True), signed=True)
            v = decode(*encode(v, added, signed=False), signed=False)
        self.exp_avg, self.exp_avg_sq = m, v

    def _keep_weights(self, moved: np.ndarray, word: np.ndarray) -> None:
        if self.rounding == "stochastic":
            self.param = stochastic(moved, word >> 8 & 0xFFFF)
        elif self.rounding is not None:
            self.param = nearest(moved)
            self.compensation = nearest(moved - self.param) if self.rounding == "kahan" else self.compensation
        else:
            self.param = moved
