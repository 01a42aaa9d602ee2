#include "python/plan.hpp"

#include <algorithm>
#include <cstring>

#include "driver/step.hpp"
#include "kernels/norm.hpp"
#include "python/buffers.hpp"

namespace py = pybind11;

namespace swift_native {
namespace {

// Names of attributes, made once and never destroyed.
struct Names {
    PyObject* grad = PyUnicode_InternFromString("grad");
    PyObject* params = PyUnicode_InternFromString("params");
    PyObject* to_local = PyUnicode_InternFromString("to_local");
    PyObject* placements = PyUnicode_InternFromString("placements");
};

const Names& names() {
    static const Names* made = new Names;
    return *made;
}

bool is_dtensor(PyObject* tensor) { return PyObject_HasAttr(tensor, names().to_local) == 1; }

// The part of a DTensor that this rank holds; null if it is no plain tensor. Without gradients torch returns the same
// object each time.
py::object part_of(PyObject* tensor) {
    py::object part = py::reinterpret_steal<py::object>(PyObject_CallMethodNoArgs(tensor, names().to_local));
    if (!part) PyErr_Clear();
    return part && is_plain_tensor(part.ptr()) ? part : py::object();
}

// How a DTensor is cut up; null if it does not say.
py::object placements_of(PyObject* tensor) {
    py::object placements = py::reinterpret_steal<py::object>(PyObject_GetAttr(tensor, names().placements));
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
            entries_.push_back(make_entry(kept, tensors, has_row ? given.data + next++ : nullptr));
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

Entry Plan::make_entry(const py::object& param, const py::object& tensors, const Row* row) {
    Entry entry{param, row != nullptr, watched_.size(), 0, {}, {}};
    if (row == nullptr) return entry;
    entry.row = *row;
    if (is_dtensor(param.ptr())) entry.placements = placements_of(param.ptr());
    for (const py::handle tensor : py::cast<py::list>(tensors)) {
        is_lasting_ = is_lasting_ && watch(py::reinterpret_borrow<py::object>(tensor));
    }
    entry.num_watched = watched_.size() - entry.first_watched;
    return entry;
}

// False if it cannot be watched.
bool Plan::watch(const py::object& tensor) {
    const bool is_cut = is_dtensor(tensor.ptr());
    const py::object part = is_cut ? part_of(tensor.ptr()) : tensor;
    TensorView view{};
    if (!part || !is_tensor(part.ptr()) || !look_at(part.ptr(), view)) return false;
    watched_.push_back({tensor, py::type::of(tensor), is_cut, view.data, view.dtype, view.ndim, keep_dims(view)});
    return true;
}

// States mostly lie as the parameter before them: they share its dimensions.
std::size_t Plan::keep_dims(const TensorView& view) {
    const std::size_t before = watched_.empty() ? 0 : watched_.back().dims;
    if (!watched_.empty() && lies_as(view, watched_.back())) return before;
    dims_.insert(dims_.end(), view.shape, view.shape + view.ndim);
    dims_.insert(dims_.end(), view.strides, view.strides + view.ndim);
    return dims_.size() - 2 * static_cast<std::size_t>(view.ndim);
}

// Strides of dimensions of one element mean nothing.
bool Plan::lies_as(const TensorView& view, const Watched& watched) const {
    if (view.ndim != watched.ndim) return false;
    const std::int64_t* shape = dims_.data() + watched.dims;
    const std::int64_t* strides = shape + watched.ndim;
    for (std::int64_t i = 0; i < view.ndim; ++i) {
        if (view.shape[i] != shape[i] || (shape[i] > 1 && view.strides[i] != strides[i])) return false;
    }
    return true;
}

bool Plan::is_unchanged(const Watched& watched) const {
    PyObject* tensor = watched.tensor.ptr();
    if (reinterpret_cast<PyObject*>(Py_TYPE(tensor)) != watched.type.ptr()) return false;
    // A part lives as long as it is looked at: torch may make it anew each time.
    const py::object part = watched.is_dtensor ? part_of(tensor) : watched.tensor;
    TensorView now{};
    if (!part || !look_at(part.ptr(), now)) return false;
    return now.data == watched.data && now.dtype == watched.dtype && lies_as(now, watched);
}

bool Plan::are_unchanged(const Entry& entry) const {
    for (std::size_t i = 0; i < entry.num_watched; ++i) {
        if (!is_unchanged(watched_[entry.first_watched + i])) return false;
    }
    return true;
}

bool Plan::same_params(const py::list& param_groups) const {
    if (static_cast<std::size_t>(PyList_GET_SIZE(param_groups.ptr())) != groups_.size()) return false;
    for (std::size_t i = 0; i < groups_.size(); ++i) {
        PyObject* group = PyList_GET_ITEM(param_groups.ptr(), static_cast<Py_ssize_t>(i));
        PyObject* params = PyDict_Check(group) ? PyDict_GetItem(group, names().params) : nullptr;
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
    py::object grad = py::reinterpret_steal<py::object>(PyObject_GetAttr(entry.param.ptr(), names().grad));
    if (!grad) PyErr_Clear();
    if (!grad || !entry.has_row) return grad && grad.is_none();
    if (grad.is_none()) return true;
    if (entry.placements) {
        const bool fits = is_cut_like(entry.param.ptr(), entry.placements) && is_cut_like(grad.ptr(), entry.placements);
        grad = fits ? part_of(grad.ptr()) : py::object();
        if (!grad) return false;
    }
    TensorView now{};
    if (!is_plain_tensor(grad.ptr()) || !look_at(grad.ptr(), now) || is_negated(grad.ptr())) return false;
    const int dtype = grad_dtype_of(now.dtype);
    if (dtype == kNumDtypes || !lies_as(now, watched_[entry.first_watched])) return false;
    entry.row.grad = static_cast<std::int64_t>(reinterpret_cast<std::uintptr_t>(now.data));
    entry.row.grad_dtype = dtype;
    rows_.push_back(entry.row);
    moved_.push_back(entry.param.ptr());
    grads_.push_back(std::move(grad));
    return true;
}

bool Plan::matches(const py::list& param_groups, const py::dict& state) {
    if (!is_lasting_ || is_busy_ || !same_params(param_groups) || !same_state(state)) return false;
    forget_grads();
    return std::all_of(entries_.begin(), entries_.end(),
                       [this](Entry& entry) { return are_unchanged(entry) && take_grad(entry); });
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
