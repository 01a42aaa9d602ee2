// The Python module swift_native._native: checks types and sizes, releases the GIL, calls. Only cpp/python knows
// Python.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
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

void decode_lone(std::int64_t codes, std::int64_t scales, std::int64_t values, std::int64_t num_elements) {
    kernels().block8.decode_lone(pointer<const std::uint8_t>(codes), pointer<const std::uint8_t>(scales),
                                 pointer<float>(values), num_elements);
}

void encode_lone(std::int64_t values, std::int64_t codes, std::int64_t scales, std::int64_t num_elements) {
    kernels().block8.encode_lone[0](pointer<const float>(values), pointer<std::uint8_t>(codes),
                                    pointer<std::uint8_t>(scales), num_elements, 0);
}

void decode_roots(std::int64_t codes, std::int64_t scales, std::int64_t values, std::int64_t num_elements) {
    kernels().block8.decode_roots(pointer<const std::uint8_t>(codes), pointer<const std::uint8_t>(scales),
                                  pointer<float>(values), num_elements);
}

void encode_roots(std::int64_t values, std::int64_t codes, std::int64_t scales, std::int64_t num_elements) {
    kernels().block8.encode_roots(pointer<const float>(values), pointer<std::uint8_t>(codes),
                                  pointer<std::uint8_t>(scales), num_elements);
}

Pair8 pair_of(const std::array<std::int64_t, 4>& addresses) {
    return {pointer<std::uint8_t>(addresses[0]), pointer<std::uint8_t>(addresses[1]),
            pointer<std::uint8_t>(addresses[2]), pointer<std::uint8_t>(addresses[3])};
}

void decode_pair(const std::array<std::int64_t, 4>& pair, std::int64_t first, std::int64_t second,
                 std::int64_t num_elements) {
    kernels().block8.decode_pair(pair_of(pair), pointer<float>(first), pointer<float>(second), num_elements);
}

void encode_pair(std::int64_t first, std::int64_t second, const std::array<std::int64_t, 4>& pair,
                 std::int64_t num_elements) {
    kernels().block8.encode_pair[0](pointer<const float>(first), pointer<const float>(second), pair_of(pair),
                                    num_elements, 0);
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
    module.attr("ROOT_SCALE") = kRootScale;
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
    module.def("decode_lone", &decode_lone, py::arg("codes"), py::arg("scales"), py::arg("values"),
               py::arg("num_elements"));
    module.def("encode_lone", &encode_lone, py::arg("values"), py::arg("codes"), py::arg("scales"),
               py::arg("num_elements"));
    module.def("decode_roots", &decode_roots, py::arg("codes"), py::arg("scales"), py::arg("values"),
               py::arg("num_elements"));
    module.def("encode_roots", &encode_roots, py::arg("values"), py::arg("codes"), py::arg("scales"),
               py::arg("num_elements"));
    module.def("decode_pair", &decode_pair, py::arg("pair"), py::arg("first"), py::arg("second"),
               py::arg("num_elements"));
    module.def("encode_pair", &encode_pair, py::arg("first"), py::arg("second"), py::arg("pair"),
               py::arg("num_elements"));
    module.def("ask_for_huge_pages", [](std::int64_t address, std::int64_t num_bytes) {
        ask_for_huge_pages(pointer<void>(address), static_cast<std::size_t>(num_bytes));
    });
    module.def("usable_isas", &usable_isas);
    module.def("current_isa", &current_isa);
    module.def("select_isa", &choose_isa, py::arg("name"));
    module.def("num_pool_threads", &num_pool_threads);
}
