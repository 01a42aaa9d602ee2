// AdamW over one run of elements: decoupled weight decay, bias correction, optionally amsgrad.
//
//     g    = grad_sign * grad                          grad_sign is -1 to maximize, else 1
//     p   *= decay                                     decay = 1 - lr * weight_decay
//     m   += (g - m) * (1 - beta1)
//     v    = v * beta2 + (g * g) * (1 - beta2)
//     x    = max(x, v)                                 amsgrad only; else x stands for v
//     p   -= step_size * m / (sqrt(x) * root_scale + eps)
//
// with step_size = lr / (1 - beta1^t) and root_scale = 1 / sqrt(1 - beta2^t) for step t >= 1.
// Loshchilov and Hutter, 2019, arXiv:1711.05101, alg. 2; amsgrad: Reddi et al., 2018, arXiv:1904.09237.
//
// Arithmetic is float; a bfloat16 parameter is rounded to nearest even once, when it is written back. NaN and infinity
// propagate. No operation is fused, so a result depends neither on the instruction set nor on how elements are grouped.
//
// Preconditions: the arrays hold at least `end` elements of the type that the kernel was chosen for, do not overlap, and
// element i of each belongs to element i of the others; `max_exp_avg_sq` is null unless the kernel is an amsgrad one.
// A kernel allocates nothing, throws nothing, and may run on disjoint ranges from several threads at once.
#pragma once

#include <cstdint>

namespace swift_native {

// The arrays of one parameter: bfloat16 or float `param` and `grad`, float moments.
struct AdamWArrays {
    void* param;
    const void* grad;
    float* exp_avg;
    float* exp_avg_sq;
    float* max_exp_avg_sq;
};

// What is the same for every element of a parameter in one step.
struct AdamWScalars {
    float grad_sign;
    float decay;
    float one_minus_beta1;
    float beta2;
    float one_minus_beta2;
    float step_size;
    float root_scale;
    float eps;
};

// Updates the elements [begin, end).
using AdamWKernel = void (*)(const AdamWArrays& arrays, const AdamWScalars& scalars, std::int64_t begin, std::int64_t end);

}  // namespace swift_native
