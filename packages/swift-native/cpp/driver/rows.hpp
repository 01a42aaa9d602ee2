// One parameter of a step as Python hands it over, and the options of its group.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/span.hpp"

namespace swift_native {

// How states lie in memory: float, bfloat16, or 8-bit codes. Numbers are those of the Python side.
enum class Storage : std::int64_t { kWide = 0, kHalf = 1, kCodes = 2 };

// What is done to each element.
enum class Rule : int { kAdamW = 0, kLion = 1, kSgd = 2, kMove = 3 };
constexpr int kNumRules = 4;

// Addresses are integers, and all fields have the same width; an address is 0 where there is nothing.
struct Row {
    std::int64_t param;
    std::int64_t grad;
    std::int64_t states[kMaxStates];
    std::int64_t scales[kMaxStates];  // of states in 8 bits
    std::int64_t compensation;        // of Kahan weights
    std::int64_t copy;                // bfloat16: receives the new weights, of float weights only
    std::int64_t step;                // one float: the number of steps taken so far
    std::int64_t num_elements;
    std::int64_t first_element;  // elements of the parameters before this one: the place in the random bits
    std::int64_t grad_dtype;     // a Dtype
    std::int64_t weights;        // a WeightFormat
    std::int64_t storage;        // a Storage
    std::int64_t group;          // index into the options
};

// The options of one parameter group; a rule reads those that it has.
struct Options {
    double lr;
    double beta1;
    double beta2;
    double eps;
    double weight_decay;
    double maximize;  // 0 or 1
    double momentum;
    double dampening;
    double nesterov;  // 0 or 1
    double seed;
};

template <typename T>
T* pointer(std::int64_t address) {
    return reinterpret_cast<T*>(static_cast<std::uintptr_t>(address));
}

// Returns null if the rows and options keep the preconditions of the kernels as far as can be seen from here (types,
// sizes, groups, no null address), else what is wrong.
const char* check_rows(Rule rule, const Row* rows, std::size_t num_rows, std::size_t num_groups);

}  // namespace swift_native
