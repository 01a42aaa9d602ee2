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

SWIFT_NATIVE_INLINE float load(float value) { return value; }

SWIFT_NATIVE_INLINE float load(BFloat16 value) {
    const uint32_t bits = static_cast<uint32_t>(value.bits) << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

SWIFT_NATIVE_INLINE void store(float& target, float value) { target = value; }

// Rounds to nearest, ties to even; a NaN stays a NaN.
SWIFT_NATIVE_INLINE void store(BFloat16& target, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint32_t rounded = (bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16;
    target.bits = static_cast<uint16_t>(value != value ? 0x7fc0U : rounded);
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
