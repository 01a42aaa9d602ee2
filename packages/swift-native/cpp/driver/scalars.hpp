// What the kernels need beside arrays: the same for all parameters of a group that have taken as many steps.
#pragma once

#include "driver/rows.hpp"
#include "kernels/table.hpp"

namespace swift_native {

struct Scalars {
    union {
        AdamWScalars adamw;
        LionScalars lion;
        SgdScalars sgd;
    };
    std::uint32_t origin;        // counter of element 0 (driver/counter.hpp)
    std::uint32_t codes_origin;  // the same, for the 8-bit codes
};

// Precondition: step >= 1.
Scalars scalars_at(Rule rule, const Options& options, double grad_factor, double step);

}  // namespace swift_native
