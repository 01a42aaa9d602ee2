// The rows of an optimizer's step, kept from one step to the next as long as nothing that they were made of has
// changed.
#pragma once

#include <pybind11/pybind11.h>

#include <vector>

#include "driver/norm.hpp"
#include "driver/rows.hpp"
#include "python/tensors.hpp"

namespace swift_native {

// A tensor that the rows point to, and how it, or the part of it that this rank holds, must still lie.
struct Watched {
    pybind11::object tensor;
    pybind11::object type;
    bool is_dtensor;
    const void* data;
    std::int32_t dtype;
    std::int64_t ndim;
    std::size_t dims;  // where its shape and then its strides begin among those of the plan
};

// One parameter of the optimizer; without a row while it has no gradient.
struct Entry {
    pybind11::object param;
    bool has_row;
    std::size_t first_watched;  // the parameter, then what belongs to it; none without a row
    std::size_t num_watched;
    Row row;
    pybind11::object placements;  // of a DTensor: how it is cut up
};

class Plan {
public:
    // Args: the rule; one row for each parameter with a gradient; one entry for each parameter of each group, a list of
    // the tensors that its row points to (parameter, states, copy) or None without a row; the parameters by group; the
    // gradients of the rows in their order, kept alive until the first step is over; the optimizer's state; whether all
    // tensors lie as they are (else the plan is good for one step).
    Plan(int rule, const pybind11::buffer& rows, const pybind11::list& entries, const pybind11::list& groups,
         const pybind11::list& grads, const pybind11::dict& state, bool is_lasting);

    // Whether the rows are still right: the same parameters in the same groups, with the same states, in the same
    // memory, and gradients exactly where there were some. Takes over the new gradients. Never raises; false means to
    // make a new plan.
    bool matches(const pybind11::list& param_groups, const pybind11::dict& state);

    // Takes the step with the GIL released; clips by the global norm first where max_norm > 0. Returns that norm, else
    // -1.
    double step(const pybind11::buffer& options, double grad_factor, double max_norm, int num_threads);

    // The parameters that the step moves.
    pybind11::list params() const;

private:
    Entry make_entry(const pybind11::object& param, const pybind11::object& tensors, const Row* row);
    bool watch(const pybind11::object& tensor);
    std::size_t keep_dims(const TensorView& view);
    bool lies_as(const TensorView& view, const Watched& watched) const;
    bool is_unchanged(const Watched& watched) const;
    bool are_unchanged(const Entry& entry) const;
    bool same_params(const pybind11::list& param_groups) const;
    bool same_state(const pybind11::dict& state) const;
    bool take_grad(Entry& entry);
    void forget_grads();
    void check(std::size_t num_groups) const;

    Rule rule_;
    bool is_lasting_;
    bool is_busy_ = false;
    std::vector<Entry> entries_;
    std::vector<Watched> watched_;    // by entry
    std::vector<std::int64_t> dims_;  // of what is watched
    std::vector<std::vector<pybind11::object>> groups_;
    std::vector<pybind11::object> state_;  // keys, dicts and values, in their order
    std::vector<Row> rows_;                // of this step
    std::vector<GradRow> grad_rows_;
    std::vector<pybind11::object> grads_;
    std::vector<PyObject*> moved_;  // parameters of this step, kept alive by the entries
};

}  // namespace swift_native
