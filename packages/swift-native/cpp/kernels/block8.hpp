// States in 8 bits: one code for each element and scales for each block of kBlock8 elements. There are three kinds.
//
// Lone: a signed state with no second moment beside it. A code is a sign and a piece of the float's own bits, exponent
// and three bits of the mantissa, counted down from the block's largest magnitude: 127 is 2^(e+1), 15 octaves below it
// have eight codes each, 0 is zero, and what is smaller becomes zero. The scale, one byte, is the exponent field e, at
// least 15; 255 marks a block that is not finite.
//
// Roots: an average of squares v, kept as s = root(v) (Fast of kernels/precision.hpp). With a top and a step of the block,
//
//     s = float whose bits are top - (255 - code) * 2^step            code in 1..255; 0 is zero
//
// so that codes are spaced evenly in each octave, 2^(23 - step) of them. The step, 12 to 20, is the smallest with which
// 254 codes reach from the largest root of the block to the smallest that is not 0; with 20, at 32 octaves, what is
// smaller gets the smallest code: it is divided by. The scale, two bytes, the lower first, is top / 2^19 * 16 + step - 12,
// where top is the largest root's bits rounded up to a multiple of 2^19 (of 2^20 with step 20); 0xffff marks a block
// that is not finite; its codes are 1.
//
// Shares: a first moment m beside a second moment, kept as r = m / root(v), which is what moves the weight: it is of one
// size whatever that of the gradients, and |r| <= (1 - beta1) / sqrt((1 - beta2) * (1 - beta1^2 / beta2)).
//
//     r = code * largest / 127                                         code in -127..127
//
// The scale, one byte, says how large the block's largest |r| is: float bits / 2^20 - 871, rounded up, 8 to the octave
// from 2^-18 to 2^13.75; 0 for a block of zeros, 255 for one that is not finite. A root is divided by before it is
// coded, so that m and root(v) are off by one and the same factor, and their quotient by the step of r alone. Where v is 0
// so is r.
//
// Rounding is to nearest, ties up, or stochastic, which leaves the mean where it is.
//
// Preconditions: arrays hold what is said above; the first element begins a block; averages of squares are not
// negative. A kernel allocates nothing, throws nothing and may run on disjoint blocks from several threads.
#pragma once

#include <cstdint>

namespace swift_native {

// Elements that share a scale, counted in memory order from the start of the parameter.
constexpr std::int64_t kBlock8 = 128;

// Bytes of scale of a block of roots.
constexpr std::int64_t kRootScale = 2;

// Reads codes as float: lone states as they are, roots squared.
using Decode8Kernel = void (*)(const std::uint8_t* codes, const std::uint8_t* scales, float* values,
                               std::int64_t num_elements);

// Writes lone states as codes; `counter` is that of the first element (kernels/random.hpp), unused when rounding to
// nearest.
using Encode8Kernel = void (*)(const float* values, std::uint8_t* codes, std::uint8_t* scales,
                               std::int64_t num_elements, std::uint32_t counter);

// Writes averages of squares as roots, to nearest.
using EncodeRoots8Kernel = void (*)(const float* values, std::uint8_t* codes, std::uint8_t* scales,
                                    std::int64_t num_elements);

// Where both moments of the same elements lie.
struct Pair8 {
    std::uint8_t* shares;  // codes
    std::uint8_t* roots;
    std::uint8_t* share_scales;
    std::uint8_t* root_scales;
};

using DecodePair8Kernel = void (*)(const Pair8& pair, float* first, float* second, std::int64_t num_elements);
using EncodePair8Kernel = void (*)(const float* first, const float* second, const Pair8& pair,
                                   std::int64_t num_elements, std::uint32_t counter);

struct Block8Kernels {
    Decode8Kernel decode_lone;
    Decode8Kernel decode_roots;
    DecodePair8Kernel decode_pair;
    Encode8Kernel encode_lone[2];      // [is stochastic]
    EncodePair8Kernel encode_pair[2];  // [is stochastic]
    EncodeRoots8Kernel encode_roots;
};

}  // namespace swift_native
