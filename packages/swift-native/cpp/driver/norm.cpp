#include "driver/norm.hpp"

#include <cmath>
#include <vector>

#include "dispatch/kernels.hpp"
#include "driver/chunks.hpp"
#include "driver/rows.hpp"

namespace swift_native {
namespace {

struct NormJob {
    const GradRow* rows;
    const std::int64_t* first_chunk;  // by row
    double* sums;                     // by chunk
    float factor;
    const NormKernels* kernels;
};

const void* at(const GradRow& row, std::int64_t begin) {
    return pointer<const char>(row.values) + begin * (row.dtype == kFloat32 ? 4 : 2);
}

void add_chunk(const void* context, std::size_t tensor, std::int64_t begin, std::int64_t end) {
    const NormJob& job = *static_cast<const NormJob*>(context);
    const GradRow& row = job.rows[tensor];
    job.sums[job.first_chunk[tensor] + begin / kChunk] =
        job.kernels->sum_of_squares[row.dtype](at(row, begin), end - begin);
}

void scale_chunk(const void* context, std::size_t tensor, std::int64_t begin, std::int64_t end) {
    const NormJob& job = *static_cast<const NormJob*>(context);
    const GradRow& row = job.rows[tensor];
    job.kernels->scale[row.dtype](const_cast<void*>(at(row, begin)), end - begin, job.factor);
}

struct Scratch {
    ChunkMap chunks;
    std::vector<std::int64_t> first_chunk;
    std::vector<double> sums;

    void prepare(const GradRow* rows, std::size_t num_rows) {
        chunks.reset(num_rows);
        first_chunk.clear();
        for (std::size_t i = 0; i < num_rows; ++i) {
            first_chunk.push_back(chunks.num_chunks());
            chunks.add(rows[i].num_elements);
        }
        sums.assign(static_cast<std::size_t>(chunks.num_chunks()), 0.0);
    }
};

Scratch& scratch() {
    thread_local Scratch kept;
    return kept;
}

}  // namespace

const char* check_grads(const GradRow* rows, std::size_t num_rows) {
    for (std::size_t i = 0; i < num_rows; ++i) {
        if (rows[i].num_elements < 0) return "a row has a negative number of elements";
        if (rows[i].dtype < 0 || rows[i].dtype >= kNumDtypes) return "a row names an unknown dtype";
        if (rows[i].num_elements > 0 && rows[i].values == 0) return "a row has a null address";
    }
    return nullptr;
}

double global_norm(const GradRow* rows, std::size_t num_rows, int num_threads) {
    Scratch& kept = scratch();
    kept.prepare(rows, num_rows);
    const NormJob job{rows, kept.first_chunk.data(), kept.sums.data(), 1.0F, &kernels().norm};
    for_each_chunk(kept.chunks, num_threads, add_chunk, &job);
    double total = 0.0;
    for (const double sum : kept.sums) total += sum;
    return std::sqrt(total);
}

void scale_all(const GradRow* rows, std::size_t num_rows, double factor, int num_threads) {
    Scratch& kept = scratch();
    kept.prepare(rows, num_rows);
    const NormJob job{rows, nullptr, nullptr, static_cast<float>(factor), &kernels().norm};
    for_each_chunk(kept.chunks, num_threads, scale_chunk, &job);
}

double clip_factor(double norm, double max_norm) {
    const double factor = max_norm / (norm + 1e-6);
    return factor > 1.0 ? 1.0 : factor;
}

}  // namespace swift_native
