// Between float and the 16-bit formats, over one run of elements.
//
//     widen       float from bfloat16 or float16, exact
//     narrow      bfloat16 from float, to nearest even; a NaN stays a NaN
//
// Preconditions: the arrays hold `num_elements` and do not overlap. No kernel allocates or throws.
#pragma once

#include <cstdint>

namespace swift_native {

using WidenKernel = void (*)(const void* narrow, float* wide, std::int64_t num_elements);
using NarrowKernel = void (*)(const float* wide, std::uint16_t* narrow, std::int64_t num_elements);

struct ConvertKernels {
    WidenKernel from_bfloat16;
    WidenKernel from_float16;
    NarrowKernel to_bfloat16;
};

}  // namespace swift_native
