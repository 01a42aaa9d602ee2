// Where the counters of the random bits begin (kernels/random.hpp).
#pragma once

#include <cstdint>

namespace swift_native {

// What the bits are for: two roundings of the same element in the same step must not share them.
enum class Purpose : std::uint64_t { kStep = 0, kCodes = 1 };

// SplitMix64: Steele, Lea and Flood, 2014.
inline std::uint64_t mixed(std::uint64_t x) {
    x += 0x9e3779b97f4a7c15ULL;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
    return x ^ (x >> 31);
}

// The counter of element 0 for one seed, step and purpose.
inline std::uint32_t counter_origin(std::uint64_t seed, std::uint64_t step, Purpose purpose) {
    const std::uint64_t key = mixed(mixed(mixed(seed) ^ step) ^ static_cast<std::uint64_t>(purpose));
    return static_cast<std::uint32_t>(key >> 32);
}

// The counter of element `index`; elements 2^32 apart share their bits.
inline std::uint32_t counter_of(std::uint32_t origin, std::int64_t index) {
    return origin + static_cast<std::uint32_t>(index) * 0x9e3779b9U;
}

}  // namespace swift_native
