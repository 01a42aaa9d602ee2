// States in 8 bits: one code for each element and one scale for each block of kBlock8 elements.
//
// A code is a piece of the float's own bits: the exponent and three bits of the mantissa, counted down from the block's
// largest magnitude. The scale is the exponent field of that magnitude, but at least 15 signed and 31 unsigned.
//
//     signed      sign, and 7 bits: 0 is zero, 127 is 2^(e+1), 15 octaves below it have eight codes each
//     unsigned    8 bits: 0 is zero, 255 is 2^(e+1), 31 octaves below it have eight codes each
//
// for a largest magnitude in [2^e, 2^(e+1)]. A signed value below the smallest code becomes zero; an unsigned one
// becomes the smallest code, because it is divided by. Rounding is stochastic or to nearest (ties up), with a relative
// error below 1/8 or at most 1/16. A block that holds infinity or NaN has scale 255 and reads as NaN.
//
// Preconditions: `values` and `codes` hold `num_elements`, `scales` one byte for each block begun; the first element
// begins a block; unsigned values are not negative. A kernel allocates nothing, throws nothing and may run on disjoint
// blocks from several threads.
#pragma once

#include <cstdint>

namespace swift_native {

// Elements that share a scale, counted in memory order from the start of the parameter.
constexpr std::int64_t kBlock8 = 256;

// Reads codes as float.
using Decode8Kernel = void (*)(const std::uint8_t* codes, const std::uint8_t* scales, float* values,
                               std::int64_t num_elements);

// Writes float as codes; `counter` is that of the first element (kernels/random.hpp), unused when rounding to nearest.
using Encode8Kernel = void (*)(const float* values, std::uint8_t* codes, std::uint8_t* scales,
                               std::int64_t num_elements, std::uint32_t counter);

// Writes a signed and an unsigned array of the same elements, both stochastically and with the same random bits: a
// quotient of the two is then off by less than if they were rounded apart.
using EncodePair8Kernel = void (*)(const float* signed_values, const float* unsigned_values, std::uint8_t* signed_codes,
                                   std::uint8_t* unsigned_codes, std::uint8_t* signed_scales,
                                   std::uint8_t* unsigned_scales, std::int64_t num_elements, std::uint32_t counter);

struct Block8Kernels {
    Decode8Kernel decode[2];     // [is signed]
    Encode8Kernel encode[2][2];  // [is signed][is stochastic]
    EncodePair8Kernel encode_pair;
};

}  // namespace swift_native
