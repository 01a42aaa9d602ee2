// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/adafactor.hpp"

#include "kernels/precision.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

constexpr int64_t kSums = 16;

void sum_factors(const FactoredRows& rows, double* SWIFT_NATIVE_RESTRICT row_sums,
                 double* SWIFT_NATIVE_RESTRICT column_sums) {
    for (int64_t i = 0; i < rows.num_rows; ++i) {
        const float* SWIFT_NATIVE_RESTRICT g = rows.grad + i * rows.num_columns;
        double sums[kSums] = {};
        int64_t j = 0;
        for (; j + kSums <= rows.num_columns; j += kSums) {
            for (int64_t k = 0; k < kSums; ++k) {
                const double value = static_cast<double>(g[j + k]);
                sums[k] += value * value;
                column_sums[j + k] += value * value;
            }
        }
        for (; j < rows.num_columns; ++j) {
            const double value = static_cast<double>(g[j]);
            sums[j % kSums] += value * value;
            column_sums[j] += value * value;
        }
        double total = 0.0;
        for (int64_t k = 0; k < kSums; ++k) total += sums[k];
        row_sums[i] = total;
    }
}

SWIFT_NATIVE_INLINE float move_of(float g, float row_scale, float column, float floor) {
    const float estimate = row_scale * column;
    return g / Exact::root(estimate < floor ? floor : estimate);
}

double sum_moves(const FactoredRows& rows) {
    double sums[kSums] = {};
    for (int64_t i = 0; i < rows.num_rows; ++i) {
        const float* SWIFT_NATIVE_RESTRICT g = rows.grad + i * rows.num_columns;
        int64_t j = 0;
        for (; j + kSums <= rows.num_columns; j += kSums) {
            for (int64_t k = 0; k < kSums; ++k) {
                const float move = move_of(g[j + k], rows.row_scales[i], rows.columns[j + k], rows.floor);
                sums[k] += static_cast<double>(move) * static_cast<double>(move);
            }
        }
        for (; j < rows.num_columns; ++j) {
            const float move = move_of(g[j], rows.row_scales[i], rows.columns[j], rows.floor);
            sums[j % kSums] += static_cast<double>(move) * static_cast<double>(move);
        }
    }
    double total = 0.0;
    for (int64_t k = 0; k < kSums; ++k) total += sums[k];
    return total;
}

void move(const FactoredRows& rows, float decay, float step_size) {
    for (int64_t i = 0; i < rows.num_rows; ++i) {
        const float* SWIFT_NATIVE_RESTRICT g = rows.grad + i * rows.num_columns;
        float* SWIFT_NATIVE_RESTRICT p = rows.param + i * rows.num_columns;
        for (int64_t j = 0; j < rows.num_columns; ++j) {
            p[j] = p[j] * decay - step_size * move_of(g[j], rows.row_scales[i], rows.columns[j], rows.floor);
        }
    }
}

}  // namespace

void fill_adafactor(KernelTable& table) {
    table.adafactor.sum_factors = sum_factors;
    table.adafactor.sum_moves = sum_moves;
    table.adafactor.move = move;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
