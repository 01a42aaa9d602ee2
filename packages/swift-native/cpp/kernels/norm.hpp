// What clipping needs of a gradient: the sum of its squares, and its multiple, over one run of elements.
//
//     sum_of_squares    sum of x_i^2, in double, in sixteen running sums by i mod 16 that are added in order
//     scale             x_i *= factor, computed in float and rounded to nearest
//
// The sum does not depend on the instruction set. Preconditions: the array holds `num_elements` of the type that the
// kernel is chosen for. No kernel allocates or throws.
#pragma once

#include <cstdint>

namespace swift_native {

// Element types of gradients; the Python side uses the same numbers.
enum Dtype : int { kFloat32 = 0, kBFloat16 = 1, kFloat16 = 2, kNumDtypes = 3 };

using SumOfSquaresKernel = double (*)(const void* values, std::int64_t num_elements);
using ScaleKernel = void (*)(void* values, std::int64_t num_elements, float factor);

struct NormKernels {
    SumOfSquaresKernel sum_of_squares[kNumDtypes];
    ScaleKernel scale[kNumDtypes];
};

}  // namespace swift_native
