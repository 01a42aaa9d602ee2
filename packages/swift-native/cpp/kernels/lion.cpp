// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/lion.hpp"

#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"
#include "kernels/weights.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

SWIFT_NATIVE_INLINE float sign_of(float x) {
    const float one = float_of((bits_of(x) & 0x80000000U) | 0x3f800000U);
    return x < 0.0F || x > 0.0F ? one : x;
}

template <typename Weights, typename State>
SWIFT_NATIVE_INLINE void update(const Span& span, const LionScalars& s, int64_t begin, int64_t end) {
    using Param = typename Weights::Element;
    Param* SWIFT_NATIVE_RESTRICT param = static_cast<Param*>(span.param);
    BFloat16* SWIFT_NATIVE_RESTRICT compensation = reinterpret_cast<BFloat16*>(span.compensation);
    const float* SWIFT_NATIVE_RESTRICT grad = span.grad;
    State* SWIFT_NATIVE_RESTRICT exp_avg = static_cast<State*>(span.states[0]);
    for (int64_t i = begin; i < end; ++i) {
        const float g = s.grad_factor * grad[i];
        const float m = load(exp_avg[i]);
        const float away = g - m;
        const float direction = sign_of(m + away * s.one_minus_beta1);
        const float moved = load_weight<Weights>(param, compensation, i) * s.decay - s.step_size * direction;
        const uint32_t word = moved == moved ? random_word(counter_at(span.counter, i)) : 0U;
        store_stochastic(exp_avg[i], m + away * s.one_minus_beta2, for_first_state(word));
        store_weight<Weights>(param, compensation, i, moved, for_weight(word));
    }
}

template <typename Weights, typename State>
void lion(const Span& span, const LionScalars& scalars, int64_t num_elements) {
    const LionScalars s = scalars;
    int64_t i = 0;
    for (; i + kBlock <= num_elements; i += kBlock) {
        prefetch_block<true, kBlock>(static_cast<const typename Weights::Element*>(span.param), i + kAhead);
        prefetch_block<false, kBlock>(span.grad, i + kAhead);
        prefetch_block<true, kBlock>(static_cast<const State*>(span.states[0]), i + kAhead);
        if (Weights::kCompensated) prefetch_block<true, kBlock>(span.compensation, i + kAhead);
        update<Weights, State>(span, s, i, i + kBlock);
    }
    update<Weights, State>(span, s, i, num_elements);
}

template <typename Weights>
void fill(LionKernel (&kernels)[kNumStateFormats]) {
    kernels[kFloatStates] = lion<Weights, float>;
    kernels[kBFloat16States] = lion<Weights, BFloat16>;
    kernels[kDecodedStates] = lion<Weights, float>;
}

}  // namespace

void fill_lion(KernelTable& table) {
    fill<FloatWeights>(table.lion.update[kFloatWeights]);
    fill<NearestWeights>(table.lion.update[kNearestWeights]);
    fill<StochasticWeights>(table.lion.update[kStochasticWeights]);
    fill<KahanWeights>(table.lion.update[kKahanWeights]);
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
