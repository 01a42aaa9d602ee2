// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/sgd.hpp"

#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"
#include "kernels/weights.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

template <typename Weights, typename State, bool kMomentum>
SWIFT_NATIVE_INLINE void update(const Span& span, const SgdScalars& s, int64_t begin, int64_t end) {
    using Param = typename Weights::Element;
    Param* SWIFT_NATIVE_RESTRICT param = static_cast<Param*>(span.param);
    BFloat16* SWIFT_NATIVE_RESTRICT compensation = reinterpret_cast<BFloat16*>(span.compensation);
    const float* SWIFT_NATIVE_RESTRICT grad = span.grad;
    State* SWIFT_NATIVE_RESTRICT buffer = static_cast<State*>(span.states[0]);
    for (int64_t i = begin; i < end; ++i) {
        const float p = load_weight<Weights>(param, compensation, i);
        const float g = s.grad_factor * grad[i] + s.weight_decay * p;
        const float b = kMomentum ? load(buffer[i]) * s.retained + g * s.taken : 0.0F;
        const float direction = kMomentum ? g * s.from_grad + b * s.from_buffer : g;
        const float moved = p - s.lr * direction;
        const uint32_t word = moved == moved ? random_word(counter_at(span.counter, i)) : 0U;
        if (kMomentum) store_stochastic(buffer[i], b, for_first_state(word));
        store_weight<Weights>(param, compensation, i, moved, for_weight(word));
    }
}

template <typename Weights, typename State, bool kMomentum>
void sgd(const Span& span, const SgdScalars& scalars, int64_t num_elements) {
    const SgdScalars s = scalars;
    int64_t i = 0;
    for (; i + kBlock <= num_elements; i += kBlock) {
        prefetch_block<true, kBlock>(static_cast<const typename Weights::Element*>(span.param), i + kAhead);
        prefetch_block<false, kBlock>(span.grad, i + kAhead);
        if (kMomentum) prefetch_block<true, kBlock>(static_cast<const State*>(span.states[0]), i + kAhead);
        if (Weights::kCompensated) prefetch_block<true, kBlock>(span.compensation, i + kAhead);
        update<Weights, State, kMomentum>(span, s, i, i + kBlock);
    }
    update<Weights, State, kMomentum>(span, s, i, num_elements);
}

template <typename Weights>
void fill(SgdKernel (&kernels)[kNumStateFormats], SgdKernel& plain) {
    kernels[kFloatStates] = sgd<Weights, float, true>;
    kernels[kBFloat16States] = sgd<Weights, BFloat16, true>;
    kernels[kDecodedStates] = sgd<Weights, float, true>;
    plain = sgd<Weights, float, false>;
}

}  // namespace

void fill_sgd(KernelTable& table) {
    fill<FloatWeights>(table.sgd.with_momentum[kFloatWeights], table.sgd.plain[kFloatWeights]);
    fill<NearestWeights>(table.sgd.with_momentum[kNearestWeights], table.sgd.plain[kNearestWeights]);
    fill<StochasticWeights>(table.sgd.with_momentum[kStochasticWeights], table.sgd.plain[kStochasticWeights]);
    fill<KahanWeights>(table.sgd.with_momentum[kKahanWeights], table.sgd.plain[kKahanWeights]);
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
