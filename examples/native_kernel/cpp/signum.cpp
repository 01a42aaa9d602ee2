// Compiled once for each instruction set.
#include "signum.hpp"

#include <swift_native/kernels/element.hpp>

void acme::SWIFT_NATIVE_KERNELS::signum(float* SWIFT_NATIVE_RESTRICT param, const float* SWIFT_NATIVE_RESTRICT grad,
                                        float* SWIFT_NATIVE_RESTRICT momentum, long long n, Scalars s) {
    for (long long i = 0; i < n; ++i) {
        const float m = s.beta * momentum[i] + (1.0F - s.beta) * grad[i];
        const float direction = m > 0.0F ? 1.0F : m < 0.0F ? -1.0F : m;
        momentum[i] = m;
        param[i] = param[i] * s.decay - s.step_size * direction;
    }
}
