// The formats of the weights, as policies of the elementwise kernels. For kernel sources only.
//
// A weight is read as float, computed with as float, and written back once a step.
#pragma once

#include "kernels/random.hpp"
#include "kernels/span.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

// float weights.
struct FloatWeights {
    using Element = float;
    static constexpr bool kRandom = false;
    static constexpr bool kCompensated = false;
};

// bfloat16 weights, rounded to nearest: a move below half a unit in the last place is lost.
struct NearestWeights {
    using Element = BFloat16;
    static constexpr bool kRandom = false;
    static constexpr bool kCompensated = false;
};

// bfloat16 weights, rounded up or down at random: small moves arrive on average.
struct StochasticWeights {
    using Element = BFloat16;
    static constexpr bool kRandom = true;
    static constexpr bool kCompensated = false;
};

// bfloat16 weights with what rounding took from them in a second bfloat16 (Kahan's compensation): 16 bits in all.
struct KahanWeights {
    using Element = BFloat16;
    static constexpr bool kRandom = false;
    static constexpr bool kCompensated = true;
};

// No weights: what is written is the move alone, as float. GaLore projects it back before a weight moves.
struct MoveOnly {
    using Element = float;
    static constexpr bool kRandom = false;
    static constexpr bool kCompensated = false;
};

template <typename Weights>
constexpr bool kIsMoveOnly = false;
template <>
constexpr bool kIsMoveOnly<MoveOnly> = true;

// Reads weight i, with what rounding took from it before.
template <typename Weights>
SWIFT_NATIVE_INLINE float load_weight(const typename Weights::Element* param, const BFloat16* compensation, int64_t i) {
    if (kIsMoveOnly<Weights>) return 0.0F;
    const float value = load(param[i]);
    return Weights::kCompensated ? value + load(compensation[i]) : value;
}

// Writes weight i. `random` is 0 for a NaN.
template <typename Weights>
SWIFT_NATIVE_INLINE void store_weight(typename Weights::Element* param, BFloat16* compensation, int64_t i, float value,
                                      uint32_t random) {
    if (Weights::kRandom) {
        store_stochastic(param[i], value, random);
    } else {
        store(param[i], value);
    }
    if (Weights::kCompensated) store(compensation[i], value - load(param[i]));
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
