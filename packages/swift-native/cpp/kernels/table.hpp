// The kernels of one instruction set. A new kernel is one more field here and one more fill_NAME in table.cpp.
#pragma once

#include "kernels/adamw.hpp"
#include "kernels/traffic.hpp"

namespace swift_native {

// Numbers of the element types; the Python side uses the same.
enum Dtype : int { kFloat32 = 0, kBFloat16 = 1, kNumDtypes = 2 };

struct KernelTable {
    AdamWKernel adamw[kNumDtypes][kNumDtypes][2];  // [parameter type][gradient type][amsgrad]
    TrafficKernel traffic;
};

#define SWIFT_NATIVE_DECLARE_KERNELS(isa) \
    namespace kernels_##isa {             \
    KernelTable table();                  \
    }
SWIFT_NATIVE_DECLARE_KERNELS(baseline)
SWIFT_NATIVE_DECLARE_KERNELS(v3)
SWIFT_NATIVE_DECLARE_KERNELS(v4)
#undef SWIFT_NATIVE_DECLARE_KERNELS

}  // namespace swift_native
