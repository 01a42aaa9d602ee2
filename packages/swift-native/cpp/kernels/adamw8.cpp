// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/adamw8.hpp"

#include "kernels/table.hpp"

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
#define SWIFT_NATIVE_AVX512
#include "kernels/pair8.hpp"
#include "kernels/prefetch.hpp"
#include "kernels/vector16.hpp"
#endif

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

#if defined(SWIFT_NATIVE_AVX512)
namespace {

static_assert(kBlock8 % (4 * kLanes) == 0, "a block is worked on in groups of four vectors");
// Of _mm512_range_ps: the larger magnitude, without its sign.
constexpr int kLargestMagnitude = 0xb;
// Codes are a quarter of the floats: 2 KB ahead is four times as many elements.
constexpr int64_t kCodesAhead = 2048;

// What a block becomes, between its update and its encoding, and what the scales are made of, as bits.
struct Block {
    alignas(64) float shares[kBlock8];
    alignas(64) float roots[kBlock8];
    uint32_t largest_share;
    uint32_t largest_root;
    uint32_t smallest_root;
};

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

// The spacing of a block's codes in every lane: shifts by a count for each lane are one operation, by one for all two.
struct Spacing {
    __m512i first;
    __m512i step;
};

SWIFT_NATIVE_INLINE Spacing spacing_of(const RootCodes& codes) {
    return {all(codes.first), all(codes.step)};
}

SWIFT_NATIVE_INLINE __m512 decoded_roots(const uint8_t* codes, const Spacing& spacing) {
    const __m512i code = _mm512_cvtepu8_epi32(load_bytes(codes));
    const __m512i bits = _mm512_sllv_epi32(code, spacing.step);
    return _mm512_castsi512_ps(_mm512_maskz_add_epi32(_mm512_test_epi32_mask(code, code), bits, spacing.first));
}

SWIFT_NATIVE_INLINE __m512 decoded_shares(const uint8_t* codes, __m512 unit) {
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(load_bytes(codes))), unit);
}

// Updates a block and leaves the new moments in `block`.
template <typename Weights, typename Grad>
SWIFT_NATIVE_INLINE void update(const Span& span, const Grad* grad, const Pair8& pair, int64_t begin,
                                const Constants& c, Block& block) {
    using Param = typename Weights::Element;
    Param* param = static_cast<Param*>(span.param) + begin;
    const int64_t number = begin / kBlock8;
    const RootCodes codes = roots_of(load_root_scale(pair.root_scales, number));
    const Spacing spacing = spacing_of(codes);
    const __m512 unit = _mm512_set1_ps(share_unit(pair.share_scales[number]));
    __m512i counters = weight_counters<Weights>(counter_at(span.counter, begin));
    __m512 largest_share = _mm512_setzero_ps();  // a NaN is passed over: its root is one too
    __m512i root_bits = _mm512_setzero_si512(), least_bits = all(0xffffffffU);
    for (int64_t group = 0; group < kBlock8; group += 4 * kLanes) {
        __m512 m[4], v[4], roots[4], inverses[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const int64_t at = group + i * kLanes;
            prefetch_block<true, kLanes>(param, at + kAhead);
            prefetch_block<false, kLanes>(grad + begin, at + kAhead);
            const __m512 s = decoded_roots(pair.roots + begin + at, spacing);
            const __m512 g = load_vector(grad + begin + at);
            const __m512 scaled = _mm512_mul_ps(g, c.second_factor);
            m[i] = _mm512_mul_ps(decoded_shares(pair.shares + begin + at, unit), s);
            m[i] = _mm512_add_ps(_mm512_mul_ps(m[i], c.beta1), _mm512_mul_ps(g, c.first_factor));
            v[i] = _mm512_add_ps(_mm512_mul_ps(_mm512_mul_ps(s, s), c.beta2), _mm512_mul_ps(scaled, scaled));
        }
        __mmask16 are_not_zero[4];
        roots_and_inverses(v, roots, inverses, are_not_zero);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const __m512 denominator = _mm512_add_ps(roots[i], c.eps);
            v[i] = _mm512_div_ps(_mm512_mul_ps(c.step_size, m[i]), denominator);
            const __m512 share = _mm512_mul_ps(m[i], inverses[i]);
            _mm512_store_ps(block.shares + group + i * kLanes, share);
            _mm512_store_ps(block.roots + group + i * kLanes, roots[i]);
            const __m512i bits = _mm512_castps_si512(roots[i]);  // only a NaN may have a sign
            largest_share = _mm512_range_ps(largest_share, share, kLargestMagnitude);
            root_bits = _mm512_max_epu32(root_bits, bits);
            least_bits = _mm512_mask_min_epu32(least_bits, are_not_zero[i], least_bits, bits);
        }
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const int64_t at = group + i * kLanes;
            uint16_t* compensation = Weights::kCompensated ? span.compensation + begin + at : nullptr;
            if (Weights::kCompensated) prefetch_block<true, kLanes>(compensation, kAhead);
            const __m512 kept = _mm512_mul_ps(load_weights<Weights>(param + at, compensation), c.decay);
            store_weights<Weights>(param + at, compensation, _mm512_sub_ps(kept, v[i]), counters);
        }
    }
    block.largest_share = _mm512_reduce_max_epu32(_mm512_castps_si512(largest_share));
    block.largest_root = _mm512_reduce_max_epu32(root_bits);
    block.smallest_root = block.largest_root == 0 ? 0U : _mm512_reduce_min_epu32(least_bits);
}

// How a block is encoded.
struct Coding {
    RootCodes roots;
    float shares_in_one;
    bool is_finite;
};

// Writes the scales of a block.
SWIFT_NATIVE_INLINE Coding begin_encoding(const Block& block, const Pair8& pair, int64_t begin) {
    const RootCodes roots = roots_between(block.smallest_root, block.largest_root);
    const uint32_t scale = share_scale(block.largest_share);
    const bool is_finite = block.largest_root < kInfinity && block.largest_share < kInfinity;
    pair.share_scales[begin / kBlock8] = static_cast<uint8_t>(scale);
    store_root_scale(pair.root_scales, begin / kBlock8, roots.scale);
    return {roots, shares_in_one(scale), is_finite};
}

// Writes the codes. `kReaches`: the codes reach down to the smallest root that is not 0, and what is 0 saturates to 0.
template <bool kReaches>
SWIFT_NATIVE_INLINE void encode(const Block& block, const Coding& coding, const Pair8& pair, int64_t begin,
                                uint32_t counter) {
    const Spacing spacing = spacing_of(coding.roots);
    const __m512i unused = all(32 - coding.roots.step);
    const __m512 per_one = _mm512_set1_ps(coding.shares_in_one);
    __m512i counters = counters_from(counter);
#pragma GCC unroll 2
    for (int64_t at = 0; at < kBlock8; at += 4 * kLanes) {
        __m512i shares[4], roots[4], words[4];
        turned_words(counters, words);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const __m512 share = _mm512_load_ps(block.shares + at + i * kLanes);
            const __m512i root = _mm512_load_si512(block.roots + at + i * kLanes);
            // 0x43000000 | (word & 0xffff)
            const __m512i offset = _mm512_ternarylogic_epi32(words[i], all(0xffffU), all(0x43000000U), 0xea);
            const __m512 rounded = _mm512_add_ps(_mm512_mul_ps(share, per_one), _mm512_castsi512_ps(offset));
            shares[i] = _mm512_cvttps_epi32(rounded);
            const __m512i added = _mm512_add_epi32(root, _mm512_srlv_epi32(words[i], unused));
            roots[i] = _mm512_srav_epi32(_mm512_sub_epi32(added, spacing.first), spacing.step);
            if (!kReaches) roots[i] = _mm512_maskz_max_epi32(_mm512_test_epi32_mask(root, root), roots[i], all(1));
        }
        const __m512i flipped = _mm512_xor_si512(packed_bytes(shares), _mm512_set1_epi8(static_cast<char>(0x80)));
        _mm512_storeu_si512(pair.shares + begin + at, flipped);
        _mm512_storeu_si512(pair.roots + begin + at, packed_bytes(roots));
    }
}

SWIFT_NATIVE_INLINE void end_encoding(const Block& block, const Coding& coding, const Pair8& pair, int64_t begin,
                                      uint32_t counter) {
    if (!coding.is_finite) {
        spoil(pair, begin, kBlock8);
    } else if (coding.roots.step < kMostStep) {
        encode<true>(block, coding, pair, begin, counter);
    } else {
        encode<false>(block, coding, pair, begin, counter);
    }
}

// The scales of a block, which wait for its last element, are made while the next one is updated.
template <typename Weights, typename Grad>
void adamw8(const Span& span, const Pair8& pair, const AdamWScalars& scalars, int64_t num_elements, uint32_t counter) {
    const Constants c = constants(scalars);
    const Grad* grad;
    point_at_grad(grad, span);
    Block blocks[2];
    Coding coding{};
    for (int64_t begin = 0; begin < num_elements; begin += kBlock8) {
        const int64_t number = begin / kBlock8, before = begin - kBlock8;
        prefetch_block<true, kBlock8>(pair.shares, begin + kCodesAhead);
        prefetch_block<true, kBlock8>(pair.roots, begin + kCodesAhead);
        update<Weights>(span, grad, pair, begin, c, blocks[number % 2]);
        if (before >= 0) end_encoding(blocks[(number + 1) % 2], coding, pair, before, counter_at(counter, before));
        coding = begin_encoding(blocks[number % 2], pair, begin);
    }
    const int64_t last = num_elements - kBlock8;
    if (last >= 0) end_encoding(blocks[last / kBlock8 % 2], coding, pair, last, counter_at(counter, last));
}

template <typename Weights>
void fill(AdamW8Kernel (&kernels)[2]) {
    kernels[0] = adamw8<Weights, float>;
    kernels[1] = adamw8<Weights, uint16_t>;
}

}  // namespace

void fill_adamw8(KernelTable& table) {
    fill<FloatWeights>(table.adamw8.update[kFloatWeights]);
    fill<NearestWeights>(table.adamw8.update[kNearestWeights]);
    fill<StochasticWeights>(table.adamw8.update[kStochasticWeights]);
    fill<KahanWeights>(table.adamw8.update[kKahanWeights]);
}

#else

void fill_adamw8(KernelTable&) {}

#endif

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
