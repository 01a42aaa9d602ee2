// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/block8.hpp"

#include "kernels/pair8.hpp"
#include "kernels/precision.hpp"
#include "kernels/prefetch.hpp"
#include "kernels/random.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

// Bits of the mantissa that the code of a lone state leaves out.
constexpr uint32_t kDropped = 20;
constexpr uint32_t kSpoiled = 255;
constexpr int32_t kTop = 127;
// The smallest scale: with less the smallest codes would stand for less than the smallest float.
constexpr uint32_t kSmallestScale = 15;
// Codes are a quarter of the floats: 2 KB ahead is four times as many elements.
constexpr int64_t kCodesAhead = 2048;

SWIFT_NATIVE_INLINE int64_t size_at(int64_t begin, int64_t num_elements) {
    return num_elements - begin < kBlock8 ? num_elements - begin : kBlock8;
}

// Calls `one` for each block with its first element and its size, which the compiler knows for whole blocks.
template <typename One>
SWIFT_NATIVE_INLINE void for_each_block(int64_t num_elements, One one) {
    int64_t i = 0;
    for (; i + kBlock8 <= num_elements; i += kBlock8) one(i, kBlock8);
    if (i < num_elements) one(i, size_at(i, num_elements));
}

// What to add to a code to get the upper bits of the float; not negative.
SWIFT_NATIVE_INLINE int32_t base_of(uint32_t scale) { return (static_cast<int32_t>(scale) + 1) * 8 - kTop; }

SWIFT_NATIVE_INLINE void decode_lone_block(const uint8_t* SWIFT_NATIVE_RESTRICT codes, uint32_t scale,
                                           float* SWIFT_NATIVE_RESTRICT values, int64_t size) {
    const uint32_t base = static_cast<uint32_t>(base_of(scale));
    for (int64_t i = 0; i < size; ++i) {
        const uint32_t code = codes[i];
        const uint32_t magnitude = code & 0x7fU;
        const uint32_t bits = magnitude == 0 ? 0U : (magnitude + base) << kDropped;
        values[i] = float_of(bits | (code & 0x80U) << 24);
    }
    if (scale != kSpoiled) return;
    for (int64_t i = 0; i < size; ++i) values[i] = float_of(0x7fc00000U);
}

SWIFT_NATIVE_INLINE uint32_t largest_bits(const float* values, int64_t size) {
    int32_t largest = 0;
    for (int64_t i = 0; i < size; ++i) {
        const int32_t bits = static_cast<int32_t>(bits_of(values[i]) & 0x7fffffffU);
        largest = bits > largest ? bits : largest;
    }
    return static_cast<uint32_t>(largest);
}

// Bits of the smallest value that is not 0, or more than those of any number.
SWIFT_NATIVE_INLINE uint32_t smallest_bits(const float* values, int64_t size) {
    uint32_t smallest = 0xffffffffU;
    for (int64_t i = 0; i < size; ++i) {
        const uint32_t before = bits_of(values[i]) - 1U;  // of 0, the largest there is
        smallest = before < smallest ? before : smallest;
    }
    return smallest + (smallest == 0xffffffffU ? 0U : 1U);
}

SWIFT_NATIVE_INLINE void pack(const uint32_t* SWIFT_NATIVE_RESTRICT wide, uint8_t* SWIFT_NATIVE_RESTRICT codes,
                              int64_t size) {
    for (int64_t i = 0; i < size; ++i) codes[i] = static_cast<uint8_t>(wide[i]);
}

template <bool kStochastic>
SWIFT_NATIVE_INLINE void encode_lone_block(const float* values, uint8_t* codes, uint8_t* scale, int64_t size,
                                           uint32_t counter) {
    const uint32_t found = largest_bits(values, size) >> 23;
    const uint32_t exponent = found < kSmallestScale ? kSmallestScale : found;
    *scale = static_cast<uint8_t>(exponent);
    const int32_t base = base_of(exponent);
    uint32_t wide[kBlock8];
    for (int64_t i = 0; i < size; ++i, counter += kCounterStep) {
        const uint32_t added = kStochastic ? random_word(counter) >> (32 - kDropped) : 1U << (kDropped - 1);
        const uint32_t bits = bits_of(values[i]);
        const int32_t code = static_cast<int32_t>(((bits & 0x7fffffffU) + added) >> kDropped) - base;
        wide[i] = static_cast<uint32_t>(code < 0 ? 0 : code) | (bits >> 24 & 0x80U);
    }
    pack(wide, codes, size);
}

SWIFT_NATIVE_INLINE void decode_roots_block(const uint8_t* SWIFT_NATIVE_RESTRICT codes, RootCodes roots,
                                            float* SWIFT_NATIVE_RESTRICT values, int64_t size) {
    for (int64_t i = 0; i < size; ++i) {
        const uint32_t code = codes[i];
        values[i] = float_of(code == 0 ? 0U : roots.first + (code << roots.step));
    }
}

// Uniform in the lower `step` bits: those of the word turned by 16, the other way round.
SWIFT_NATIVE_INLINE uint32_t for_root(uint32_t word, uint32_t step) { return ~turned(word, 16) & ((1U << step) - 1U); }

// `added`, below 2^step, rounds.
SWIFT_NATIVE_INLINE uint32_t root_code(float root, uint32_t added, const RootCodes& roots) {
    const uint32_t bits = bits_of(root);
    const int32_t code = static_cast<int32_t>(bits + added - roots.first) >> roots.step;
    return bits == 0 ? 0U : static_cast<uint32_t>(code < 1 ? 1 : code);
}

// `offset` is in [128, 129), what is added to 128 rounds; the result is the code plus 128.
SWIFT_NATIVE_INLINE uint32_t share_code(float share, float per_one, float offset) {
    const int32_t code = static_cast<int32_t>(share * per_one + offset);
    return static_cast<uint32_t>(code > 255 ? 255 : code) ^ 0x80U;
}

SWIFT_NATIVE_INLINE void decode_pair_block(const Pair8& pair, int64_t begin, float* SWIFT_NATIVE_RESTRICT first,
                                           float* SWIFT_NATIVE_RESTRICT second, int64_t size) {
    const int64_t block = begin / kBlock8;
    const uint8_t* SWIFT_NATIVE_RESTRICT shares = pair.shares + begin;
    float roots[kBlock8];
    decode_roots_block(pair.roots + begin, roots_of(load_root_scale(pair.root_scales, block)), roots, size);
    const float unit = share_unit(pair.share_scales[block]);
    for (int64_t i = 0; i < size; ++i) {
        const float share = static_cast<float>(static_cast<int8_t>(shares[i])) * unit;
        first[i] = share * roots[i];
        second[i] = roots[i] * roots[i];
    }
}

template <bool kStochastic>
SWIFT_NATIVE_INLINE void encode_pair_block(const float* first, const float* second, const Pair8& pair, int64_t begin,
                                           int64_t size, uint32_t counter) {
    float roots[kBlock8];
    float shares[kBlock8];
    for (int64_t i = 0; i < size; ++i) {
        const RootAndInverse both = Fast::root_and_inverse(second[i]);
        roots[i] = both.root;
        shares[i] = first[i] * both.inverse;
    }
    const uint32_t largest_root = largest_bits(roots, size);
    const uint32_t largest_share = largest_bits(shares, size);
    if (largest_root >= kInfinity || largest_share >= kInfinity) return spoil(pair, begin, size);
    const RootCodes codes = roots_between(largest_root == 0 ? 0U : smallest_bits(roots, size), largest_root);
    const uint32_t scale = share_scale(largest_share);
    const float per_one = shares_in_one(scale);
    uint32_t words[kBlock8];
    for (int64_t i = 0; kStochastic && i < kBlock8; i += kTurned) turned_words(counter_at(counter, i), words + i);
    uint32_t wide_roots[kBlock8];
    uint32_t wide_shares[kBlock8];
    for (int64_t i = 0; i < size; ++i) {
        const uint32_t added = kStochastic ? for_root(words[i], codes.step) : 1U << (codes.step - 1);
        const uint32_t offset = kStochastic ? words[i] & 0xffffU : 0x8000U;
        wide_roots[i] = root_code(roots[i], added, codes);
        wide_shares[i] = share_code(shares[i], per_one, float_of(0x43000000U | offset));
    }
    pack(wide_roots, pair.roots + begin, size);
    pack(wide_shares, pair.shares + begin, size);
    pair.share_scales[begin / kBlock8] = static_cast<uint8_t>(scale);
    store_root_scale(pair.root_scales, begin / kBlock8, codes.scale);
}

SWIFT_NATIVE_INLINE void encode_roots_block(const float* values, uint8_t* to, uint8_t* scales, int64_t block,
                                            int64_t size) {
    float roots[kBlock8];
    for (int64_t i = 0; i < size; ++i) roots[i] = Fast::root(values[i]);
    const uint32_t largest = largest_bits(roots, size);
    if (largest >= kInfinity) {
        store_root_scale(scales, block, kSpoiledRoots);
        for (int64_t i = 0; i < size; ++i) to[i] = 1;
        return;
    }
    const RootCodes codes = roots_between(largest == 0 ? 0U : smallest_bits(roots, size), largest);
    uint32_t wide[kBlock8];
    for (int64_t i = 0; i < size; ++i) wide[i] = root_code(roots[i], 1U << (codes.step - 1), codes);
    pack(wide, to, size);
    store_root_scale(scales, block, codes.scale);
}

void decode_lone(const uint8_t* codes, const uint8_t* scales, float* values, int64_t num_elements) {
    for_each_block(num_elements, [=](int64_t i, int64_t size) {
        prefetch_block<true, kBlock8>(codes, i + kCodesAhead);
        decode_lone_block(codes + i, scales[i / kBlock8], values + i, size);
    });
}

void decode_roots(const uint8_t* codes, const uint8_t* scales, float* values, int64_t num_elements) {
    for_each_block(num_elements, [=](int64_t i, int64_t size) {
        decode_roots_block(codes + i, roots_of(load_root_scale(scales, i / kBlock8)), values + i, size);
        for (int64_t j = i; j < i + size; ++j) values[j] *= values[j];
    });
}

void decode_pair(const Pair8& pair, float* first, float* second, int64_t num_elements) {
    for_each_block(num_elements, [=](int64_t i, int64_t size) {
        prefetch_block<true, kBlock8>(pair.shares, i + kCodesAhead);
        prefetch_block<true, kBlock8>(pair.roots, i + kCodesAhead);
        decode_pair_block(pair, i, first + i, second + i, size);
    });
}

template <bool kStochastic>
void encode_lone(const float* values, uint8_t* codes, uint8_t* scales, int64_t num_elements, uint32_t counter) {
    for_each_block(num_elements, [=](int64_t i, int64_t size) {
        encode_lone_block<kStochastic>(values + i, codes + i, scales + i / kBlock8, size, counter_at(counter, i));
    });
}

template <bool kStochastic>
void encode_pair(const float* first, const float* second, const Pair8& pair, int64_t num_elements, uint32_t counter) {
    for_each_block(num_elements, [=](int64_t i, int64_t size) {
        encode_pair_block<kStochastic>(first + i, second + i, pair, i, size, counter_at(counter, i));
    });
}

void encode_roots(const float* values, uint8_t* codes, uint8_t* scales, int64_t num_elements) {
    for_each_block(num_elements, [=](int64_t i, int64_t size) {
        encode_roots_block(values + i, codes + i, scales, i / kBlock8, size);
    });
}

}  // namespace

void fill_block8(KernelTable& table) {
    table.block8.decode_lone = decode_lone;
    table.block8.decode_roots = decode_roots;
    table.block8.decode_pair = decode_pair;
    table.block8.encode_lone[0] = encode_lone<false>;
    table.block8.encode_lone[1] = encode_lone<true>;
    table.block8.encode_pair[0] = encode_pair<false>;
    table.block8.encode_pair[1] = encode_pair<true>;
    table.block8.encode_roots = encode_roots;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
