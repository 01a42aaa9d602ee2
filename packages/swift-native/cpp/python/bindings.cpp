// The Python module swift_native._native: checks types and sizes, releases the GIL, calls. Only cpp/python knows
// Python.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>

#include "dispatch/isa.hpp"
#include "dispatch/kernels.hpp"
#include "driver/adafactor.hpp"
#include "driver/norm.hpp"
#include "driver/step.hpp"
#include "kernels/block8.hpp"
#include "kernels/norm.hpp"
#include "python/buffers.hpp"
#include "python/plan.hpp"
#include "threads/huge_pages.hpp"
#include "threads/pool.hpp"

namespace py = pybind11;
using namespace swift_native;

namespace {

using GradRows = RowBuffer<GradRow, std::int64_t>;

void check_threads(int num_threads) {
    if (num_threads < 1) throw py::value_error("num_threads must be >= 1, got " + std::to_string(num_threads));
}

void check(const GradRows& rows, int num_threads) {
    check_threads(num_threads);
    if (const char* mistake = check_grads(rows.data, rows.size)) throw py::value_error(mistake);
}

double norm_of(const py::buffer& rows_buffer, int num_threads) {
    const GradRows rows(rows_buffer, "rows");
    check(rows, num_threads);
    const py::gil_scoped_release release;
    return global_norm(rows.data, rows.size, num_threads);
}

void scale(const py::buffer& rows_buffer, double factor, int num_threads) {
    const GradRows rows(rows_buffer, "rows");
    check(rows, num_threads);
    const py::gil_scoped_release release;
    scale_all(rows.data, rows.size, factor, num_threads);
}

void step_once(int rule, const py::buffer& rows_buffer, const py::buffer& options_buffer, double grad_factor,
               int num_threads) {
    const RowBuffer<Row, std::int64_t> rows(rows_buffer, "rows");
    const RowBuffer<Options, double> options(options_buffer, "options");
    check_threads(num_threads);
    if (rule < 0 || rule >= kNumRules) throw py::value_error("there is no rule " + std::to_string(rule));
    const Rule chosen = static_cast<Rule>(rule);
    if (const char* mistake = check_rows(chosen, rows.data, rows.size, options.size)) throw py::value_error(mistake);
    const py::gil_scoped_release release;
    take_step(chosen, rows.data, rows.size, options.data, grad_factor, num_threads);
}

void adafactor(const py::buffer& rows_buffer, const py::buffer& options_buffer, int num_threads) {
    const RowBuffer<AdafactorRow, std::int64_t> rows(rows_buffer, "rows");
    const RowBuffer<AdafactorOptions, double> options(options_buffer, "options");
    check_threads(num_threads);
    if (const char* mistake = check_adafactor(rows.data, rows.size, options.size)) throw py::value_error(mistake);
    const py::gil_scoped_release release;
    adafactor_step(rows.data, rows.size, options.data, num_threads);
}

void traffic(const py::buffer& rows_buffer, int num_threads) {
    const RowBuffer<Row, std::int64_t> rows(rows_buffer, "rows");
    check_threads(num_threads);
    if (const char* mistake = check_rows(Rule::kAdamW, rows.data, rows.size, 1)) throw py::value_error(mistake);
    const py::gil_scoped_release release;
    move_traffic(rows.data, rows.size, num_threads);
}

void decode8(std::int64_t codes, std::int64_t scales, std::int64_t values, std::int64_t num_elements, bool is_signed) {
    kernels().block8.decode[is_signed](pointer<const std::uint8_t>(codes), pointer<const std::uint8_t>(scales),
                                       pointer<float>(values), num_elements);
}

void encode8(std::int64_t values, std::int64_t codes, std::int64_t scales, std::int64_t num_elements, bool is_signed) {
    kernels().block8.encode[is_signed][0](pointer<const float>(values), pointer<std::uint8_t>(codes),
                                          pointer<std::uint8_t>(scales), num_elements, 0);
}

void choose_isa(const std::string& name) {
    if (select_isa(name)) return;
    std::string usable;
    for (const std::string& isa : usable_isas()) usable += (usable.empty() ? "" : ", ") + isa;
    throw py::value_error("isa must be one that this machine runs (" + usable + "), got '" + name + "'");
}

}  // namespace

PYBIND11_MODULE(_native, module) {
    module.doc() = "C++ kernels of swift_native: addresses and sizes go in, nothing comes out.";
    module.attr("BLOCK8") = kBlock8;
    py::class_<Plan>(module, "Plan")
        .def(py::init<int, const py::buffer&, const py::list&, const py::list&, const py::list&, const py::dict&,
                      bool>(),
             py::arg("rule"), py::arg("rows"), py::arg("entries"), py::arg("groups"), py::arg("grads"),
             py::arg("state"), py::arg("is_lasting"))
        .def("matches", &Plan::matches, py::arg("param_groups"), py::arg("state"))
        .def("step", &Plan::step, py::arg("options"), py::arg("grad_factor"), py::arg("max_norm"),
             py::arg("num_threads"))
        .def("params", &Plan::params);
    module.def("adafactor_step", &adafactor, py::arg("rows"), py::arg("options"), py::arg("num_threads"));
    module.def("take_step", &step_once, py::arg("rule"), py::arg("rows"), py::arg("options"), py::arg("grad_factor"),
               py::arg("num_threads"));
    module.def("norm", &norm_of, py::arg("rows"), py::arg("num_threads"));
    module.def("scale", &scale, py::arg("rows"), py::arg("factor"), py::arg("num_threads"));
    module.def("traffic", &traffic, py::arg("rows"), py::arg("num_threads"));
    module.def("decode8", &decode8, py::arg("codes"), py::arg("scales"), py::arg("values"), py::arg("num_elements"),
               py::arg("is_signed"));
    module.def("encode8", &encode8, py::arg("values"), py::arg("codes"), py::arg("scales"), py::arg("num_elements"),
               py::arg("is_signed"));
    module.def("ask_for_huge_pages", [](std::int64_t address, std::int64_t num_bytes) {
        ask_for_huge_pages(pointer<void>(address), static_cast<std::size_t>(num_bytes));
    });
    module.def("usable_isas", &usable_isas);
    module.def("current_isa", &current_isa);
    module.def("select_isa", &choose_isa, py::arg("name"));
    module.def("num_pool_threads", &num_pool_threads);
}
