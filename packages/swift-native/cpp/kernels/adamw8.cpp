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

// What the scales of a block are made of, as bits; the smallest root may be 0.
struct Extent {
    uint32_t largest_share;
    uint32_t largest_root;
    uint32_t smallest_root;
};

// What a block becomes, between its update and its encoding. A share of a root of 0 has no meaning.
struct Block {
    alignas(64) float shares[kBlock8];
    alignas(64) float roots[kBlock8];
    Extent extent;
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

// The largest share and root and the smallest root of sixteen lanes each, at once: one after the other they would take
// twice the shuffles.
SWIFT_NATIVE_INLINE Extent extent_of(__m512 shares, __m512i roots, __m512i least_roots) {
    const __m512i share_bits = _mm512_castps_si512(shares);
    const __m512i least = _mm512_xor_si512(least_roots, all(0xffffffffU));  // the smallest is the largest of these
    const __m512i halves = _mm512_max_epu32(_mm512_shuffle_i64x2(share_bits, roots, 0x44),
                                            _mm512_shuffle_i64x2(share_bits, roots, 0xee));
    const __m512i least_halves = _mm512_max_epu32(least, _mm512_shuffle_i64x2(least, least, 0x4e));
    const __m512i quarters = _mm512_max_epu32(_mm512_shuffle_i64x2(halves, least_halves, 0x08),
                                              _mm512_shuffle_i64x2(halves, least_halves, 0x5d));
    const __m512i pairs = _mm512_max_epu32(quarters, _mm512_shuffle_epi32(quarters, _MM_PERM_BADC));
    alignas(64) uint32_t found[kLanes];
    _mm512_store_si512(found, _mm512_max_epu32(pairs, _mm512_shuffle_epi32(pairs, _MM_PERM_CDAB)));
    return {found[0], found[4], ~found[8]};
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
        roots_and_inverses(v, roots, inverses);
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
            least_bits = _mm512_min_epu32(least_bits, bits);
        }
        Param* weights = param + group;
        uint16_t* compensation = Weights::kCompensated ? span.compensation + begin + group : nullptr;
        if (Weights::kCompensated) prefetch_block<true, 4 * kLanes>(compensation, kAhead);
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const int64_t at = i * kLanes;
            const uint16_t* rest = Weights::kCompensated ? compensation + at : nullptr;
            const __m512 before = load_weights<Weights>(weights + at, rest);
            v[i] = _mm512_sub_ps(_mm512_mul_ps(before, c.decay), v[i]);
        }
        store_weights<Weights>(weights, compensation, v, counters);
    }
    block.extent = extent_of(largest_share, root_bits, least_bits);
}

// Makes 0 the shares of roots of 0, and leaves those roots out of the extent. Few blocks have any; the others are spared
// the cost.
SWIFT_NATIVE_INLINE void leave_out_zeros(Block& block) {
    __m512 largest_share = _mm512_setzero_ps();
    __m512i least_bits = all(0xffffffffU);
    for (int64_t at = 0; at < kBlock8; at += kLanes) {
        const __m512i root = _mm512_load_si512(block.roots + at);
        const __mmask16 is_not_zero = _mm512_test_epi32_mask(root, root);
        const __m512 share = _mm512_maskz_mov_ps(is_not_zero, _mm512_load_ps(block.shares + at));
        _mm512_store_ps(block.shares + at, share);
        largest_share = _mm512_range_ps(largest_share, share, kLargestMagnitude);
        least_bits = _mm512_mask_min_epu32(least_bits, is_not_zero, least_bits, root);
    }
    const Extent found = extent_of(largest_share, _mm512_setzero_si512(), least_bits);
    block.extent.largest_share = found.largest_share;
    block.extent.smallest_root = block.extent.largest_root == 0 ? 0U : found.smallest_root;
}

// How a block is encoded.
struct Coding {
    RootCodes roots;
    float shares_in_one;
    bool is_finite;
};

// Writes the scales of a block.
SWIFT_NATIVE_INLINE Coding begin_encoding(Block& block, const Pair8& pair, int64_t begin) {
    if (block.extent.smallest_root == 0) leave_out_zeros(block);
    const Extent extent = block.extent;
    const RootCodes roots = roots_between(extent.smallest_root, extent.largest_root);
    const uint32_t scale = share_scale(extent.largest_share);
    const bool is_finite = extent.largest_root < kInfinity && extent.largest_share < kInfinity;
    pair.share_scales[begin / kBlock8] = static_cast<uint8_t>(scale);
    store_root_scale(pair.root_scales, begin / kBlock8, roots.scale);
    return {roots, shares_in_one(scale), is_finite};
}

// Writes the codes. `kReaches`: the codes reach down to the smallest root that is not 0, and what is 0 saturates to 0.
template <bool kReaches>
SWIFT_NATIVE_INLINE void encode(const Block& block, const Coding& coding, const Pair8& pair, int64_t begin,
                                uint32_t counter) {
    const uint32_t unit = 1U << coding.roots.step;
    const __m512i step = all(coding.roots.step), below_unit = all(unit - 1U), base = all(coding.roots.first - unit);
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
            // ~(base | (word & below_unit)) is what is added to round, less the first code: base is a multiple of unit.
            const __m512i shift = _mm512_ternarylogic_epi32(words[i ^ 1], below_unit, base, 0x15);
            roots[i] = _mm512_srav_epi32(_mm512_add_epi32(root, shift), step);
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
