// AdamW with moments in bfloat16: kernels/adamw.hpp with bfloat16 states and without amsgrad, for runs of whole groups,
// and for gradients in bfloat16 as they are.
//
// The results are those of that kernel, bit for bit. A vector of 32 numbers in bfloat16 is read as two of 16: the lower
// halves of its words shifted up, and the upper halves as they stand; one operation each, and as many back.
//
// Null where the plain kernel is to be used: it is written for AVX-512.
//
// Preconditions: those of kernels/span.hpp; `num_elements` is a multiple of kGroup16; the `grad` of the span is float,
// or it has a `narrow_grad` in bfloat16.
#pragma once

#include "kernels/adamw.hpp"

namespace swift_native {

constexpr std::int64_t kGroup16 = 64;

struct AdamW16Kernels {
    AdamWKernel update[kNumWeights][2];  // [weights][gradient is bfloat16]
};

}  // namespace swift_native
