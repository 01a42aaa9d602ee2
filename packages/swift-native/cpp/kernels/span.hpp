// What the elementwise kernels (adamw, lion, sgd) take, and their common preconditions.
//
// The arrays hold at least the elements that the kernel is called for, do not overlap, and element i of each belongs to
// element i of the others. A kernel allocates nothing, throws nothing, and may run on disjoint runs from several
// threads.
#pragma once

#include <cstdint>

namespace swift_native {

// Slots of state that a rule may have.
constexpr int kMaxStates = 3;

// A run of elements of one parameter.
struct Span {
    void* param;                  // of the kernel's weight format
    std::uint16_t* compensation;  // bfloat16; null unless the weight format has one
    const float* grad;
    const std::uint16_t* narrow_grad;  // bfloat16; for the kernels that read no other, else unused
    void* states[kMaxStates];          // of the kernel's state format
    std::uint32_t counter;             // of the first element (kernels/random.hpp)
};

// Formats of weights and states that kernels are compiled for; the Python side uses the same numbers. A decoded state
// is float in a buffer, read from 8 bits.
enum WeightFormat : int { kFloatWeights, kNearestWeights, kStochasticWeights, kKahanWeights, kNumWeights };
enum StateFormat : int { kFloatStates, kBFloat16States, kDecodedStates, kNumStateFormats };

}  // namespace swift_native
