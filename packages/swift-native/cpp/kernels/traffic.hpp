// The memory traffic of a float AdamW step with almost no arithmetic: the yardstick of benchmarks/native_adamw.py.
//
//     p += g,   m += g,   v += g          four arrays read, three of them written in place: 28 bytes an element
//
// Preconditions: kernels/span.hpp; all arrays are float, m and v are the first two states.
#pragma once

#include "kernels/span.hpp"

namespace swift_native {

// Passes over the first `num_elements` elements of `span`.
using TrafficKernel = void (*)(const Span& span, std::int64_t num_elements);

}  // namespace swift_native
