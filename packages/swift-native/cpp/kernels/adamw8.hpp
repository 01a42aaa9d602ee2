// AdamW over whole blocks of 8-bit moments in one pass: what kernels/block8.hpp decodes, kernels/adamw.hpp updates and
// kernels/block8.hpp encodes, without going through memory between the three.
//
// The results are those of the three kernels one after the other, bit for bit. Each block is read twice at most, the
// second time from the first-level cache: scales are known only when all of a block has been updated. Codes are made by
// shifts and saturating arithmetic; nothing is looked up, and a root that the update needs is the one that is coded.
//
// Null where the plain kernels are to be used: it is written for AVX-512.
//
// Preconditions: those of kernels/span.hpp and kernels/block8.hpp; no amsgrad; `num_elements` is a multiple of kBlock8.
// The states of the span are not looked at; its `grad` is float, or it has a `narrow_grad` in bfloat16.
#pragma once

#include "kernels/adamw.hpp"
#include "kernels/block8.hpp"

namespace swift_native {

// Updates the first `num_elements` elements of `span`, whose counter is that of the weights' rounding; `counter` is that
// of the codes'.
using AdamW8Kernel = void (*)(const Span& span, const Pair8& pair, const AdamWScalars& scalars,
                              std::int64_t num_elements, std::uint32_t counter);

struct AdamW8Kernels {
    AdamW8Kernel update[kNumWeights][2];  // [weights][gradient is bfloat16]
};

}  // namespace swift_native
