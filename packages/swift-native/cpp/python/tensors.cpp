#include "python/tensors.hpp"

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/norm.hpp"

namespace py = pybind11;

namespace swift_native {
namespace {

// A C++ tensor of torch's, as its C interface takes it.
using Handle = const void*;
// 0, or not 0 after an exception.
template <typename Value>
using Getter = std::int32_t (*)(Handle, Value*);

struct Functions {
    Getter<std::int32_t> layout, device_type, dtype;
    Getter<void*> data;
    Getter<std::int64_t> ndim;
    Getter<std::int64_t*> shape, strides;
    bool (*is_negated)(Handle);  // not of the C interface: null where no such symbol is found

    bool are_all_there() const {
        return layout != nullptr && device_type != nullptr && dtype != nullptr && data != nullptr && ndim != nullptr &&
               shape != nullptr && strides != nullptr;
    }
};

struct Torch {
    PyTypeObject* tensor_type = nullptr;
    PyObject* is_neg = nullptr;
    bool can_be_asked = false;
    std::ptrdiff_t handle = 0;  // where in a Python object its C++ tensor lies, in bytes
    Functions functions{};
    std::int32_t strided = 0, cpu = 0;  // torch's numbers
    std::int32_t dtypes[kNumDtypes] = {};
};

template <typename Function>
void find(Function& function, const py::object& address_of, const char* name) {
    const auto address = py::cast<std::uintptr_t>(address_of(name));
    function = reinterpret_cast<Function>(address);
}

Functions find_functions() {
    const py::object address_of = py::module_::import("swift_native._torch_c").attr("address_of");
    Functions found{};
    find(found.layout, address_of, "aoti_torch_get_layout");
    find(found.device_type, address_of, "aoti_torch_get_device_type");
    find(found.dtype, address_of, "aoti_torch_get_dtype");
    find(found.data, address_of, "aoti_torch_get_data_ptr");
    find(found.ndim, address_of, "aoti_torch_get_dim");
    find(found.shape, address_of, "aoti_torch_get_sizes");
    find(found.strides, address_of, "aoti_torch_get_strides");
    find(found.is_negated, address_of, "_ZN2at6native6is_negERKNS_6TensorE");  // at::native::is_neg(const at::Tensor&)
    return found;
}

std::uintptr_t word_at(PyObject* object, std::ptrdiff_t offset) {
    std::uintptr_t word = 0;
    std::memcpy(&word, reinterpret_cast<const char*>(object) + offset, sizeof word);
    return word;
}

// Where in the objects of `probes` the C++ tensor lies: a pointer, which torch shows as `_cdata`. 0 if it is not there.
std::ptrdiff_t find_handle(const py::object& base, const std::vector<py::object>& probes) {
    const Py_ssize_t size = reinterpret_cast<PyTypeObject*>(base.ptr())->tp_basicsize;
    constexpr auto kWord = static_cast<Py_ssize_t>(sizeof(std::uintptr_t));
    for (Py_ssize_t offset = sizeof(PyObject); offset + kWord <= size; offset += kWord) {
        const bool is_here = std::all_of(probes.begin(), probes.end(), [offset](const py::object& probe) {
            return word_at(probe.ptr(), offset) == py::cast<std::uintptr_t>(probe.attr("_cdata"));
        });
        if (is_here) return offset;
    }
    return 0;
}

Handle handle_of(const Torch& torch, PyObject* tensor) { return reinterpret_cast<const char*>(tensor) + torch.handle; }

// Learns torch's numbers from a tensor of each dtype, and checks that what the functions say of them is so.
void learn(Torch& made, const py::module_& torch) {
    std::vector<py::object> probes;
    for (const char* name : {"float32", "bfloat16", "float16"}) {
        const py::object dtype = torch.attr(name);
        probes.push_back(torch.attr("ones")(py::make_tuple(2, 3), py::arg("dtype") = dtype, py::arg("device") = "cpu"));
    }
    std::vector<py::object> all = probes;
    all.push_back(torch.attr("nn").attr("Parameter")(probes[0]));
    made.functions = find_functions();
    made.handle = find_handle(torch.attr("_C").attr("TensorBase"), all);
    if (made.handle == 0 || !made.functions.are_all_there()) return;
    for (int dtype = 0; dtype < kNumDtypes; ++dtype) {
        const Handle handle = handle_of(made, probes[static_cast<std::size_t>(dtype)].ptr());
        if (made.functions.dtype(handle, &made.dtypes[dtype]) != 0) return;
    }
    const Handle first = handle_of(made, probes[0].ptr());
    if (made.functions.layout(first, &made.strided) != 0 || made.functions.device_type(first, &made.cpu) != 0) return;
    made.can_be_asked = std::all_of(all.begin(), all.end(), [&made](const py::object& probe) {
        void* data = nullptr;
        return made.functions.data(handle_of(made, probe.ptr()), &data) == 0 &&
               reinterpret_cast<std::uintptr_t>(data) == py::cast<std::uintptr_t>(probe.attr("data_ptr")());
    });
}

// Keeps at::native::is_neg only if it tells a tensor whose sign is turned from one whose is not.
void learn_negation(Torch& made, const py::module_& torch) {
    auto& function = made.functions.is_negated;
    if (!made.can_be_asked || function == nullptr) return;
    const bool has_view = py::hasattr(torch, "_neg_view");
    const py::object plain = torch.attr("ones")(1, py::arg("device") = "cpu");
    const py::object turned = has_view ? py::object(torch.attr("_neg_view")(plain)) : py::none();
    const bool is_right =
        has_view && !function(handle_of(made, plain.ptr())) && function(handle_of(made, turned.ptr()));
    if (!is_right) function = nullptr;
}

// Made once and never destroyed: torch outlives this module.
const Torch& torch() {
    static const Torch* made = [] {
        auto* fresh = new Torch;
        const py::module_ module = py::module_::import("torch");
        fresh->tensor_type = reinterpret_cast<PyTypeObject*>(py::object(module.attr("Tensor")).release().ptr());
        fresh->is_neg = PyUnicode_InternFromString("is_neg");
        learn(*fresh, module);
        learn_negation(*fresh, module);
        return fresh;
    }();
    return *made;
}

bool asked_is_neg(PyObject* tensor) {
    const py::object answer = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(tensor, torch().is_neg));
    if (!answer) PyErr_Clear();
    return answer.ptr() != Py_False;
}

}  // namespace

bool look_at(PyObject* tensor, TensorView& out) {
    const Torch& made = torch();
    if (!made.can_be_asked) return false;
    const Functions& get = made.functions;
    const Handle handle = handle_of(made, tensor);
    std::int32_t layout = 0, device_type = 0;
    std::int64_t *shape = nullptr, *strides = nullptr;
    void* data = nullptr;
    // Other layouts have no strides and other devices no memory to be read here: to ask for them would be an error.
    if (get.layout(handle, &layout) != 0 || layout != made.strided) return false;
    if (get.device_type(handle, &device_type) != 0 || device_type != made.cpu) return false;
    const bool is_known = get.dtype(handle, &out.dtype) == 0 && get.ndim(handle, &out.ndim) == 0 &&
                          get.shape(handle, &shape) == 0 && get.strides(handle, &strides) == 0 &&
                          get.data(handle, &data) == 0;
    out.data = data;
    out.shape = shape;
    out.strides = strides;
    return is_known;
}

bool is_negated(PyObject* tensor) {
    const Torch& made = torch();
    return made.functions.is_negated != nullptr ? made.functions.is_negated(handle_of(made, tensor))
                                                : asked_is_neg(tensor);
}

bool is_tensor(PyObject* object) { return PyObject_TypeCheck(object, torch().tensor_type) != 0; }

bool is_plain_tensor(PyObject* object) { return Py_TYPE(object) == torch().tensor_type; }

int grad_dtype_of(std::int32_t dtype) {
    const auto* end = torch().dtypes + kNumDtypes;
    return static_cast<int>(std::find(torch().dtypes + 0, end, dtype) - torch().dtypes);
}

}  // namespace swift_native
