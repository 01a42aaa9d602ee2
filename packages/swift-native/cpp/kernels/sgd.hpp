// Stochastic gradient descent over one run of elements, with momentum or without.
//
//     g    = grad_factor * grad + weight_decay * p     decay inside the gradient, as torch.optim.SGD has it
//     b    = momentum * b + (1 - dampening) * g        in the first step b = g
//     d    = b, or g + momentum * b with Nesterov's momentum
//     p   -= lr * d
//
// Without momentum d = g. Sutskever et al., 2013, with torch's placing of lr. The first step has retained = 0 and taken
// = 1, later ones retained = momentum and taken = 1 - dampening. Arithmetic is float; b in bfloat16 is rounded
// stochastically. State: b, none without momentum. Preconditions: kernels/span.hpp.
#pragma once

#include "kernels/span.hpp"

namespace swift_native {

struct SgdScalars {
    float grad_factor;
    float weight_decay;
    float retained;
    float taken;
    float from_grad;    // share of g in d: 0, or 1 with Nesterov's momentum
    float from_buffer;  // share of b in d: 1, or the momentum with Nesterov's
    float lr;
};

// Updates the first `num_elements` elements of `span`.
using SgdKernel = void (*)(const Span& span, const SgdScalars& scalars, std::int64_t num_elements);

struct SgdKernels {
    SgdKernel with_momentum[kNumWeights][kNumStateFormats];
    SgdKernel plain[kNumWeights];
};

}  // namespace swift_native
