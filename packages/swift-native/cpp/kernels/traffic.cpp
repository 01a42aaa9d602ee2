// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/traffic.hpp"

#include "kernels/element.hpp"
#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

SWIFT_NATIVE_INLINE void pass(const Span& span, int64_t begin, int64_t end) {
    float* SWIFT_NATIVE_RESTRICT param = static_cast<float*>(span.param);
    const float* SWIFT_NATIVE_RESTRICT grad = span.grad;
    float* SWIFT_NATIVE_RESTRICT exp_avg = static_cast<float*>(span.states[0]);
    float* SWIFT_NATIVE_RESTRICT exp_avg_sq = static_cast<float*>(span.states[1]);
    for (int64_t i = begin; i < end; ++i) {
        const float g = grad[i];
        param[i] += g;
        exp_avg[i] += g;
        exp_avg_sq[i] += g;
    }
}

// Blocks and prefetches are those of AdamW, so that only the arithmetic differs.
void traffic(const Span& span, int64_t num_elements) {
    int64_t i = 0;
    for (; i + kBlock <= num_elements; i += kBlock) {
        prefetch_block<true, kBlock>(static_cast<const float*>(span.param), i + kAhead);
        prefetch_block<false, kBlock>(span.grad, i + kAhead);
        prefetch_block<true, kBlock>(static_cast<const float*>(span.states[0]), i + kAhead);
        prefetch_block<true, kBlock>(static_cast<const float*>(span.states[1]), i + kAhead);
        pass(span, i, i + kBlock);
    }
    pass(span, i, num_elements);
}

}  // namespace

void fill_traffic(KernelTable& table) { table.traffic = traffic; }

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
