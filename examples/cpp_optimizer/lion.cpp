// Lion in C++: the sign of an interpolated momentum, one pass over each parameter.
//
//     update = sign(beta1 * m + (1 - beta1) * g)
//     m     <- beta2 * m + (1 - beta2) * g
//     p     <- p * (1 - lr * weight_decay) - lr * update
//
// Chen et al., 2023, arXiv:2302.06675, algorithm 2. For contiguous float32 tensors on the CPU.

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <stdexcept>
#include <utility>

namespace py = pybind11;

namespace {

struct Step {
    float lr, beta1, beta2, weight_decay;
};

void lion(float* param, const float* grad, float* momentum, std::int64_t size, const Step& step) {
    const float keep = 1 - step.lr * step.weight_decay;
    for (std::int64_t i = 0; i < size; ++i) {
        const float mixed = step.beta1 * momentum[i] + (1 - step.beta1) * grad[i];
        const float sign = static_cast<float>((mixed > 0) - (mixed < 0));
        momentum[i] = step.beta2 * momentum[i] + (1 - step.beta2) * grad[i];
        param[i] = param[i] * keep - step.lr * sign;
    }
}

float* floats(const py::object& tensor) {
    const auto torch = py::module_::import("torch");
    if (!tensor.attr("dtype").is(torch.attr("float32")) || !tensor.attr("is_cpu").cast<bool>() ||
        !tensor.attr("is_contiguous")().cast<bool>()) {
        throw std::invalid_argument("this Lion takes contiguous float32 tensors on the CPU");
    }
    return reinterpret_cast<float*>(tensor.attr("data_ptr")().cast<std::uintptr_t>());
}

void step_param(const py::object& optimizer, const py::object& param, const Step& step) {
    const py::object grad = param.attr("grad");
    if (grad.is_none()) return;
    const py::dict state = optimizer.attr("state")[param];
    if (!state.contains("exp_avg")) {
        state["exp_avg"] = py::module_::import("torch").attr("zeros_like")(param);
    }
    float* values = floats(param.attr("data"));
    const py::object dense = grad.attr("contiguous")();
    const float* slopes = floats(dense);
    float* momentum = floats(state["exp_avg"]);
    const auto size = param.attr("numel")().cast<std::int64_t>();
    const py::gil_scoped_release other_threads_may_run;
    lion(values, slopes, momentum, size, step);
}

py::object step(const py::object& optimizer, const py::object& closure) {
    const py::object loss = closure.is_none() ? closure : closure();
    for (const py::handle group : optimizer.attr("param_groups")) {
        const auto betas = group["betas"].cast<std::pair<float, float>>();
        const Step settings{group["lr"].cast<float>(), betas.first, betas.second, group["weight_decay"].cast<float>()};
        for (const py::handle param : group["params"]) {
            step_param(optimizer, py::reinterpret_borrow<py::object>(param), settings);
        }
    }
    return loss;
}

// A torch.optim.Optimizer whose `step` is the function above.
py::object optimizer_class() {
    const py::object base = py::module_::import("torch.optim").attr("Optimizer");
    py::dict members;
    members["step"] = py::cpp_function(&step, py::name("step"), py::is_method(base), py::arg("closure") = py::none());
    return py::module_::import("types").attr("new_class")(
        "Lion", py::make_tuple(base), py::dict(), py::cpp_function([members](py::dict space) {
            for (const auto& item : members) space[item.first] = item.second;
        }));
}

py::object make_lion(const py::object& params, double lr, std::pair<double, double> betas, double weight_decay) {
    if (!(lr > 0)) throw std::invalid_argument("lr must be > 0, got " + std::to_string(lr));
    static const py::handle kind = optimizer_class().release();  // never freed: Python may end first
    py::dict defaults;
    defaults["lr"] = lr;
    defaults["betas"] = betas;
    defaults["weight_decay"] = weight_decay;
    return kind(params, defaults);
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
    m.def("Lion", &make_lion, py::arg("params"), py::kw_only(), py::arg("lr") = 1e-4,
          py::arg("betas") = std::make_pair(0.9, 0.99), py::arg("weight_decay") = 0.0);
}
