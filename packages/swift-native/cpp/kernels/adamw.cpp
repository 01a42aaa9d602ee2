// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/adamw.hpp"

#include "kernels/precision.hpp"
#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"
#include "kernels/weights.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

// One element after the step.
struct Moved {
    float exp_avg;
    float exp_avg_sq;
    float param;
};

// `largest` is the largest average of squares before the step; without amsgrad it is not looked at.
template <typename Precision, bool kAmsgrad>
SWIFT_NATIVE_INLINE Moved moved(float param, float grad, float exp_avg, float exp_avg_sq, float& largest,
                                const AdamWScalars& s) {
    Moved result;
    if (Precision::kIsFast) {
        const float scaled = grad * s.second_factor;
        result.exp_avg = exp_avg * s.beta1 + grad * s.first_factor;
        result.exp_avg_sq = exp_avg_sq * s.beta2 + scaled * scaled;
    } else {
        const float g = s.grad_factor * grad;
        result.exp_avg = exp_avg + (g - exp_avg) * s.one_minus_beta1;
        result.exp_avg_sq = exp_avg_sq * s.beta2 + (g * g) * s.one_minus_beta2;
    }
    // A NaN in either stays a NaN.
    const bool keeps = kAmsgrad && (largest >= result.exp_avg_sq || largest != largest);
    largest = keeps ? largest : result.exp_avg_sq;
    const float root = Precision::root(largest);
    const float denominator = Precision::kIsFast ? root + s.fast_eps : root * s.root_scale + s.eps;
    const float step_size = Precision::kIsFast ? s.fast_step_size : s.step_size;
    result.param = param * s.decay - step_size * result.exp_avg / denominator;
    return result;
}

// The element's random word, 0 if anything about it is NaN, because then the weight is.
SWIFT_NATIVE_INLINE uint32_t word_for(const Moved& result, uint32_t word) {
    return result.param == result.param ? word : 0U;
}

static_assert(kBlock == kTurned, "a block is a run whose words are turned");

// A block as float, between its formats: loops of one width are what compilers vectorise well.
struct Block {
    float param[kBlock];
    float exp_avg[kBlock];
    float exp_avg_sq[kBlock];
    uint32_t word[kBlock];
};

// At most kBlock elements.
template <typename Weights, typename State, typename Precision, bool kAmsgrad>
SWIFT_NATIVE_INLINE void update(const Span& span, const AdamWScalars& s, int64_t begin, int64_t size) {
    using Param = typename Weights::Element;
    constexpr bool kIsFloat = sizeof(State) == sizeof(float);
    constexpr bool kIsDirect = sizeof(Param) == sizeof(float);
    constexpr bool kIsBesideCodes = kIsFloat && Precision::kIsFast;
    Param* SWIFT_NATIVE_RESTRICT param = static_cast<Param*>(span.param) + begin;
    BFloat16* SWIFT_NATIVE_RESTRICT compensation = reinterpret_cast<BFloat16*>(span.compensation) + begin;
    const float* SWIFT_NATIVE_RESTRICT grad = span.grad + begin;
    State* SWIFT_NATIVE_RESTRICT exp_avg = static_cast<State*>(span.states[0]) + begin;
    State* SWIFT_NATIVE_RESTRICT exp_avg_sq = static_cast<State*>(span.states[1]) + begin;
    State* SWIFT_NATIVE_RESTRICT max_exp_avg_sq = static_cast<State*>(span.states[2]) + begin;
    uint32_t counter = counter_at(span.counter, begin);
    Block b;
    if (Weights::kRandom && kIsBesideCodes) turned_words(counter, b.word);
    for (int64_t i = 0; !kIsDirect && i < size; ++i) b.param[i] = load_weight<Weights>(param, compensation, i);
    for (int64_t i = 0; !kIsFloat && i < size; ++i) b.exp_avg[i] = load(exp_avg[i]);
    for (int64_t i = 0; !kIsFloat && i < size; ++i) b.exp_avg_sq[i] = load(exp_avg_sq[i]);
    for (int64_t i = 0; i < size; ++i, counter += kCounterStep) {
        const float m = kIsFloat ? load(exp_avg[i]) : b.exp_avg[i];
        const float v = kIsFloat ? load(exp_avg_sq[i]) : b.exp_avg_sq[i];
        float largest = kAmsgrad ? load(max_exp_avg_sq[i]) : 0.0F;
        const float before = kIsDirect ? load_weight<Weights>(param, compensation, i) : b.param[i];
        const Moved result = moved<Precision, kAmsgrad>(before, grad[i], m, v, largest, s);
        if (kAmsgrad) store(max_exp_avg_sq[i], largest);
        if (kIsFloat) {
            store(exp_avg[i], result.exp_avg);
            store(exp_avg_sq[i], result.exp_avg_sq);
        } else {
            b.exp_avg[i] = result.exp_avg;
            b.exp_avg_sq[i] = result.exp_avg_sq;
        }
        if (kIsDirect) {
            store_weight<Weights>(param, compensation, i, result.param, 0U);
        } else {
            b.param[i] = result.param;
        }
        if (Weights::kRandom || !kIsFloat) {
            b.word[i] = word_for(result, kIsBesideCodes ? b.word[i] : random_word(counter));
        }
    }
    for (int64_t i = 0; !kIsFloat && i < size; ++i)
        store_stochastic(exp_avg[i], b.exp_avg[i], for_first_state(b.word[i]));
    for (int64_t i = 0; !kIsFloat && i < size; ++i)
        store_stochastic(exp_avg_sq[i], b.exp_avg_sq[i], for_second_state(b.word[i]));
    for (int64_t i = 0; !kIsDirect && i < size; ++i) {
        store_weight<Weights>(param, compensation, i, b.param[i], Weights::kRandom ? for_weight(b.word[i]) : 0U);
    }
}

template <typename Weights, typename State, typename Precision, bool kAmsgrad>
void adamw(const Span& span, const AdamWScalars& scalars, int64_t num_elements) {
    const AdamWScalars s = scalars;
    int64_t i = 0;
    for (; i + kBlock <= num_elements; i += kBlock) {
        prefetch_block<true, kBlock>(static_cast<const typename Weights::Element*>(span.param), i + kAhead);
        prefetch_block<false, kBlock>(span.grad, i + kAhead);
        prefetch_block<true, kBlock>(static_cast<const State*>(span.states[0]), i + kAhead);
        prefetch_block<true, kBlock>(static_cast<const State*>(span.states[1]), i + kAhead);
        if (kAmsgrad) prefetch_block<true, kBlock>(static_cast<const State*>(span.states[2]), i + kAhead);
        if (Weights::kCompensated) prefetch_block<true, kBlock>(span.compensation, i + kAhead);
        update<Weights, State, Precision, kAmsgrad>(span, s, i, kBlock);
    }
    update<Weights, State, Precision, kAmsgrad>(span, s, i, num_elements - i);
}

template <typename Weights>
void fill(AdamWKernel (&kernels)[kNumStateFormats][2]) {
    kernels[kFloatStates][0] = adamw<Weights, float, Exact, false>;
    kernels[kFloatStates][1] = adamw<Weights, float, Exact, true>;
    kernels[kBFloat16States][0] = adamw<Weights, BFloat16, Fast, false>;
    kernels[kBFloat16States][1] = adamw<Weights, BFloat16, Fast, true>;
    kernels[kDecodedStates][0] = adamw<Weights, float, Fast, false>;
    kernels[kDecodedStates][1] = adamw<Weights, float, Fast, true>;
}

}  // namespace

void fill_adamw(KernelTable& table) {
    fill<FloatWeights>(table.adamw.update[kFloatWeights]);
    fill<NearestWeights>(table.adamw.update[kNearestWeights]);
    fill<StochasticWeights>(table.adamw.update[kStochasticWeights]);
    fill<KahanWeights>(table.adamw.update[kKahanWeights]);
    fill<MoveOnly>(table.adamw.move);
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
