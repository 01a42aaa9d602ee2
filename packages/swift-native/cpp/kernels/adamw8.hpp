// AdamW over whole blocks of 8-bit moments in one pass: what kernels/block8.hpp
// decodes, kernels/adamw.hpp updates and kernels/block8.hpp encodes, without
// going through memory between the three.
//
// The results are those of the three kernels one after the other, bit for bit.
// Each block is read twice at most, the second time from the first-level cache:
// the scale of a block is known only when all of it has been updated. Codes are
// made of the upper bits of a float by shifts and saturating arithmetic, 16 and
// 8 bits wide; nothing is looked up.
//
// Null where the plain kernels are to be used: it is written for AVX-512.
//
// Preconditions: those of kernels/span.hpp and kernels/block8.hpp; float
// weights and gradients, no amsgrad; `num_elements` is a multiple of kBlock8;
// the states of the span are codes.
#pragma once

#include "kernels/adamw.hpp"
#include "kernels/block8.hpp"

namespace swift_native {

// Updates the first `num_elements` elements of `span`, whose counter is that of
// the rounding of codes. `scales` are those of both moments; `encode_pair`
// encodes blocks that are not finite.
using AdamW8Kernel = void (*)(const Span& span, std::uint8_t* const scales[2], const AdamWScalars& scalars,
                              EncodePair8Kernel encode_pair, std::int64_t num_elements);

}  // namespace swift_native
