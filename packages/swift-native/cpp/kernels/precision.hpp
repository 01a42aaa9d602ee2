// Square roots. For kernel sources only.
#pragma once

#include <math.h>

#include "kernels/element.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

// As IEEE 754 has it. Both policies give the same bits with every instruction set.
struct Exact {
    static constexpr bool kIsFast = false;
    SWIFT_NATIVE_INLINE float root(float x) { return sqrtf(x); }
};

// A square root and its inverse.
struct RootAndInverse {
    float root;
    float inverse;
};

// With a relative error below 3e-5 and without the divider, which the quotient of the step needs and which is what
// limits a step over narrow states. An estimate of 1 / root from the exponent's half is corrected by a polynomial in x
// * estimate^2, a least-squares fit at Chebyshev's points.
struct Fast {
    static constexpr bool kIsFast = true;
    // For x >= 0. 0, infinity and NaN come out as they should; a denormal x gives something between 0 and its root.
    SWIFT_NATIVE_INLINE float root(float x) {
        const float estimate = float_of(0x5f36e000U - (bits_of(x) >> 1));
        const float root = x * estimate;
        const float h = root * estimate;
        return root * (1.8808990F + h * (-1.2607571F + h * 0.3798538F));
    }

    // The inverse of 0 is 0.
    SWIFT_NATIVE_INLINE RootAndInverse root_and_inverse(float x) {
        const float estimate = float_of(0x5f36e000U - (bits_of(x) >> 1));
        const float root = x * estimate;
        const float h = root * estimate;
        const float factor = 1.8808990F + h * (-1.2607571F + h * 0.3798538F);
        return {root * factor, x == 0.0F ? 0.0F : estimate * factor};
    }
};

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
