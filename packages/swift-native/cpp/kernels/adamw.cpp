// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/adamw.hpp"

#include <math.h>

#include "kernels/element.hpp"
#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

template <typename Param, typename Grad, bool kAmsgrad>
SWIFT_NATIVE_INLINE void update(const AdamWArrays& arrays, const AdamWScalars& s, std::int64_t begin, std::int64_t end) {
    Param* SWIFT_NATIVE_RESTRICT param = static_cast<Param*>(arrays.param);
    const Grad* SWIFT_NATIVE_RESTRICT grad = static_cast<const Grad*>(arrays.grad);
    float* SWIFT_NATIVE_RESTRICT exp_avg = arrays.exp_avg;
    float* SWIFT_NATIVE_RESTRICT exp_avg_sq = arrays.exp_avg_sq;
    float* SWIFT_NATIVE_RESTRICT max_exp_avg_sq = arrays.max_exp_avg_sq;
    for (std::int64_t i = begin; i < end; ++i) {
        const float g = s.grad_sign * load(grad[i]);
        const float m = exp_avg[i] + (g - exp_avg[i]) * s.one_minus_beta1;
        const float v = exp_avg_sq[i] * s.beta2 + (g * g) * s.one_minus_beta2;
        exp_avg[i] = m;
        exp_avg_sq[i] = v;
        float largest = v;
        if (kAmsgrad) {
            // A NaN in either stays a NaN.
            const float before = max_exp_avg_sq[i];
            largest = before >= v || before != before ? before : v;
            max_exp_avg_sq[i] = largest;
        }
        const float denominator = sqrtf(largest) * s.root_scale + s.eps;
        store(param[i], load(param[i]) * s.decay - s.step_size * m / denominator);
    }
}

template <typename Param, typename Grad, bool kAmsgrad>
void adamw(const AdamWArrays& arrays, const AdamWScalars& scalars, std::int64_t begin, std::int64_t end) {
    const AdamWScalars s = scalars;
    std::int64_t i = begin;
    for (; i + kBlock <= end; i += kBlock) {
        prefetch_block<true, kBlock>(static_cast<const Param*>(arrays.param), i + kAhead);
        prefetch_block<false, kBlock>(static_cast<const Grad*>(arrays.grad), i + kAhead);
        prefetch_block<true, kBlock>(arrays.exp_avg, i + kAhead);
        prefetch_block<true, kBlock>(arrays.exp_avg_sq, i + kAhead);
        if (kAmsgrad) {
            prefetch_block<true, kBlock>(arrays.max_exp_avg_sq, i + kAhead);
        }
        update<Param, Grad, kAmsgrad>(arrays, s, i, i + kBlock);
    }
    update<Param, Grad, kAmsgrad>(arrays, s, i, end);
}

}  // namespace

void fill_adamw(KernelTable& table) {
    table.adamw[kFloat32][kFloat32][0] = adamw<float, float, false>;
    table.adamw[kFloat32][kFloat32][1] = adamw<float, float, true>;
    table.adamw[kFloat32][kBFloat16][0] = adamw<float, BFloat16, false>;
    table.adamw[kFloat32][kBFloat16][1] = adamw<float, BFloat16, true>;
    table.adamw[kBFloat16][kFloat32][0] = adamw<BFloat16, float, false>;
    table.adamw[kBFloat16][kFloat32][1] = adamw<BFloat16, float, true>;
    table.adamw[kBFloat16][kBFloat16][0] = adamw<BFloat16, BFloat16, false>;
    table.adamw[kBFloat16][kBFloat16][1] = adamw<BFloat16, BFloat16, true>;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
