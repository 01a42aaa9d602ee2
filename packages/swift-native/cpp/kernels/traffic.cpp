// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/traffic.hpp"

#include "kernels/element.hpp"
#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

SWIFT_NATIVE_INLINE void pass(const AdamWArrays& arrays, std::int64_t begin, std::int64_t end) {
    float* SWIFT_NATIVE_RESTRICT param = static_cast<float*>(arrays.param);
    const float* SWIFT_NATIVE_RESTRICT grad = static_cast<const float*>(arrays.grad);
    float* SWIFT_NATIVE_RESTRICT exp_avg = arrays.exp_avg;
    float* SWIFT_NATIVE_RESTRICT exp_avg_sq = arrays.exp_avg_sq;
    for (std::int64_t i = begin; i < end; ++i) {
        const float g = grad[i];
        param[i] += g;
        exp_avg[i] += g;
        exp_avg_sq[i] += g;
    }
}

// Blocks and prefetches are those of AdamW, so that only the arithmetic differs.
void traffic(const AdamWArrays& arrays, std::int64_t begin, std::int64_t end) {
    std::int64_t i = begin;
    for (; i + kBlock <= end; i += kBlock) {
        prefetch_block<true, kBlock>(static_cast<const float*>(arrays.param), i + kAhead);
        prefetch_block<false, kBlock>(static_cast<const float*>(arrays.grad), i + kAhead);
        prefetch_block<true, kBlock>(arrays.exp_avg, i + kAhead);
        prefetch_block<true, kBlock>(arrays.exp_avg_sq, i + kAhead);
        pass(arrays, i, i + kBlock);
    }
    pass(arrays, i, end);
}

}  // namespace

void fill_traffic(KernelTable& table) { table.traffic = traffic; }

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
