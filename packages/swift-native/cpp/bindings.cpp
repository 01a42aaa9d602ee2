// The Python module swift_native._native: checks types and sizes, releases the GIL, calls. Nothing else knows Python.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>

#include "dispatch/isa.hpp"
#include "driver/adamw_step.hpp"
#include "threads/pool.hpp"

namespace py = pybind11;

namespace {

// The memory of a one-dimensional, contiguous Python buffer of `Item`s, seen as rows of `Row`.
template <typename Row, typename Item>
struct Rows {
    py::buffer_info info;
    const Row* data;
    std::size_t size;

    Rows(const py::buffer& buffer, const char* name) : info(buffer.request()) {
        static_assert(sizeof(Row) % sizeof(Item) == 0, "a row is made of items");
        constexpr py::ssize_t kItems = sizeof(Row) / sizeof(Item);
        const bool fits = info.item_type_is_equivalent_to<Item>() && info.ndim == 1 &&
                          (info.size == 0 || info.strides[0] == static_cast<py::ssize_t>(sizeof(Item)));
        if (!fits || info.size % kItems != 0) {
            throw py::value_error(std::string(name) + " must be a flat array of whole rows of " + std::to_string(kItems));
        }
        data = static_cast<const Row*>(info.ptr);
        size = static_cast<std::size_t>(info.size / kItems);
    }
};

using AdamWRows = Rows<swift_native::AdamWRow, std::int64_t>;

void check(const AdamWRows& rows, std::size_t num_groups, int num_threads) {
    if (num_threads < 1) {
        throw py::value_error("num_threads must be >= 1, got " + std::to_string(num_threads));
    }
    if (const char* mistake = swift_native::check_adamw(rows.data, rows.size, num_groups)) {
        throw py::value_error(mistake);
    }
}

void adamw_step(const py::buffer& rows_buffer, const py::buffer& options_buffer, int num_threads) {
    const AdamWRows rows(rows_buffer, "rows");
    const Rows<swift_native::AdamWOptions, double> options(options_buffer, "options");
    check(rows, options.size, num_threads);
    const py::gil_scoped_release release;
    swift_native::adamw_step(rows.data, rows.size, options.data, num_threads);
}

void adamw_traffic(const py::buffer& rows_buffer, int num_threads) {
    const AdamWRows rows(rows_buffer, "rows");
    check(rows, 1, num_threads);
    const py::gil_scoped_release release;
    swift_native::adamw_traffic(rows.data, rows.size, num_threads);
}

void select_isa(const std::string& name) {
    if (swift_native::select_isa(name)) return;
    std::string usable;
    for (const std::string& isa : swift_native::usable_isas()) usable += (usable.empty() ? "" : ", ") + isa;
    throw py::value_error("isa must be one that this machine runs (" + usable + "), got '" + name + "'");
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "C++ kernels of swift_native: addresses and sizes go in, nothing comes out.";
    module.def("adamw_step", &adamw_step, py::arg("rows"), py::arg("options"), py::arg("num_threads"));
    module.def("adamw_traffic", &adamw_traffic, py::arg("rows"), py::arg("num_threads"));
    module.def("usable_isas", &swift_native::usable_isas);
    module.def("current_isa", &swift_native::current_isa);
    module.def("select_isa", &select_isa, py::arg("name"));
    module.def("num_pool_threads", &swift_native::num_pool_threads);
}
