// The kernels of one instruction set. A new kernel is one more field here and one more fill_NAME in table.cpp.
#pragma once

#include "kernels/adafactor.hpp"
#include "kernels/adamw.hpp"
#include "kernels/adamw16.hpp"
#include "kernels/adamw8.hpp"
#include "kernels/block8.hpp"
#include "kernels/convert.hpp"
#include "kernels/lion.hpp"
#include "kernels/norm.hpp"
#include "kernels/sgd.hpp"
#include "kernels/traffic.hpp"

namespace swift_native {

struct KernelTable {
    AdafactorKernels adafactor;
    AdamWKernels adamw;
    AdamW16Kernels adamw16;  // may be null
    AdamW8Kernels adamw8;    // may be null
    LionKernels lion;
    SgdKernels sgd;
    Block8Kernels block8;
    ConvertKernels convert;
    NormKernels norm;
    TrafficKernel traffic;
};

#define SWIFT_NATIVE_DECLARE_KERNELS(isa) \
    namespace kernels_##isa {             \
        KernelTable table();              \
    }
SWIFT_NATIVE_DECLARE_KERNELS(baseline)
SWIFT_NATIVE_DECLARE_KERNELS(v3)
SWIFT_NATIVE_DECLARE_KERNELS(v4)
#undef SWIFT_NATIVE_DECLARE_KERNELS

}  // namespace swift_native
