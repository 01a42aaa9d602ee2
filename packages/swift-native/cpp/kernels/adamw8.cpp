// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the
// namespace.
#include "kernels/adamw8.hpp"

#include "kernels/prefetch.hpp"
#include "kernels/random.hpp"
#include "kernels/table.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SWIFT_NATIVE_AVX512
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
// GCC 12 takes the undefined operands of its own intrinsics for mistakes (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#endif

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

#if defined(SWIFT_NATIVE_AVX512)
namespace {

constexpr int64_t kLanes = 16;
constexpr int kVectors = static_cast<int>(kBlock8 / kLanes);
constexpr uint32_t kDropped = 20;
// Of kernels/block8.hpp: the largest code and the smallest scale, signed and
// not.
constexpr uint32_t kSignedTop = 127, kUnsignedTop = 255, kSignedLeast = 15, kUnsignedLeast = 31;
// Codes are a quarter of the floats: 2 KB ahead is four times as many elements.
constexpr int64_t kCodesAhead = 2048;

// The new moments of a block, between their update and their encoding.
struct Block {
    alignas(64) float exp_avg[kBlock8];
    alignas(64) float exp_avg_sq[kBlock8];
};

// What is the same for all elements of a step.
struct Constants {
    __m512 grad_factor, decay, one_minus_beta1, beta2, one_minus_beta2, step_size, root_scale, eps;
};

SWIFT_NATIVE_INLINE Constants constants(const AdamWScalars& s) {
    return {_mm512_set1_ps(s.grad_factor),     _mm512_set1_ps(s.decay),
            _mm512_set1_ps(s.one_minus_beta1), _mm512_set1_ps(s.beta2),
            _mm512_set1_ps(s.one_minus_beta2), _mm512_set1_ps(s.step_size),
            _mm512_set1_ps(s.root_scale),      _mm512_set1_ps(s.eps)};
}

SWIFT_NATIVE_INLINE __m512i all(uint32_t bits) { return _mm512_set1_epi32(static_cast<int32_t>(bits)); }

SWIFT_NATIVE_INLINE __m128i load_codes(const uint8_t* codes) {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
}

// `base` is that of the scale, in the place of a float's exponent.
SWIFT_NATIVE_INLINE __m512 decoded_signed(const uint8_t* codes, __m512i base) {
    const __m512i spread = _mm512_slli_epi32(_mm512_cvtepi8_epi32(load_codes(codes)), kDropped);
    const __m512i bits = _mm512_and_si512(spread, all(0x87f00000U));
    return _mm512_castsi512_ps(_mm512_mask_add_epi32(bits, _mm512_test_epi32_mask(bits, all(0x7ff00000U)), bits, base));
}

SWIFT_NATIVE_INLINE __m512 decoded_unsigned(const uint8_t* codes, __m512i base) {
    const __m512i bits = _mm512_slli_epi32(_mm512_cvtepu8_epi32(load_codes(codes)), kDropped);
    return _mm512_castsi512_ps(_mm512_maskz_add_epi32(_mm512_test_epi32_mask(bits, bits), bits, base));
}

// Fast::root of kernels/precision.hpp.
SWIFT_NATIVE_INLINE __m512 root(__m512 x) {
    const __m512i half = _mm512_srli_epi32(_mm512_castps_si512(x), 1);
    const __m512 estimate = _mm512_castsi512_ps(_mm512_sub_epi32(all(0x5f36e000U), half));
    const __m512 near = _mm512_mul_ps(x, estimate);
    const __m512 h = _mm512_mul_ps(near, estimate);
    __m512 polynomial = _mm512_add_ps(_mm512_set1_ps(-1.2607571F), _mm512_mul_ps(h, _mm512_set1_ps(0.3798538F)));
    polynomial = _mm512_add_ps(_mm512_set1_ps(1.8808990F), _mm512_mul_ps(h, polynomial));
    return _mm512_mul_ps(near, polynomial);
}

SWIFT_NATIVE_INLINE __m512i random_words(__m512i counter) {
    const __m512i word =
        _mm512_mullo_epi32(_mm512_xor_si512(counter, _mm512_srli_epi32(counter, 15)), all(0xd168aaadU));
    return _mm512_xor_si512(word, _mm512_srli_epi32(word, 15));
}

// Bytes of four vectors that were packed in pairs, in the order of their
// elements.
SWIFT_NATIVE_INLINE __m512i in_order(__m512i packed) {
    const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    return _mm512_permutexvar_epi32(order, packed);
}

// The sign and the upper 11 bits of two vectors after rounding, as signed codes
// 16 bits wide.
SWIFT_NATIVE_INLINE __m512i signed_codes(__m512i one, __m512i other, __m512i base) {
    const __m512i upper = _mm512_packus_epi32(one, other);
    const __m512i code = _mm512_subs_epu16(_mm512_and_si512(upper, _mm512_set1_epi16(0x7ff)), base);
    const __m512i sign = _mm512_srli_epi16(upper, 4);
    return _mm512_ternarylogic_epi32(code, sign, _mm512_set1_epi16(0x80),
                                     0xf8);  // code | (sign & 0x80)
}

// Updates a block and leaves the new moments in `block`; returns the largest of
// their magnitudes, as bits.
SWIFT_NATIVE_INLINE void update(const Span& span, int64_t begin, const uint8_t* const scales[2], const Constants& c,
                                Block& block, uint32_t& largest_first, uint32_t& largest_second) {
    float* param = static_cast<float*>(span.param) + begin;
    const float* grad = span.grad + begin;
    const uint8_t* first_codes = static_cast<const uint8_t*>(span.states[0]) + begin;
    const uint8_t* second_codes = static_cast<const uint8_t*>(span.states[1]) + begin;
    const uint32_t first_scale = scales[0][begin / kBlock8], second_scale = scales[1][begin / kBlock8];
    const __m512i first_base = all(((first_scale + 1) * 8 - kSignedTop) << kDropped);
    const __m512i second_base = all(((second_scale + 1) * 8 - kUnsignedTop) << kDropped);
    const __m512 nan = _mm512_castsi512_ps(all(0x7fc00000U));
    __m512i first_bits = _mm512_setzero_si512(), second_bits = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int i = 0; i < kVectors; ++i) {
        const int64_t at = i * kLanes;
        prefetch_block<true, kLanes>(param, at + kAhead);
        prefetch_block<false, kLanes>(grad, at + kAhead);
        __m512 m = decoded_signed(first_codes + at, first_base);
        __m512 v = decoded_unsigned(second_codes + at, second_base);
        if (first_scale == 255) m = nan;
        if (second_scale == 255) v = nan;
        const __m512 g = _mm512_mul_ps(c.grad_factor, _mm512_loadu_ps(grad + at));
        m = _mm512_add_ps(m, _mm512_mul_ps(_mm512_sub_ps(g, m), c.one_minus_beta1));
        v = _mm512_add_ps(_mm512_mul_ps(v, c.beta2), _mm512_mul_ps(_mm512_mul_ps(g, g), c.one_minus_beta2));
        const __m512 denominator = _mm512_add_ps(_mm512_mul_ps(root(v), c.root_scale), c.eps);
        const __m512 move = _mm512_div_ps(_mm512_mul_ps(c.step_size, m), denominator);
        const __m512 kept = _mm512_mul_ps(_mm512_loadu_ps(param + at), c.decay);
        _mm512_storeu_ps(param + at, _mm512_sub_ps(kept, move));
        _mm512_store_ps(block.exp_avg + at, m);
        _mm512_store_ps(block.exp_avg_sq + at, v);
        first_bits = _mm512_max_epu32(first_bits, _mm512_and_si512(_mm512_castps_si512(m), all(0x7fffffffU)));
        second_bits = _mm512_max_epu32(second_bits, _mm512_castps_si512(v));  // only a NaN may have a sign
    }
    largest_first = _mm512_reduce_max_epu32(first_bits);
    largest_second = _mm512_reduce_max_epu32(second_bits) & 0x7fffffffU;
}

SWIFT_NATIVE_INLINE uint32_t scale_of(uint32_t largest, uint32_t least) {
    const uint32_t exponent = largest >> 23;
    return exponent < least ? least : exponent;
}

// Of a block that is finite.
SWIFT_NATIVE_INLINE void encode(const Block& block, uint8_t* first_codes, uint8_t* second_codes, uint32_t first_scale,
                                uint32_t second_scale, uint32_t counter) {
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i counters = _mm512_add_epi32(all(counter), _mm512_mullo_epi32(lanes, all(kCounterStep)));
    const uint32_t second_low = (second_scale + 1) * 8 - kUnsignedTop;
    const __m512i first_base = _mm512_set1_epi16(static_cast<int16_t>((first_scale + 1) * 8 - kSignedTop));
    const __m512i second_base = _mm512_set1_epi16(static_cast<int16_t>(second_low));
    for (int64_t at = 0; at < kBlock8; at += 4 * kLanes) {
        __m512i first[4], second[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const __m512i m = _mm512_load_si512(block.exp_avg + at + i * kLanes);
            const __m512i v = _mm512_load_si512(block.exp_avg_sq + at + i * kLanes);
            const __m512i added = _mm512_srli_epi32(random_words(counters), 32 - kDropped);
            counters = _mm512_add_epi32(counters, all(kCounterStep * static_cast<uint32_t>(kLanes)));
            first[i] = _mm512_srli_epi32(_mm512_add_epi32(m, added), kDropped);
            const __m512i upper = _mm512_srli_epi32(_mm512_add_epi32(v, added), kDropped);
            // What is not 0 does not become 0.
            second[i] = _mm512_mask_max_epu32(upper, _mm512_test_epi32_mask(v, v), upper, all(second_low + 1));
        }
        const __m512i first_packed = _mm512_packus_epi16(signed_codes(first[0], first[1], first_base),
                                                         signed_codes(first[2], first[3], first_base));
        const __m512i low = _mm512_subs_epu16(_mm512_packus_epi32(second[0], second[1]), second_base);
        const __m512i high = _mm512_subs_epu16(_mm512_packus_epi32(second[2], second[3]), second_base);
        _mm512_storeu_si512(first_codes + at, in_order(first_packed));
        _mm512_storeu_si512(second_codes + at, in_order(_mm512_packus_epi16(low, high)));
    }
}

void adamw8(const Span& span, uint8_t* const scales[2], const AdamWScalars& scalars, EncodePair8Kernel encode_pair,
            int64_t num_elements) {
    const Constants c = constants(scalars);
    uint8_t* first_codes = static_cast<uint8_t*>(span.states[0]);
    uint8_t* second_codes = static_cast<uint8_t*>(span.states[1]);
    Block block;
    for (int64_t begin = 0; begin < num_elements; begin += kBlock8) {
        prefetch_block<true, kBlock8>(first_codes, begin + kCodesAhead);
        prefetch_block<true, kBlock8>(second_codes, begin + kCodesAhead);
        uint32_t largest_first, largest_second;
        update(span, begin, scales, c, block, largest_first, largest_second);
        const uint32_t first_scale = scale_of(largest_first, kSignedLeast);
        const uint32_t second_scale = scale_of(largest_second, kUnsignedLeast);
        const uint32_t counter = counter_at(span.counter, begin);
        const int64_t number = begin / kBlock8;
        if (first_scale == 255 || second_scale == 255) {
            encode_pair(block.exp_avg, block.exp_avg_sq, first_codes + begin, second_codes + begin, scales[0] + number,
                        scales[1] + number, kBlock8, counter);
            continue;
        }
        scales[0][number] = static_cast<uint8_t>(first_scale);
        scales[1][number] = static_cast<uint8_t>(second_scale);
        encode(block, first_codes + begin, second_codes + begin, first_scale, second_scale, counter);
    }
}

}  // namespace

void fill_adamw8(KernelTable& table) { table.adamw8 = adamw8; }

#else

void fill_adamw8(KernelTable& table) { table.adamw8 = nullptr; }

#endif

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
