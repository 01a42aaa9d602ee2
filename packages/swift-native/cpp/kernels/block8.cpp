// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/block8.hpp"

#include "kernels/prefetch.hpp"
#include "kernels/random.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

// Bits of the mantissa that a code leaves out.
constexpr uint32_t kDropped = 20;
constexpr uint32_t kSpoiled = 255;
// Codes are a quarter of the floats: 2 KB ahead is four times as many elements.
constexpr int64_t kCodesAhead = 2048;

template <bool kSigned>
constexpr int32_t kTop = kSigned ? 127 : 255;

// The smallest scale: with less the smallest codes would stand for less than the smallest float.
template <bool kSigned>
constexpr uint32_t kSmallestScale = (kTop<kSigned> + 1) / 8 - 1;

// What to add to a code to get the upper bits of the float; not negative.
template <bool kSigned>
SWIFT_NATIVE_INLINE int32_t base_of(uint32_t scale) {
    return (static_cast<int32_t>(scale) + 1) * 8 - kTop<kSigned>;
}

template <bool kSigned>
SWIFT_NATIVE_INLINE float decoded(uint32_t code, int32_t base) {
    const uint32_t magnitude = kSigned ? code & 0x7fU : code;
    const uint32_t bits = magnitude == 0 ? 0U : (magnitude + static_cast<uint32_t>(base)) << kDropped;
    return float_of(kSigned ? bits | (code & 0x80U) << 24 : bits);
}

template <bool kSigned>
SWIFT_NATIVE_INLINE void decode_block(const uint8_t* SWIFT_NATIVE_RESTRICT codes, uint32_t scale,
                                      float* SWIFT_NATIVE_RESTRICT values, int64_t size) {
    const int32_t base = base_of<kSigned>(scale);
    for (int64_t i = 0; i < size; ++i) values[i] = decoded<kSigned>(codes[i], base);
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

// The code of one element in the lower 8 bits; `added` is below 2^kDropped.
template <bool kSigned>
SWIFT_NATIVE_INLINE uint32_t encoded(float value, uint32_t added, int32_t base) {
    const uint32_t bits = bits_of(value);
    const uint32_t magnitude = bits & 0x7fffffffU;
    int32_t code = static_cast<int32_t>((magnitude + added) >> kDropped) - base;
    const int32_t smallest = !kSigned && magnitude != 0 ? 1 : 0;
    code = code < smallest ? smallest : code;
    return static_cast<uint32_t>(code) | (kSigned ? bits >> 24 & 0x80U : 0U);
}

// Writes the scale of a block; returns what its codes begin at.
template <bool kSigned>
SWIFT_NATIVE_INLINE int32_t scaled(const float* values, uint8_t* scale, int64_t size) {
    const uint32_t found = largest_bits(values, size) >> 23;
    const uint32_t exponent = found < kSmallestScale<kSigned> ? kSmallestScale<kSigned> : found;
    *scale = static_cast<uint8_t>(exponent);
    return base_of<kSigned>(exponent);
}

SWIFT_NATIVE_INLINE void pack(const uint32_t* SWIFT_NATIVE_RESTRICT wide, uint8_t* SWIFT_NATIVE_RESTRICT codes,
                              int64_t size) {
    for (int64_t i = 0; i < size; ++i) codes[i] = static_cast<uint8_t>(wide[i]);
}

template <bool kSigned, bool kStochastic>
SWIFT_NATIVE_INLINE void encode_block(const float* values, uint8_t* codes, uint8_t* scale, int64_t size,
                                      uint32_t counter) {
    const int32_t base = scaled<kSigned>(values, scale, size);
    uint32_t wide[kBlock8];
    for (int64_t i = 0; i < size; ++i, counter += kCounterStep) {
        const uint32_t added = kStochastic ? random_word(counter) >> (32 - kDropped) : 1U << (kDropped - 1);
        wide[i] = encoded<kSigned>(values[i], added, base);
    }
    pack(wide, codes, size);
}

SWIFT_NATIVE_INLINE void encode_pair_block(const float* first, const float* second, uint8_t* first_codes,
                                           uint8_t* second_codes, uint8_t* first_scale, uint8_t* second_scale,
                                           int64_t size, uint32_t counter) {
    const int32_t first_base = scaled<true>(first, first_scale, size);
    const int32_t second_base = scaled<false>(second, second_scale, size);
    uint32_t first_wide[kBlock8];
    uint32_t second_wide[kBlock8];
    for (int64_t i = 0; i < size; ++i, counter += kCounterStep) {
        const uint32_t added = random_word(counter) >> (32 - kDropped);
        first_wide[i] = encoded<true>(first[i], added, first_base);
        second_wide[i] = encoded<false>(second[i], added, second_base);
    }
    pack(first_wide, first_codes, size);
    pack(second_wide, second_codes, size);
}

template <bool kSigned>
void decode(const uint8_t* codes, const uint8_t* scales, float* values, int64_t num_elements) {
    int64_t i = 0;
    for (; i + kBlock8 <= num_elements; i += kBlock8) {
        prefetch_block<true, kBlock8>(codes, i + kCodesAhead);
        decode_block<kSigned>(codes + i, scales[i / kBlock8], values + i, kBlock8);
    }
    if (i < num_elements) decode_block<kSigned>(codes + i, scales[i / kBlock8], values + i, num_elements - i);
}

template <bool kSigned, bool kStochastic>
void encode(const float* values, uint8_t* codes, uint8_t* scales, int64_t num_elements, uint32_t counter) {
    for (int64_t i = 0; i < num_elements; i += kBlock8) {
        const uint32_t first = counter_at(counter, i);
        if (num_elements - i >= kBlock8) {
            encode_block<kSigned, kStochastic>(values + i, codes + i, scales + i / kBlock8, kBlock8, first);
        } else {
            encode_block<kSigned, kStochastic>(values + i, codes + i, scales + i / kBlock8, num_elements - i, first);
        }
    }
}

void encode_pair(const float* first, const float* second, uint8_t* first_codes, uint8_t* second_codes,
                 uint8_t* first_scales, uint8_t* second_scales, int64_t num_elements, uint32_t counter) {
    for (int64_t i = 0; i < num_elements; i += kBlock8) {
        const int64_t block = i / kBlock8;
        const uint32_t begin = counter_at(counter, i);
        if (num_elements - i >= kBlock8) {
            encode_pair_block(first + i, second + i, first_codes + i, second_codes + i, first_scales + block,
                              second_scales + block, kBlock8, begin);
        } else {
            encode_pair_block(first + i, second + i, first_codes + i, second_codes + i, first_scales + block,
                              second_scales + block, num_elements - i, begin);
        }
    }
}

}  // namespace

void fill_block8(KernelTable& table) {
    table.block8.decode[0] = decode<false>;
    table.block8.decode[1] = decode<true>;
    table.block8.encode[0][0] = encode<false, false>;
    table.block8.encode[0][1] = encode<false, true>;
    table.block8.encode[1][0] = encode<true, false>;
    table.block8.encode[1][1] = encode<true, true>;
    table.block8.encode_pair = encode_pair;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
