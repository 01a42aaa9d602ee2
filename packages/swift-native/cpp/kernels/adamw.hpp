// AdamW over one run of elements: decoupled weight decay, bias correction, optionally amsgrad.
//
//     g    = grad_factor * grad                        -1 to maximize, and what unscales and clips the gradient
//     p   *= decay                                     decay = 1 - lr * weight_decay
//     m   += (g - m) * (1 - beta1)
//     v    = v * beta2 + (g * g) * (1 - beta2)
//     x    = max(x, v)                                 amsgrad only; else x stands for v
//     p   -= step_size * m / (sqrt(x) * root_scale + eps)
//
// with step_size = lr / (1 - beta1^t) and root_scale = 1 / sqrt(1 - beta2^t) for step t >= 1. So it is done with float
// states. With narrower ones, where arithmetic and not memory takes the time, the same in fewer operations:
//
//     m    = m * beta1 + grad * first_factor           first_factor  = grad_factor * (1 - beta1)
//     v    = v * beta2 + (grad * second_factor)^2      second_factor = grad_factor * sqrt(1 - beta2)
//     p   -= fast_step_size * m / (sqrt(x) + fast_eps)
//
// with fast_step_size = step_size / root_scale and fast_eps = eps / root_scale.
// Loshchilov and Hutter, 2019, arXiv:1711.05101, alg. 2; amsgrad: Reddi et al., 2018, arXiv:1904.09237.
//
// Arithmetic is float and each weight is rounded once, when it is written back. NaN and infinity propagate. With float
// states the root is IEEE's, with narrower ones the fast one of kernels/precision.hpp. m and v in bfloat16 are rounded
// stochastically, because v * beta2 is nearer to v than half a unit in its last place; x is rounded to nearest, because
// it never falls. No operation is fused, so a result depends neither on the instruction set nor on how elements are
// grouped.
//
// States: m, v and, with amsgrad, x. Preconditions: kernels/span.hpp.
#pragma once

#include "kernels/span.hpp"

namespace swift_native {

// What is the same for every element of a parameter in one step.
struct AdamWScalars {
    float grad_factor;
    float decay;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
    float step_size;
    float root_scale;
    float eps;
    float beta1;
    float first_factor;
    float second_factor;
    float fast_step_size;
    float fast_eps;
};

// Updates the first `num_elements` elements of `span`.
using AdamWKernel = void (*)(const Span& span, const AdamWScalars& scalars, std::int64_t num_elements);

struct AdamWKernels {
    AdamWKernel update[kNumWeights][kNumStateFormats][2];  // [weights][states][amsgrad]
    AdamWKernel move[kNumStateFormats][2];                 // p counts as 0: `param` receives the move, as float
};

}  // namespace swift_native
