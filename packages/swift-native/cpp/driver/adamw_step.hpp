// One AdamW step over a list of tensors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace swift_native {

// One parameter as Python hands it over; addresses are integers, and all fields have the same width.
struct AdamWRow {
    std::int64_t param;
    std::int64_t grad;
    std::int64_t exp_avg;
    std::int64_t exp_avg_sq;
    std::int64_t max_exp_avg_sq;  // 0 unless the group uses amsgrad
    std::int64_t step;            // one float: the number of steps taken so far
    std::int64_t num_elements;
    std::int64_t param_dtype;  // a Dtype
    std::int64_t grad_dtype;   // a Dtype
    std::int64_t group;        // index into the options
};

// The options of one parameter group.
struct AdamWOptions {
    double lr;
    double beta1;
    double beta2;
    double eps;
    double weight_decay;
    double maximize;  // 0 or 1
};

// Returns null if the rows and options keep the preconditions of the kernel as far as can be seen from here (types,
// sizes, groups, no null address), else what is wrong.
const char* check_adamw(const AdamWRow* rows, std::size_t num_rows, std::size_t num_groups);

// Adds one to the step count of every row and updates its parameter and moments. The formula is in kernels/adamw.hpp.
// Preconditions: check_adamw returned null; the addresses stay valid until the call returns; num_threads >= 1.
void adamw_step(const AdamWRow* rows, std::size_t num_rows, const AdamWOptions* options, int num_threads);

// Moves the memory of such a step with almost no arithmetic (kernels/traffic.hpp). Step counts stay as they are.
// Preconditions: as for adamw_step; all rows are float.
void adamw_traffic(const AdamWRow* rows, std::size_t num_rows, int num_threads);

}  // namespace swift_native
