// Adafactor over rows of a matrix, in three passes, with no array beside the gradient and the weights.
//
// For a gradient g of `num_rows` by `num_columns`, factors r (by row) and c (by column) and m the mean of r:
//
//     sum_factors   row_sums[i] = sum over j of g_ij^2,   column_sums[j] += sum over i of g_ij^2
//     sum_moves     sum over i, j of u_ij^2               u_ij = g_ij / sqrt(max(r_i * c_j / m, floor))
//     move          p_ij = p_ij * decay - step_size * u_ij
//
// Shazeer and Stern, 2018, arXiv:1804.04235, alg. 4, in the form of torch.optim.Adafactor. A vector, whose second
// moment is not factored, is one row with r_0 = m = 1 and the moment itself as c.
//
// Arithmetic is float, sums are double. Row and column sums run in the order of memory; column sums of different rows
// are added by the caller's choice of rows. Preconditions: arrays hold what is said above and do not overlap;
// row_scales[i] = r_i / m. No kernel allocates or throws; all may run on disjoint rows from several threads, each with
// column sums of its own.
#pragma once

#include <cstdint>

namespace swift_native {

// Consecutive rows of one matrix.
struct FactoredRows {
    float* param;
    const float* grad;
    const float* row_scales;
    const float* columns;  // c
    std::int64_t num_rows;
    std::int64_t num_columns;
    float floor;
};

using SumFactorsKernel = void (*)(const FactoredRows& rows, double* row_sums, double* column_sums);
using SumMovesKernel = double (*)(const FactoredRows& rows);
using MoveRowsKernel = void (*)(const FactoredRows& rows, float decay, float step_size);

struct AdafactorKernels {
    SumFactorsKernel sum_factors;
    SumMovesKernel sum_moves;
    MoveRowsKernel move;
};

}  // namespace swift_native
