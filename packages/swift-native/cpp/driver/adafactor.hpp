// One Adafactor step over a list of tensors.
#pragma once

#include <cstddef>
#include <cstdint>

namespace swift_native {

// One parameter, a stack of matrices over its last two dimensions, or a vector; all fields have the same width.
struct AdafactorRow {
    std::int64_t param;       // float
    std::int64_t grad;        // float
    std::int64_t row_var;     // float, one for each row; 0 for a vector
    std::int64_t column_var;  // float, one for each column; a vector's second moment
    std::int64_t step;        // one float: the number of steps taken so far
    std::int64_t num_matrices;
    std::int64_t num_rows;
    std::int64_t num_columns;
    std::int64_t group;  // index into the options
};

struct AdafactorOptions {
    double lr;
    double beta2_decay;  // beta2 = 1 - step^beta2_decay
    double eps1;         // least mean of the row factors; its square is the least estimate
    double eps2;         // least root mean square of the weights that scales a step
    double threshold;    // largest root mean square of a move before lr
    double weight_decay;
    double maximize;  // 0 or 1
};

// Returns null if the rows can be used, else what is wrong.
const char* check_adafactor(const AdafactorRow* rows, std::size_t num_rows, std::size_t num_groups);

// Adds one to the step count of every row and updates its parameter and factors. The formulas are in
// kernels/adafactor.hpp. Matrices are cut into runs of rows whose number does not depend on `num_threads`, nor does a
// result. Preconditions: check_adafactor returned null; the addresses stay valid until the call returns; num_threads >=
// 1. Memory for sums is allocated when a tensor is larger than any before on the same thread.
void adafactor_step(const AdafactorRow* rows, std::size_t num_rows, const AdafactorOptions* options, int num_threads);

}  // namespace swift_native
