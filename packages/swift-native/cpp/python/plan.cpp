#include "python/plan.hpp"

#include <algorithm>
#include <cstring>

#include "driver/step.hpp"
#include "kernels/norm.hpp"
#include "python/buffers.hpp"

namespace py = pybind11;

namespace swift_native {
namespace {

// torch's side of the exchange, null before torch 2.10.
struct Torch {
    const dlpack::Exchange* exchange = nullptr;
    PyTypeObject* tensor_type = nullptr;
    PyObject* grad = nullptr;
    PyObject* is_neg = nullptr;
    PyObject* params = nullptr;
    PyObject* to_local = nullptr;
    PyObject* placements = nullptr;
};

const dlpack::Exchange* find_exchange(const py::object& tensor_type) {
    if (!py::hasattr(tensor_type, dlpack::kAttribute)) return nullptr;
    const py::object capsule = tensor_type.attr(dlpack::kAttribute);
    auto* header = static_cast<dlpack::ExchangeHeader*>(PyCapsule_GetPointer(capsule.ptr(), dlpack::kCapsuleName));
    if (header == nullptr) PyErr_Clear();
    while (header != nullptr && header->version.major != 1) header = header->previous;
    const auto* exchange = reinterpret_cast<const dlpack::Exchange*>(header);
    return exchange != nullptr && exchange->tensor_from_object != nullptr ? exchange : nullptr;
}

// Made once and never destroyed: torch outlives this module.
const Torch& torch() {
    static const Torch* made = [] {
        auto* fresh = new Torch;
        const py::object type = py::module_::import("torch").attr("Tensor");
        fresh->exchange = find_exchange(type);
        fresh->tensor_type = reinterpret_cast<PyTypeObject*>(py::object(type).release().ptr());
        fresh->grad = PyUnicode_InternFromString("grad");
        fresh->is_neg = PyUnicode_InternFromString("is_neg");
        fresh->params = PyUnicode_InternFromString("params");
        fresh->to_local = PyUnicode_InternFromString("to_local");
        fresh->placements = PyUnicode_InternFromString("placements");
        return fresh;
    }();
    return *made;
}

const void* address_of(const dlpack::Tensor& tensor) {
    return static_cast<const char*>(tensor.data) + tensor.byte_offset;
}

// False if DLPack cannot describe it, or not as memory of this machine.
bool describe(PyObject* object, dlpack::Tensor& out) {
    if (torch().exchange == nullptr) return false;
    if (torch().exchange->tensor_from_object(object, &out) != 0) {
        PyErr_Clear();
        return false;
    }
    return out.device.type == dlpack::kCpu;
}

Layout layout_of(const dlpack::Tensor& tensor) {
    Layout layout{address_of(tensor), tensor.dtype, tensor.ndim, {}};
    layout.shape_and_strides.assign(tensor.shape, tensor.shape + tensor.ndim);
    layout.shape_and_strides.insert(layout.shape_and_strides.end(), tensor.strides, tensor.strides + tensor.ndim);
    return layout;
}

// Strides of dimensions of one element mean nothing.
bool lies_as(const dlpack::Tensor& tensor, const Layout& layout) {
    if (tensor.ndim != layout.ndim) return false;
    const std::int64_t* shape = layout.shape_and_strides.data();
    for (std::int32_t i = 0; i < tensor.ndim; ++i) {
        if (tensor.shape[i] != shape[i]) return false;
        if (shape[i] > 1 && tensor.strides[i] != shape[layout.ndim + i]) return false;
    }
    return true;
}

bool is_dtensor(PyObject* tensor) { return PyObject_HasAttr(tensor, torch().to_local) == 1; }

// The part of a DTensor that this rank holds; null if it is no plain tensor. Without gradients torch returns the same
// object each time.
py::object part_of(PyObject* tensor) {
    py::object part = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(tensor, torch().to_local));
    if (!part) PyErr_Clear();
    return part && Py_TYPE(part.ptr()) == torch().tensor_type ? part : py::object();
}

bool is_unchanged(const Watched& watched) {
    dlpack::Tensor now{};
    const py::object part = watched.is_dtensor ? part_of(watched.tensor.ptr()) : watched.tensor;
    if (!part || !describe(part.ptr(), now) || address_of(now) != watched.layout.data) return false;
    const dlpack::DataType& before = watched.layout.dtype;
    const bool same_type =
        now.dtype.code == before.code && now.dtype.bits == before.bits && now.dtype.lanes == before.lanes;
    return same_type && lies_as(now, watched.layout);
}

int grad_dtype_of(const dlpack::DataType& dtype) {
    if (dtype.lanes != 1) return kNumDtypes;
    if (dtype.code == dlpack::kFloat && dtype.bits == 32) return kFloat32;
    if (dtype.code == dlpack::kFloat && dtype.bits == 16) return kFloat16;
    if (dtype.code == dlpack::kBFloat && dtype.bits == 16) return kBFloat16;
    return kNumDtypes;
}

bool is_negated(PyObject* tensor) {
    const py::object answer = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(tensor, torch().is_neg));
    if (!answer) PyErr_Clear();
    return answer.ptr() != Py_False;
}

// How a DTensor is cut up; null if it does not say.
py::object placements_of(PyObject* tensor) {
    py::object placements = py::reinterpret_steal<py::object>(PyObject_GetAttr(tensor, torch().placements));
    if (!placements) PyErr_Clear();
    return placements;
}

// Whether `tensor` is a DTensor that is cut up as `placements` say.
bool is_cut_like(PyObject* tensor, const py::object& placements) {
    const py::object found = placements_of(tensor);
    const int same = found ? PyObject_RichCompareBool(found.ptr(), placements.ptr(), Py_EQ) : 0;
    if (same < 0) PyErr_Clear();
    return same == 1;
}

// Calls `visit` for the key, the dict and the values of each parameter's state, until it returns false.
template <typename Visit>
bool visit_state(const py::dict& state, Visit visit) {
    PyObject* param = nullptr;
    PyObject* entry = nullptr;
    Py_ssize_t position = 0;
    while (PyDict_Next(state.ptr(), &position, &param, &entry)) {
        if (!visit(param) || !visit(entry) || !PyDict_Check(entry)) return false;
        PyObject* name = nullptr;
        PyObject* value = nullptr;
        Py_ssize_t inner = 0;
        while (PyDict_Next(entry, &inner, &name, &value)) {
            if (!visit(value)) return false;
        }
    }
    return true;
}

Entry make_entry(const py::object& param, const py::object& tensors, const Row* row, bool& is_lasting) {
    Entry entry{param, row != nullptr, {}, {}, {}};
    if (row == nullptr) return entry;
    entry.row = *row;
    if (is_dtensor(param.ptr())) entry.placements = placements_of(param.ptr());
    for (const py::handle tensor : py::cast<py::list>(tensors)) {
        dlpack::Tensor described{};
        const bool is_cut = is_dtensor(tensor.ptr());
        const py::object part = is_cut ? part_of(tensor.ptr()) : py::reinterpret_borrow<py::object>(tensor);
        if (!part || !describe(part.ptr(), described)) {
            is_lasting = false;
            return entry;
        }
        entry.watched.push_back({py::reinterpret_borrow<py::object>(tensor), is_cut, layout_of(described)});
    }
    return entry;
}

}  // namespace

Plan::Plan(int rule, const py::buffer& rows, const py::list& entries, const py::list& groups, const py::list& grads,
           const py::dict& state, bool is_lasting)
    : rule_(static_cast<Rule>(rule)), is_lasting_(is_lasting) {
    if (rule < 0 || rule >= kNumRules) throw py::value_error("there is no rule " + std::to_string(rule));
    const RowBuffer<Row, std::int64_t> given(rows, "rows");
    rows_.assign(given.data, given.data + given.size);
    std::size_t next = 0;
    std::size_t position = 0;
    for (const py::handle group : groups) {
        groups_.emplace_back();
        for (const py::handle param : py::cast<py::list>(group)) {
            const py::object kept = py::reinterpret_borrow<py::object>(param);
            groups_.back().push_back(kept);
            const py::object tensors = position < entries.size() ? py::object(entries[position]) : py::none();
            ++position;
            const bool has_row = !tensors.is_none();
            if (has_row && next >= given.size) throw py::value_error("there are fewer rows than entries");
            entries_.push_back(make_entry(kept, tensors, has_row ? given.data + next++ : nullptr, is_lasting_));
            if (has_row) moved_.push_back(param.ptr());
        }
    }
    if (next != given.size) throw py::value_error("there are more rows than entries");
    for (const py::handle grad : grads) grads_.push_back(py::reinterpret_borrow<py::object>(grad));
    visit_state(state, [this](PyObject* object) {
        state_.push_back(py::reinterpret_borrow<py::object>(object));
        return true;
    });
}

bool Plan::same_params(const py::list& param_groups) const {
    if (static_cast<std::size_t>(PyList_GET_SIZE(param_groups.ptr())) != groups_.size()) return false;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
        PyObject* group = PyList_GET_ITEM(param_groups.ptr(), static_cast<Py_ssize_t>(i));
        PyObject* params = PyDict_Check(group) ? PyDict_GetItem(group, torch().params) : nullptr;
        if (params == nullptr || !PyList_Check(params)) return false;
        if (static_cast<std::size_t>(PyList_GET_SIZE(params)) != groups_[i].size()) return false;
        for (std::size_t j = 0; j < groups_[i].size(); ++j) {
            if (PyList_GET_ITEM(params, static_cast<Py_ssize_t>(j)) != groups_[i][j].ptr()) return false;
        }
    }
    return true;
}

bool Plan::same_state(const py::dict& state) const {
    std::size_t seen = 0;
    const bool same = visit_state(
        state, [this, &seen](PyObject* object) { return seen < state_.size() && state_[seen++].ptr() == object; });
    return same && seen == state_.size();
}

bool Plan::take_grad(Entry& entry) {
    py::object grad = py::reinterpret_steal<py::object>(PyObject_GetAttr(entry.param.ptr(), torch().grad));
    if (!grad) PyErr_Clear();
    if (!grad || !entry.has_row) return grad && grad.is_none();
    if (grad.is_none()) return true;
    if (entry.placements) {
        const bool fits = is_cut_like(entry.param.ptr(), entry.placements) && is_cut_like(grad.ptr(), entry.placements);
        grad = fits ? part_of(grad.ptr()) : py::object();
        if (!grad) return false;
    }
    dlpack::Tensor now{};
    if (Py_TYPE(grad.ptr()) != torch().tensor_type || !describe(grad.ptr(), now) || is_negated(grad.ptr()))
        return false;
    const int dtype = grad_dtype_of(now.dtype);
    if (dtype == kNumDtypes || !lies_as(now, entry.watched.front().layout)) return false;
    entry.row.grad = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(address_of(now)));
    entry.row.grad_dtype = dtype;
    rows_.push_back(entry.row);
    moved_.push_back(entry.param.ptr());
    grads_.push_back(std::move(grad));
    return true;
}

bool Plan::matches(const py::list& param_groups, const py::dict& state) {
    if (!is_lasting_ || is_busy_ || !same_params(param_groups) || !same_state(state)) return false;
    forget_grads();
    return std::all_of(entries_.begin(), entries_.end(), [this](Entry& entry) {
        return std::all_of(entry.watched.begin(), entry.watched.end(), is_unchanged) && take_grad(entry);
    });
}

void Plan::forget_grads() {
    rows_.clear();
    moved_.clear();
    grads_.clear();
}

void Plan::check(std::size_t num_groups) const {
    if (is_busy_) throw std::runtime_error("another thread is inside a step of this optimizer");
    if (const char* mistake = check_rows(rule_, rows_.data(), rows_.size(), num_groups)) throw py::value_error(mistake);
}

double Plan::step(const py::buffer& options_buffer, double grad_factor, double max_norm, int num_threads) {
    const RowBuffer<Options, double> options(options_buffer, "options");
    if (num_threads < 1) throw py::value_error("num_threads must be >= 1, got " + std::to_string(num_threads));
    check(options.size);
    grad_rows_.clear();
    for (const Row& row : rows_) grad_rows_.push_back({row.grad, row.num_elements, row.grad_dtype});
    double norm = -1.0;
    is_busy_ = true;
    {
        const py::gil_scoped_release release;
        if (max_norm > 0.0) {
            norm = global_norm(grad_rows_.data(), grad_rows_.size(), num_threads) * grad_factor;
            grad_factor *= clip_factor(norm, max_norm);
        }
        take_step(rule_, rows_.data(), rows_.size(), options.data, grad_factor, num_threads);
    }
    is_busy_ = false;
    grads_.clear();
    return norm;
}

py::list Plan::params() const {
    py::list listed(moved_.size());
    for (std::size_t i = 0; i < moved_.size(); ++i) listed[i] = py::reinterpret_borrow<py::object>(moved_[i]);
    return listed;
}

}  // namespace swift_native
