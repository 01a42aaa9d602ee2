// Sixteen elements at once with AVX-512: weights, gradients, random words and roots, as the plain definitions have them.
// For kernel sources only.
#pragma once

#include <immintrin.h>

#include "kernels/weights.hpp"

#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined operands of its own intrinsics for mistakes (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

constexpr int64_t kLanes = 16;

SWIFT_NATIVE_INLINE __m512i all(uint32_t bits) { return _mm512_set1_epi32(static_cast<int32_t>(bits)); }

SWIFT_NATIVE_INLINE __m128i load_bytes(const uint8_t* bytes) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
}

SWIFT_NATIVE_INLINE __m512 load_vector(const float* values) { return _mm512_loadu_ps(values); }

// bfloat16.
SWIFT_NATIVE_INLINE __m512 load_vector(const uint16_t* values) {
    const __m256i upper = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16));
}

// Writes the upper halves of four vectors.
SWIFT_NATIVE_INLINE void store_upper(uint16_t* target, const __m512i (&bits)[4]) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i odd = _mm512_add_epi32(_mm512_mullo_epi32(lanes, all(0x00040004U)), all(0x00030001U));
#pragma GCC unroll 2
    for (int i = 0; i < 4; i += 2) {
        _mm512_storeu_si512(target + i * kLanes, _mm512_permutex2var_epi16(bits[i], odd, bits[i + 1]));
    }
}

SWIFT_NATIVE_INLINE void point_at_grad(const float*& grad, const Span& span) { grad = span.grad; }
SWIFT_NATIVE_INLINE void point_at_grad(const uint16_t*& grad, const Span& span) { grad = span.narrow_grad; }

// Counters of sixteen elements, of which `first` is that of the first.
SWIFT_NATIVE_INLINE __m512i counters_from(uint32_t first) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return _mm512_add_epi32(all(first), _mm512_mullo_epi32(lanes, all(kCounterStep)));
}

// random_word of `counters`, which go on to the next sixteen elements.
SWIFT_NATIVE_INLINE __m512i next_words(__m512i& counters) {
    const __m512i mixed = _mm512_xor_si512(counters, _mm512_srli_epi32(counters, 15));
    const __m512i word = _mm512_mullo_epi32(mixed, all(0xd168aaadU));
    counters = _mm512_add_epi32(counters, all(kCounterStep * static_cast<uint32_t>(kLanes)));
    return _mm512_xor_si512(word, _mm512_srli_epi32(word, 15));
}

// turned_words of kernels/random.hpp, from the first of `counters`, which go on to the next run.
SWIFT_NATIVE_INLINE void turned_words(__m512i& counters, __m512i (&words)[4]) {
    static_assert(kTurnedAlike == kLanes && kTurned == 4 * kLanes, "a word for four vectors");
    words[0] = next_words(counters);
    counters = _mm512_add_epi32(counters, all(kCounterStep * static_cast<uint32_t>(kTurned - kTurnedAlike)));
    words[1] = _mm512_rol_epi32(words[0], 16);
    words[2] = _mm512_rol_epi32(words[0], 8);
    words[3] = _mm512_rol_epi32(words[0], 24);
}

// Those that rounding the weights takes; none if it takes none.
template <typename Weights>
SWIFT_NATIVE_INLINE __m512i weight_counters(uint32_t first) {
    return Weights::kRandom ? counters_from(first) : _mm512_setzero_si512();
}

// Fast::root of kernels/precision.hpp, of four vectors side by side.
SWIFT_NATIVE_INLINE void fast_roots(const __m512 (&x)[4], __m512 (&roots)[4]) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __m512i half = _mm512_srli_epi32(_mm512_castps_si512(x[i]), 1);
        const __m512 estimate = _mm512_castsi512_ps(_mm512_sub_epi32(all(0x5f36e000U), half));
        const __m512 root = _mm512_mul_ps(x[i], estimate);
        const __m512 h = _mm512_mul_ps(root, estimate);
        const __m512 inner = _mm512_add_ps(_mm512_set1_ps(-1.2607571F), _mm512_mul_ps(h, _mm512_set1_ps(0.3798538F)));
        roots[i] = _mm512_mul_ps(root, _mm512_add_ps(_mm512_set1_ps(1.8808990F), _mm512_mul_ps(h, inner)));
    }
}

// Fast::root_and_inverse of kernels/precision.hpp, of four vectors side by side: one alone would wait for itself. The
// inverse of 0 is not 0 here but some large number.
SWIFT_NATIVE_INLINE void roots_and_inverses(const __m512 (&x)[4], __m512 (&roots)[4], __m512 (&inverses)[4]) {
    __m512 h[4], factor[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __m512i half = _mm512_srli_epi32(_mm512_castps_si512(x[i]), 1);
        inverses[i] = _mm512_castsi512_ps(_mm512_sub_epi32(all(0x5f36e000U), half));
        roots[i] = _mm512_mul_ps(x[i], inverses[i]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        h[i] = _mm512_mul_ps(roots[i], inverses[i]);
        factor[i] = _mm512_add_ps(_mm512_set1_ps(-1.2607571F), _mm512_mul_ps(h[i], _mm512_set1_ps(0.3798538F)));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        factor[i] = _mm512_add_ps(_mm512_set1_ps(1.8808990F), _mm512_mul_ps(h[i], factor[i]));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        roots[i] = _mm512_mul_ps(roots[i], factor[i]);
        inverses[i] = _mm512_mul_ps(inverses[i], factor[i]);
    }
}

// The lower bytes of four vectors in the order of their elements, saturated to 0..255.
SWIFT_NATIVE_INLINE __m512i packed_bytes(const __m512i (&values)[4]) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    const __m512i low = _mm512_packus_epi32(values[0], values[1]);
    const __m512i high = _mm512_packus_epi32(values[2], values[3]);
    return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(low, high));
}

SWIFT_NATIVE_INLINE const uint16_t* bits_at(const BFloat16* values) {
    return reinterpret_cast<const uint16_t*>(values);
}

SWIFT_NATIVE_INLINE const float* bits_at(const float* values) { return values; }

// store(BFloat16&, float) of kernels/element.hpp, as bits of float.
SWIFT_NATIVE_INLINE __m512i nearest_bits(__m512 values) {
    const __m512i bits = _mm512_castps_si512(values);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), all(1));
    __m512i rounded = _mm512_add_epi32(bits, _mm512_add_epi32(odd, all(0x7fffU)));
    const __mmask16 is_nan = _mm512_cmp_ps_mask(values, values, _CMP_UNORD_Q);
    return _mm512_mask_mov_epi32(_mm512_and_si512(rounded, all(0xffff0000U)), is_nan, all(0x7fc00000U));
}

// `compensation` is null where the format has none.
template <typename Weights>
SWIFT_NATIVE_INLINE __m512 load_weights(const typename Weights::Element* param, const uint16_t* compensation) {
    const __m512 values = load_vector(bits_at(param));
    return Weights::kCompensated ? _mm512_add_ps(values, load_vector(compensation)) : values;
}

SWIFT_NATIVE_INLINE void store_floats(float* param, const __m512 (&values)[4]) {
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) _mm512_storeu_ps(param + i * kLanes, values[i]);
}

SWIFT_NATIVE_INLINE void store_floats(BFloat16*, const __m512 (&)[4]) {}
SWIFT_NATIVE_INLINE uint16_t* narrow_at(BFloat16* param) { return reinterpret_cast<uint16_t*>(param); }
SWIFT_NATIVE_INLINE uint16_t* narrow_at(float*) { return nullptr; }

SWIFT_NATIVE_INLINE void store_stochastic(uint16_t* param, const __m512 (&values)[4], __m512i& counters) {
    __m512i words[4];
    turned_words(counters, words);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        const __mmask16 is_number = _mm512_cmp_ps_mask(values[i], values[i], _CMP_ORD_Q);
        const __m512i random = _mm512_and_si512(_mm512_srli_epi32(words[i], 8), all(0xffffU));
        const __m512i bits = _mm512_castps_si512(values[i]);
        words[i] = _mm512_mask_add_epi32(bits, is_number, bits, random);
    }
    store_upper(param, words);
}

// `compensation` is null where the format has none.
SWIFT_NATIVE_INLINE void store_nearest(uint16_t* param, uint16_t* compensation, const __m512 (&values)[4]) {
    __m512i bits[4], rests[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        bits[i] = nearest_bits(values[i]);
        rests[i] = nearest_bits(_mm512_sub_ps(values[i], _mm512_castsi512_ps(bits[i])));
    }
    store_upper(param, bits);
    if (compensation != nullptr) store_upper(compensation, rests);
}

// Writes kTurned weights; `counters` are those of weight_counters, and go on to the next run.
template <typename Weights>
SWIFT_NATIVE_INLINE void store_weights(typename Weights::Element* param, uint16_t* compensation,
                                       const __m512 (&values)[4], __m512i& counters) {
    if (sizeof(typename Weights::Element) == sizeof(float)) {
        store_floats(param, values);
    } else if (Weights::kRandom) {
        store_stochastic(narrow_at(param), values, counters);
    } else {
        store_nearest(narrow_at(param), compensation, values);
    }
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
