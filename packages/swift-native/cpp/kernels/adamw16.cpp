// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/adamw16.hpp"

#include "kernels/table.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SWIFT_NATIVE_AVX512
#include "kernels/prefetch.hpp"
#include "kernels/vector16.hpp"
#endif

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

#if defined(SWIFT_NATIVE_AVX512)
namespace {

// Four vectors: even and odd elements of the first 32, and of the next.
using Vectors = __m512[4];
using Words = __m512i[4];
constexpr int64_t kPair = 2 * kLanes;
static_assert(kGroup16 == 2 * kPair && kGroup16 == kBlock, "a group is two pairs of vectors");

SWIFT_NATIVE_INLINE __m512i upper_halves() { return all(0xffff0000U); }

SWIFT_NATIVE_INLINE void load_group(const uint16_t* from, Vectors& values) {
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
        const __m512i both = _mm512_loadu_si512(from + i * kLanes);
        values[i] = _mm512_castsi512_ps(_mm512_slli_epi32(both, 16));
        values[i + 1] = _mm512_castsi512_ps(_mm512_and_si512(both, upper_halves()));
    }
}

SWIFT_NATIVE_INLINE void load_group(const float* from, Vectors& values) {
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
        const __m512 low = _mm512_loadu_ps(from + i * kLanes), high = _mm512_loadu_ps(from + i * kLanes + kLanes);
        values[i] = _mm512_permutex2var_ps(low, even, high);
        values[i + 1] = _mm512_permutex2var_ps(low, odd, high);
    }
}

// Writes the upper halves of bits.
SWIFT_NATIVE_INLINE void store_group(uint16_t* to, const Words& bits) {
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
        const __m512i even = _mm512_srli_epi32(bits[i], 16);
        _mm512_storeu_si512(to + i * kLanes, _mm512_ternarylogic_epi32(even, bits[i + 1], upper_halves(), 0xf8));
    }
}

SWIFT_NATIVE_INLINE void store_group(float* to, const Vectors& values) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_setr_epi32(8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
        _mm512_storeu_ps(to + i * kLanes, _mm512_permutex2var_ps(values[i], low, values[i + 1]));
        _mm512_storeu_ps(to + i * kLanes + kLanes, _mm512_permutex2var_ps(values[i], high, values[i + 1]));
    }
}

// Counters of the even and of the odd elements from `first` on.
struct Counters {
    __m512i even, odd;
};

SWIFT_NATIVE_INLINE Counters counters_of_halves(uint32_t first) {
    const __m512i lanes = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    const __m512i even = _mm512_add_epi32(all(first), _mm512_mullo_epi32(lanes, all(kCounterStep)));
    return {even, _mm512_add_epi32(even, all(kCounterStep))};
}

// random_word of a group's elements, 0 where `values` has a NaN; the counters go on to the next group.
SWIFT_NATIVE_INLINE void group_words(Counters& counters, const Vectors& values, Words& words) {
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
        words[i] = next_words(counters.even);
        words[i + 1] = next_words(counters.odd);
        counters.even = _mm512_add_epi32(counters.even, all(kCounterStep * static_cast<uint32_t>(kLanes)));
        counters.odd = _mm512_add_epi32(counters.odd, all(kCounterStep * static_cast<uint32_t>(kLanes)));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        words[i] = _mm512_maskz_mov_epi32(_mm512_cmp_ps_mask(values[i], values[i], _CMP_ORD_Q), words[i]);
    }
}

// Rounds up by the 16 random bits of the word from bit `kFrom` on.
template <int kFrom>
SWIFT_NATIVE_INLINE void store_stochastic(uint16_t* to, const Vectors& values, const Words& words) {
    Words bits;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        __m512i random = kFrom == 0 ? words[i] : _mm512_srli_epi32(words[i], kFrom);
        random = kFrom == 16 ? random : _mm512_and_si512(random, all(0xffffU));
        bits[i] = _mm512_add_epi32(_mm512_castps_si512(values[i]), random);
    }
    store_group(to, bits);
}

SWIFT_NATIVE_INLINE void store_weights(FloatWeights, float* to, uint16_t*, const Vectors& values, const Words&) {
    store_group(to, values);
}

SWIFT_NATIVE_INLINE void store_weights(StochasticWeights, uint16_t* to, uint16_t*, const Vectors& values,
                                       const Words& words) {
    store_stochastic<8>(to, values, words);
}

SWIFT_NATIVE_INLINE void store_weights(NearestWeights, uint16_t* to, uint16_t*, const Vectors& values, const Words&) {
    Words bits;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) bits[i] = nearest_bits(values[i]);
    store_group(to, bits);
}

SWIFT_NATIVE_INLINE void store_weights(KahanWeights, uint16_t* to, uint16_t* compensation, const Vectors& values,
                                       const Words&) {
    Words bits, rests;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        bits[i] = nearest_bits(values[i]);
        rests[i] = nearest_bits(_mm512_sub_ps(values[i], _mm512_castsi512_ps(bits[i])));
    }
    store_group(to, bits);
    store_group(compensation, rests);
}

SWIFT_NATIVE_INLINE float* plain(float* values) { return values; }
SWIFT_NATIVE_INLINE uint16_t* plain(BFloat16* values) { return reinterpret_cast<uint16_t*>(values); }

// What is the same for all elements of a step.
struct Constants {
    __m512 decay, beta1, first_factor, beta2, second_factor, step_size, eps;
};

SWIFT_NATIVE_INLINE Constants constants(const AdamWScalars& s) {
    return {_mm512_set1_ps(s.decay),
            _mm512_set1_ps(s.beta1),
            _mm512_set1_ps(s.first_factor),
            _mm512_set1_ps(s.beta2),
            _mm512_set1_ps(s.second_factor),
            _mm512_set1_ps(s.fast_step_size),
            _mm512_set1_ps(s.fast_eps)};
}

template <typename Weights, typename Grad>
SWIFT_NATIVE_INLINE void update(const Span& span, const Grad* grad, int64_t begin, const Constants& c,
                                Counters& counters) {
    auto* param = plain(static_cast<typename Weights::Element*>(span.param)) + begin;
    uint16_t* compensation = Weights::kCompensated ? span.compensation + begin : nullptr;
    uint16_t* exp_avg = static_cast<uint16_t*>(span.states[0]) + begin;
    uint16_t* exp_avg_sq = static_cast<uint16_t*>(span.states[1]) + begin;
    Vectors g, m, v, p, roots, rests;
    Words words;
    load_group(grad + begin, g);
    load_group(exp_avg, m);
    load_group(exp_avg_sq, v);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __m512 scaled = _mm512_mul_ps(g[i], c.second_factor);
        m[i] = _mm512_add_ps(_mm512_mul_ps(m[i], c.beta1), _mm512_mul_ps(g[i], c.first_factor));
        v[i] = _mm512_add_ps(_mm512_mul_ps(v[i], c.beta2), _mm512_mul_ps(scaled, scaled));
    }
    fast_roots(v, roots);
    load_group(param, p);
    if (Weights::kCompensated) load_group(compensation, rests);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __m512 move = _mm512_div_ps(_mm512_mul_ps(c.step_size, m[i]), _mm512_add_ps(roots[i], c.eps));
        if (Weights::kCompensated) p[i] = _mm512_add_ps(p[i], rests[i]);
        p[i] = _mm512_sub_ps(_mm512_mul_ps(p[i], c.decay), move);
    }
    group_words(counters, p, words);
    store_stochastic<0>(exp_avg, m, words);
    store_stochastic<16>(exp_avg_sq, v, words);
    store_weights(Weights{}, param, compensation, p, words);
}

template <typename Weights, typename Grad>
void adamw16(const Span& span, const AdamWScalars& scalars, int64_t num_elements) {
    const Constants c = constants(scalars);
    const Grad* grad;
    point_at_grad(grad, span);
    Counters counters = counters_of_halves(span.counter);
    for (int64_t i = 0; i < num_elements; i += kGroup16) {
        prefetch_block<true, kBlock>(static_cast<const typename Weights::Element*>(span.param), i + kAhead);
        prefetch_block<false, kBlock>(grad, i + kAhead);
        prefetch_block<true, kBlock>(static_cast<const uint16_t*>(span.states[0]), i + kAhead);
        prefetch_block<true, kBlock>(static_cast<const uint16_t*>(span.states[1]), i + kAhead);
        if (Weights::kCompensated) prefetch_block<true, kBlock>(span.compensation, i + kAhead);
        update<Weights>(span, grad, i, c, counters);
    }
}

template <typename Weights>
void fill(AdamWKernel (&kernels)[2]) {
    kernels[0] = adamw16<Weights, float>;
    kernels[1] = adamw16<Weights, uint16_t>;
}

}  // namespace

void fill_adamw16(KernelTable& table) {
    fill<FloatWeights>(table.adamw16.update[kFloatWeights]);
    fill<NearestWeights>(table.adamw16.update[kNearestWeights]);
    fill<StochasticWeights>(table.adamw16.update[kStochasticWeights]);
    fill<KahanWeights>(table.adamw16.update[kKahanWeights]);
}

#else

void fill_adamw16(KernelTable&) {}

#endif

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
