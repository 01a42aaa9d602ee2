#include "driver/adamw_step.hpp"

#include <cmath>

#include "dispatch/isa.hpp"
#include "driver/chunks.hpp"

namespace swift_native {
namespace {

struct Job {
    const AdamWRow* rows;
    const AdamWOptions* options;
    const KernelTable* kernels;
};

template <typename T>
T* pointer(std::int64_t address) {
    return reinterpret_cast<T*>(static_cast<std::uintptr_t>(address));
}

AdamWArrays arrays_of(const AdamWRow& row) {
    return {pointer<void>(row.param), pointer<const void>(row.grad), pointer<float>(row.exp_avg),
            pointer<float>(row.exp_avg_sq), pointer<float>(row.max_exp_avg_sq)};
}

AdamWScalars scalars_at(const AdamWOptions& options, double step) {
    AdamWScalars scalars{};
    scalars.grad_sign = options.maximize != 0.0 ? -1.0F : 1.0F;
    scalars.decay = static_cast<float>(1.0 - options.lr * options.weight_decay);
    scalars.one_minus_beta1 = static_cast<float>(1.0 - options.beta1);
    scalars.beta2 = static_cast<float>(options.beta2);
    scalars.one_minus_beta2 = static_cast<float>(1.0 - options.beta2);
    scalars.step_size = static_cast<float>(options.lr / (1.0 - std::pow(options.beta1, step)));
    scalars.root_scale = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(options.beta2, step)));
    scalars.eps = static_cast<float>(options.eps);
    return scalars;
}

void update_chunk(const void* context, std::size_t tensor, std::int64_t begin, std::int64_t end) {
    const Job& job = *static_cast<const Job*>(context);
    const AdamWRow& row = job.rows[tensor];
    const AdamWScalars scalars = scalars_at(job.options[row.group], static_cast<double>(*pointer<const float>(row.step)));
    job.kernels->adamw[row.param_dtype][row.grad_dtype][row.max_exp_avg_sq != 0](arrays_of(row), scalars, begin, end);
}

void move_chunk(const void* context, std::size_t tensor, std::int64_t begin, std::int64_t end) {
    const Job& job = *static_cast<const Job*>(context);
    job.kernels->traffic(arrays_of(job.rows[tensor]), begin, end);
}

bool is_dtype(std::int64_t number) { return number >= 0 && number < kNumDtypes; }

}  // namespace

const char* check_adamw(const AdamWRow* rows, std::size_t num_rows, std::size_t num_groups) {
    for (std::size_t i = 0; i < num_rows; ++i) {
        const AdamWRow& row = rows[i];
        if (row.num_elements < 0) return "a row has a negative number of elements";
        if (!is_dtype(row.param_dtype) || !is_dtype(row.grad_dtype)) return "a row names an unknown dtype";
        if (row.group < 0 || static_cast<std::size_t>(row.group) >= num_groups) return "a row names a group without options";
        if (row.step == 0) return "a row has no step count";
        if (row.num_elements > 0 && (row.param == 0 || row.grad == 0 || row.exp_avg == 0 || row.exp_avg_sq == 0)) {
            return "a row has a null address";
        }
    }
    return nullptr;
}

void adamw_step(const AdamWRow* rows, std::size_t num_rows, const AdamWOptions* options, int num_threads) {
    // One list for each calling thread, so that two optimizers can step at once; it keeps its memory between steps.
    thread_local ChunkMap chunks;
    chunks.reset(num_rows);
    for (std::size_t i = 0; i < num_rows; ++i) {
        *pointer<float>(rows[i].step) += 1.0F;
        chunks.add(rows[i].num_elements);
    }
    const Job job{rows, options, &kernels()};
    for_each_chunk(chunks, num_threads, update_chunk, &job);
}

void adamw_traffic(const AdamWRow* rows, std::size_t num_rows, int num_threads) {
    ChunkMap chunks;
    chunks.reset(num_rows);
    for (std::size_t i = 0; i < num_rows; ++i) chunks.add(rows[i].num_elements);
    const Job job{rows, nullptr, &kernels()};
    for_each_chunk(chunks, num_threads, move_chunk, &job);
}

}  // namespace swift_native
