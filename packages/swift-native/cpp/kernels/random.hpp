// Counter-based random bits: a word depends on a counter and on nothing else. For kernel sources only.
//
// Element i of a run has the counter `first + i * kCounterStep`; the driver makes `first` of the seed, the step, the
// purpose and the place of the run among all parameters (driver/counter.hpp). So the bits are the same whoever computes
// them, in whatever order, before and after a resume. Multiplying by the golden ratio spreads neighbours, one more
// multiplication between two shifts mixes the lower bits with the upper.
#pragma once

#include "element.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

constexpr uint32_t kCounterStep = 0x9e3779b9U;

SWIFT_NATIVE_INLINE uint32_t random_word(uint32_t counter) {
    uint32_t word = counter ^ (counter >> 15);
    word *= 0xd168aaadU;
    return word ^ (word >> 15);
}

// The uniform 16 bits for each of three roundings of one element. Those of the weight share half of theirs with each of
// the others, but never both upper halves, so that the roundings are independent to 2^-8.
SWIFT_NATIVE_INLINE uint32_t for_first_state(uint32_t word) { return word & 0xffffU; }
SWIFT_NATIVE_INLINE uint32_t for_second_state(uint32_t word) { return word >> 16; }
SWIFT_NATIVE_INLINE uint32_t for_weight(uint32_t word) { return word >> 8 & 0xffffU; }

// Four elements that round their codes share a word, and so do four that round the weights beside codes, each with its
// bytes turned: of a run of kTurned elements i and i + 16 have words turned by 16 bits, i + 32 and i + 48 by 8 and by 24.
// What rounds one state of each is independent to 2^-8.
constexpr int64_t kTurned = 64;
constexpr int64_t kTurnedAlike = 16;

SWIFT_NATIVE_INLINE uint32_t turned(uint32_t word, uint32_t bits) { return word << bits | word >> (32 - bits); }

// The words of the run that begins at `counter`.
SWIFT_NATIVE_INLINE void turned_words(uint32_t counter, uint32_t* SWIFT_NATIVE_RESTRICT words) {
    for (uint32_t i = 0; i < kTurnedAlike; ++i) words[i] = random_word(counter + i * kCounterStep);
    for (int64_t i = 0; i < kTurnedAlike; ++i) words[i + kTurnedAlike] = turned(words[i], 16);
    for (int64_t i = 0; i < kTurnedAlike; ++i) words[i + 2 * kTurnedAlike] = turned(words[i], 8);
    for (int64_t i = 0; i < kTurnedAlike; ++i) words[i + 3 * kTurnedAlike] = turned(words[i], 24);
}

SWIFT_NATIVE_INLINE uint32_t counter_at(uint32_t first, int64_t i) {
    return first + static_cast<uint32_t>(i) * kCounterStep;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
