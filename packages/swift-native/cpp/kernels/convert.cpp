// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/convert.hpp"

#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

template <typename Narrow>
SWIFT_NATIVE_INLINE void widen_run(const Narrow* SWIFT_NATIVE_RESTRICT narrow, float* SWIFT_NATIVE_RESTRICT wide,
                                   int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) wide[i] = load(narrow[i]);
}

template <typename Narrow>
void widen(const void* narrow, float* wide, int64_t num_elements) {
    const Narrow* from = static_cast<const Narrow*>(narrow);
    int64_t i = 0;
    for (; i + kBlock <= num_elements; i += kBlock) {
        prefetch_block<false, kBlock>(from, i + 2 * kAhead);
        widen_run(from, wide, i, i + kBlock);
    }
    widen_run(from, wide, i, num_elements);
}

void narrow(const float* SWIFT_NATIVE_RESTRICT wide, uint16_t* SWIFT_NATIVE_RESTRICT to, int64_t num_elements) {
    for (int64_t i = 0; i < num_elements; ++i) {
        BFloat16 rounded;
        store(rounded, wide[i]);
        to[i] = rounded.bits;
    }
}

}  // namespace

void fill_convert(KernelTable& table) {
    table.convert.from_bfloat16 = widen<BFloat16>;
    table.convert.from_float16 = widen<Float16>;
    table.convert.to_bfloat16 = narrow;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
