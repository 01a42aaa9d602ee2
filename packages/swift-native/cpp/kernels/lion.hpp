// Lion over one run of elements: the sign of an interpolated momentum.
//
//     g    = grad_factor * grad
//     u    = sign(m + (g - m) * (1 - beta1))           0 for 0; NaN for NaN
//     m   += (g - m) * (1 - beta2)
//     p    = p * decay - step_size * u                 decay = 1 - lr * weight_decay, step_size = lr
//
// Chen et al., 2023, arXiv:2302.06675, alg. 2. Arithmetic is float; m in bfloat16 is rounded stochastically.
// State: m. Preconditions: kernels/span.hpp.
#pragma once

#include "kernels/span.hpp"

namespace swift_native {

struct LionScalars {
    float grad_factor;
    float decay;
    float one_minus_beta1;
    float one_minus_beta2;
    float step_size;
};

// Updates the first `num_elements` elements of `span`.
using LionKernel = void (*)(const Span& span, const LionScalars& scalars, std::int64_t num_elements);

struct LionKernels {
    LionKernel update[kNumWeights][kNumStateFormats];
};

}  // namespace swift_native
