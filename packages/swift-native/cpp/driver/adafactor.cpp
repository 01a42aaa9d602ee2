#include "driver/adafactor.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "dispatch/kernels.hpp"
#include "driver/chunks.hpp"
#include "driver/norm.hpp"
#include "driver/rows.hpp"

namespace swift_native {
namespace {

// A run of rows is one task; a matrix has at most this many, so that their column sums stay small beside it.
constexpr std::int64_t kMaxRuns = 16;

// One matrix in work, and what its passes need.
struct Work {
    const AdafactorKernels* kernels;
    FactoredRows all;
    std::int64_t run;  // rows of a task
    std::int64_t num_runs;
    std::vector<double> row_sums;
    std::vector<double> column_sums;  // of each run
    std::vector<double> run_sums;
    std::vector<float> row_scales;
    float decay;
    float step_size;

    void cut(std::int64_t num_rows, std::int64_t num_columns) {
        const std::int64_t by_size = std::max<std::int64_t>(1, kChunk / std::max<std::int64_t>(1, num_columns));
        run = std::max(by_size, (num_rows + kMaxRuns - 1) / kMaxRuns);
        num_runs = (num_rows + run - 1) / run;
        row_sums.assign(static_cast<std::size_t>(num_rows), 0.0);
        column_sums.assign(static_cast<std::size_t>(num_runs * num_columns), 0.0);
        run_sums.assign(static_cast<std::size_t>(num_runs), 0.0);
        row_scales.assign(static_cast<std::size_t>(num_rows), 1.0F);
    }

    FactoredRows rows_of(std::int64_t task) const {
        FactoredRows part = all;
        const std::int64_t first = task * run;
        part.param += first * all.num_columns;
        part.grad += first * all.num_columns;
        part.row_scales += first;
        part.num_rows = std::min(run, all.num_rows - first);
        return part;
    }
};

void sum_factors(const void* job, std::int64_t task) {
    Work& work = *const_cast<Work*>(static_cast<const Work*>(job));
    work.kernels->sum_factors(work.rows_of(task), work.row_sums.data() + task * work.run,
                              work.column_sums.data() + task * work.all.num_columns);
}

void sum_moves(const void* job, std::int64_t task) {
    Work& work = *const_cast<Work*>(static_cast<const Work*>(job));
    work.run_sums[static_cast<std::size_t>(task)] = work.kernels->sum_moves(work.rows_of(task));
}

void move_rows(const void* job, std::int64_t task) {
    const Work& work = *static_cast<const Work*>(job);
    work.kernels->move(work.rows_of(task), work.decay, work.step_size);
}

// Moves `kept` towards the sums over `count` elements each.
void average(float* kept, const double* sums, std::int64_t size, double count, double share) {
    for (std::int64_t i = 0; i < size; ++i) {
        const double mean = sums[i] / count;
        kept[i] = static_cast<float>(static_cast<double>(kept[i]) + (mean - static_cast<double>(kept[i])) * share);
    }
}

void update_factors(Work& work, float* row_var, float* column_var, double share, double eps1, int num_threads) {
    const std::int64_t num_rows = work.all.num_rows;
    const std::int64_t num_columns = work.all.num_columns;
    for_each_task(work.num_runs, num_threads, sum_factors, &work);
    for (std::int64_t run = 1; run < work.num_runs; ++run) {
        const double* sums = work.column_sums.data() + run * num_columns;
        for (std::int64_t j = 0; j < num_columns; ++j) work.column_sums[static_cast<std::size_t>(j)] += sums[j];
    }
    average(column_var, work.column_sums.data(), num_columns, static_cast<double>(num_rows), share);
    if (row_var == nullptr) return;
    average(row_var, work.row_sums.data(), num_rows, static_cast<double>(num_columns), share);
    double mean = 0.0;
    for (std::int64_t i = 0; i < num_rows; ++i) mean += static_cast<double>(row_var[i]);
    mean = std::max(mean / static_cast<double>(num_rows), eps1);
    for (std::int64_t i = 0; i < num_rows; ++i) {
        work.row_scales[static_cast<std::size_t>(i)] = static_cast<float>(static_cast<double>(row_var[i]) / mean);
    }
}

FactoredRows matrix_of(const AdafactorRow& row, std::int64_t matrix, Work& work) {
    const std::int64_t begin = matrix * row.num_rows * row.num_columns;
    FactoredRows all{};
    all.param = pointer<float>(row.param) + begin;
    all.grad = pointer<const float>(row.grad) + begin;
    all.num_rows = row.num_rows;
    all.num_columns = row.num_columns;
    all.columns = pointer<const float>(row.column_var) + matrix * row.num_columns;
    work.cut(row.num_rows, row.num_columns);
    all.row_scales = work.row_scales.data();
    return all;
}

// The root mean square of the weights of a whole parameter.
double size_of_weights(const AdafactorRow& row, double num_elements, int num_threads) {
    const GradRow weights{row.param, static_cast<std::int64_t>(num_elements), kFloat32};
    return global_norm(&weights, 1, num_threads) / std::sqrt(num_elements);
}

void update(const AdafactorRow& row, const AdafactorOptions& o, int num_threads, Work& work) {
    const double step = static_cast<double>(*pointer<float>(row.step) += 1.0F);
    const double num_elements = static_cast<double>(row.num_matrices * row.num_rows * row.num_columns);
    if (num_elements == 0.0) return;
    const double share = std::pow(step, o.beta2_decay);
    const double rho = std::min(o.lr, 1.0 / std::sqrt(step));
    const double alpha = std::max(o.eps2, size_of_weights(row, num_elements, num_threads)) * rho;
    work.kernels = &kernels().adafactor;
    work.decay = static_cast<float>(1.0 - o.lr * o.weight_decay);
    double total = 0.0;
    // Row scales of the matrices of a stack differ: they are computed again for the last pass.
    for (int pass = 0; pass < 2; ++pass) {
        if (pass == 1) {
            const double size = std::sqrt(total / num_elements) / o.threshold;
            work.step_size = static_cast<float>((o.maximize != 0.0 ? -alpha : alpha) / std::max(1.0, size));
            if (row.num_matrices == 1) {
                for_each_task(work.num_runs, num_threads, move_rows, &work);
                return;
            }
        }
        for (std::int64_t matrix = 0; matrix < row.num_matrices; ++matrix) {
            work.all = matrix_of(row, matrix, work);
            work.all.floor = static_cast<float>(o.eps1 * o.eps1);
            float* row_var = row.row_var != 0 ? pointer<float>(row.row_var) + matrix * row.num_rows : nullptr;
            float* column_var = pointer<float>(row.column_var) + matrix * row.num_columns;
            update_factors(work, row_var, column_var, pass == 0 ? share : 0.0, o.eps1, num_threads);
            for_each_task(work.num_runs, num_threads, pass == 0 ? sum_moves : move_rows, &work);
            for (const double sum : work.run_sums) total += pass == 0 ? sum : 0.0;
        }
    }
}

}  // namespace

const char* check_adafactor(const AdafactorRow* rows, std::size_t num_rows, std::size_t num_groups) {
    for (std::size_t i = 0; i < num_rows; ++i) {
        const AdafactorRow& row = rows[i];
        if (row.num_matrices < 0 || row.num_rows < 0 || row.num_columns < 0) return "a row has a negative size";
        if (row.group < 0 || static_cast<std::size_t>(row.group) >= num_groups)
            return "a row names a group without options";
        if (row.step == 0) return "a row has no step count";
        const bool has_arrays = row.param != 0 && row.grad != 0 && row.column_var != 0;
        if (row.num_matrices * row.num_rows * row.num_columns > 0 && !has_arrays) return "a row has a null address";
        if (row.row_var == 0 && row.num_rows > 1) return "a row has a null address";
    }
    return nullptr;
}

void adafactor_step(const AdafactorRow* rows, std::size_t num_rows, const AdafactorOptions* options, int num_threads) {
    thread_local Work work{};
    for (std::size_t i = 0; i < num_rows; ++i) update(rows[i], options[rows[i].group], num_threads, work);
}

}  // namespace swift_native
