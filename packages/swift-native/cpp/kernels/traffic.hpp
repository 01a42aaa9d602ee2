// The memory traffic of a float AdamW step with almost no arithmetic: the yardstick of benchmarks/native_adamw.py.
//
//     p += g,   m += g,   v += g          four arrays read, three of them written in place: 28 bytes an element
//
// Preconditions as in kernels/adamw.hpp; all arrays are float and there is no `max_exp_avg_sq`.
#pragma once

#include <cstdint>

#include "kernels/adamw.hpp"

namespace swift_native {

// Passes over the elements [begin, end).
using TrafficKernel = void (*)(const AdamWArrays& arrays, std::int64_t begin, std::int64_t end);

}  // namespace swift_native
