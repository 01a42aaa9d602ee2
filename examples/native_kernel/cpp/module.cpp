// The Python module: addresses and sizes go in; threads take chunks of all tensors in turn.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <swift_native/dispatch/isa.hpp>
#include <swift_native/driver/chunks.hpp>

#include "signum.hpp"

namespace acme {
using Rows = std::vector<std::array<std::int64_t, 4>>;  // addresses of parameter, gradient, momentum; their size
struct Job {
    const Rows& rows;
    Scalars scalars;
    decltype(&kernels_baseline::signum) kernel;
};

static void take_chunk(const void* context, std::size_t tensor, std::int64_t begin, std::int64_t end) {
    const Job& job = *static_cast<const Job*>(context);
    const auto at = [&](std::size_t i) { return reinterpret_cast<float*>(job.rows[tensor][i]) + begin; };
    job.kernel(at(0), at(1), at(2), end - begin, job.scalars);
}

static void step(const Rows& rows, float beta, float decay, float step_size, int num_threads) {
    const pybind11::gil_scoped_release release;
    swift_native::ChunkMap chunks;
    chunks.reset(rows.size());
    for (const auto& row : rows) chunks.add(row[3]);
    const Job job{rows, {beta, decay, step_size}, SWIFT_NATIVE_CHOOSE(signum)};
    swift_native::for_each_chunk(chunks, num_threads, take_chunk, &job);
}

PYBIND11_MODULE(_native, module) {
    module.def("step", &step);
    module.def("select_isa", &swift_native::select_isa);
}
}  // namespace acme
