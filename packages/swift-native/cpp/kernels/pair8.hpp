// Scales of blocks of roots and shares (kernels/block8.hpp), for kernel sources only.
#pragma once

#include "kernels/block8.hpp"
#include "kernels/element.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

constexpr uint32_t kInfinity = 0x7f800000U;
constexpr uint32_t kLeastStep = 12, kMostStep = 20;
constexpr uint32_t kTopBit = 19;               // a top is a multiple of 2^kTopBit
constexpr uint32_t kLeastTop = 0x10000000U;    // 255 steps of 2^20 below it are still a float
constexpr uint32_t kSpoiledRoots = 0xffffU;
constexpr uint32_t kSpoiledShares = 255;
constexpr uint32_t kShareBase = 871;           // ((127 - 18) << 3) - 1
constexpr uint32_t kMostShares = 254;
constexpr float kLargestShare = 127.0F;

// How the codes of a block of roots are spaced: code c stands for the bits first + (c << step).
// `first` is a multiple of 1 << step.
struct RootCodes {
    uint32_t first;
    uint32_t step;
    uint32_t scale;
};

// The only code of a block that is not finite is 1.
SWIFT_NATIVE_INLINE RootCodes roots_of(uint32_t scale) {
    const uint32_t step = (scale & 15U) + kLeastStep;
    if (scale == kSpoiledRoots) return {0x7fc00000U, 0, scale};
    return {((scale >> 4) << kTopBit) - (255U << step), step, scale};
}

SWIFT_NATIVE_INLINE uint32_t round_up(uint32_t bits, uint32_t unit) { return (bits + unit - 1U) & ~(unit - 1U); }

SWIFT_NATIVE_INLINE uint32_t num_bits(uint32_t number) {
    const double wide = static_cast<double>(static_cast<int32_t>(number));
    uint64_t bits;
    memcpy(&bits, &wide, sizeof bits);
    return number == 0 ? 0U : static_cast<uint32_t>(bits >> 52) - 1022U;
}

// `largest` and `smallest` are the bits of the block's largest root and of its smallest that is not 0, both finite.
SWIFT_NATIVE_INLINE RootCodes roots_between(uint32_t smallest, uint32_t largest) {
    const uint32_t near = round_up(largest, 1U << kTopBit);
    uint32_t top = near < kLeastTop ? kLeastTop : near;
    const uint32_t span = top - smallest;
    const uint32_t size = num_bits(span);
    uint32_t step = size < kLeastStep + 8U ? kLeastStep : size - 8U;
    step += span >> step > 253U ? 1U : 0U;
    step = step > kMostStep ? kMostStep : step;
    top = step == kMostStep ? round_up(top, 1U << kMostStep) : top;
    return {top - (255U << step), step, top >> kTopBit << 4 | (step - kLeastStep)};
}

SWIFT_NATIVE_INLINE uint32_t share_scale(uint32_t largest) {
    if (largest == 0) return 0;
    const uint32_t eighths = (largest + 0xfffffU) >> 20;
    const uint32_t scale = eighths <= kShareBase ? 1U : eighths - kShareBase;
    return scale > kMostShares ? kMostShares : scale;
}

// What one code of a share is worth.
SWIFT_NATIVE_INLINE float share_unit(uint32_t scale) {
    return scale == 0 ? 0.0F : float_of((scale + kShareBase) << 20) * (1.0F / kLargestShare);
}

// How many codes a share of 1 is.
SWIFT_NATIVE_INLINE float shares_in_one(uint32_t scale) {
    return scale == 0 ? 0.0F : kLargestShare / float_of((scale + kShareBase) << 20);
}

SWIFT_NATIVE_INLINE uint32_t load_root_scale(const uint8_t* scales, int64_t block) {
    return static_cast<uint32_t>(scales[2 * block]) | static_cast<uint32_t>(scales[2 * block + 1]) << 8;
}

SWIFT_NATIVE_INLINE void store_root_scale(uint8_t* scales, int64_t block, uint32_t scale) {
    scales[2 * block] = static_cast<uint8_t>(scale);
    scales[2 * block + 1] = static_cast<uint8_t>(scale >> 8);
}

// Marks a block that is not finite.
SWIFT_NATIVE_INLINE void spoil(const Pair8& pair, int64_t begin, int64_t size) {
    const int64_t block = begin / kBlock8;
    pair.share_scales[block] = static_cast<uint8_t>(kSpoiledShares);
    store_root_scale(pair.root_scales, block, kSpoiledRoots);
    for (int64_t i = begin; i < begin + size; ++i) {
        pair.shares[i] = 0;
        pair.roots[i] = 1;
    }
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
