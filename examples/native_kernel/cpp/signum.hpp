// Signum, for one run of elements: m = beta m + (1 - beta) g; p = p * decay - step_size * sign(m). sign(0) is 0.
#pragma once
#include <swift_native/dispatch/choose.hpp>

namespace acme {
struct Scalars { float beta, decay, step_size; };
SWIFT_NATIVE_DECLARE(void signum(float* param, const float* grad, float* momentum, long long n, Scalars scalars))
}  // namespace acme
