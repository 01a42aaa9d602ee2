// The norm of a list of arrays as if they were one, and their scaling: clipping by the global norm.
#pragma once

#include <cstddef>
#include <cstdint>

namespace swift_native {

// An array of gradients; all fields have the same width.
struct GradRow {
    std::int64_t values;
    std::int64_t num_elements;
    std::int64_t dtype;  // a Dtype
};

// Returns null if the rows can be used, else what is wrong.
const char* check_grads(const GradRow* rows, std::size_t num_rows);

// Returns the square root of the sum of all squares, in double. Sums of chunks are added in their order, so that the
// result does not depend on the number of threads. Preconditions: check_grads returned null; num_threads >= 1.
double global_norm(const GradRow* rows, std::size_t num_rows, int num_threads);

// Multiplies every element. Preconditions: as for global_norm.
void scale_all(const GradRow* rows, std::size_t num_rows, double factor, int num_threads);

// What brings a norm down to `max_norm`: torch.nn.utils.clip_grad_norm_'s max_norm / (norm + 1e-6), at most 1; NaN for
// NaN.
double clip_factor(double norm, double max_norm);

}  // namespace swift_native
