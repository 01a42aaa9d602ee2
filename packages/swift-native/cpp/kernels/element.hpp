// Element types of the kernels: how they are read as float and written back. For kernel sources only.
#pragma once

#include <stdint.h>
#include <string.h>

#if defined(_MSC_VER)
#define SWIFT_NATIVE_RESTRICT __restrict
#define SWIFT_NATIVE_INLINE static __forceinline
#else
#define SWIFT_NATIVE_RESTRICT __restrict__
#define SWIFT_NATIVE_INLINE static inline __attribute__((always_inline))
#endif

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

// The upper half of a float.
struct BFloat16 {
    uint16_t bits;
};

// IEEE 754 binary16.
struct Float16 {
    uint16_t bits;
};

SWIFT_NATIVE_INLINE uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

SWIFT_NATIVE_INLINE float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

SWIFT_NATIVE_INLINE float load(float value) { return value; }

SWIFT_NATIVE_INLINE float load(BFloat16 value) { return float_of(static_cast<uint32_t>(value.bits) << 16); }

// Exact; no denormal number is computed with, so that flushing them changes nothing.
SWIFT_NATIVE_INLINE float load(Float16 value) {
    const uint32_t sign = (static_cast<uint32_t>(value.bits) & 0x8000U) << 16;
    const uint32_t rest = (static_cast<uint32_t>(value.bits) & 0x7fffU) << 13;
    const uint32_t exponent = rest & 0x0f800000U;
    const uint32_t normal = rest + (exponent == 0x0f800000U ? 0x70000000U : 0x38000000U);
    const uint32_t small = bits_of(float_of(rest + 0x38800000U) - float_of(0x38800000U));
    return float_of(sign | (exponent == 0 ? small : normal));
}

SWIFT_NATIVE_INLINE void store(float& target, float value) { target = value; }

// Rounds to nearest, ties to even; a NaN stays a NaN.
SWIFT_NATIVE_INLINE void store(BFloat16& target, float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    target.bits = static_cast<uint16_t>(value != value ? 0x7fc0U : rounded);
}

// float16 to nearest even; infinity and NaN stay what they are.
SWIFT_NATIVE_INLINE void store(Float16& target, float value) {
    const uint32_t bits = bits_of(value);
    const uint32_t magnitude = bits & 0x7fffffffU;
    const uint32_t sign = bits >> 16 & 0x8000U;
    // Below 2^-14 the spacing is 2^-24: adding 1/2 leaves the multiple of it in the last bits.
    const uint32_t small = bits_of(float_of(magnitude) + 0.5F) - bits_of(0.5F);
    const uint32_t normal = (magnitude - 0x38000000U + 0xfffU + (magnitude >> 13 & 1U)) >> 13;
    uint32_t result = magnitude < 0x38800000U ? small : normal;
    result = magnitude >= 0x477ff000U ? 0x7c00U : result;
    result = magnitude > 0x7f800000U ? 0x7e00U : result;
    target.bits = static_cast<uint16_t>(sign | result);
}

SWIFT_NATIVE_INLINE void store_stochastic(float& target, float value, uint32_t) { target = value; }

// Rounds up with the probability that makes the mean exact; `random` is uniform in its lower 16 bits, the upper are 0.
// For a NaN `random` must be 0.
SWIFT_NATIVE_INLINE void store_stochastic(BFloat16& target, float value, uint32_t random) {
    target.bits = static_cast<uint16_t>((bits_of(value) + random) >> 16);
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
