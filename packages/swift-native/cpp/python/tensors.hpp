// What a step asks of every tensor each time, without a call into Python: the C interface that torch has for compiled
// models (torch/csrc/inductor/aoti_torch/c/shim.h) answers for the C++ tensor inside a Python object.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace swift_native {

// Where a strided tensor lies in the memory of this machine, and how. Shape and strides, in elements, are torch's own:
// valid until the tensor is changed.
struct TensorView {
    const void* data;
    std::int32_t dtype;  // torch's number for it
    std::int64_t ndim;
    const std::int64_t* shape;
    const std::int64_t* strides;
};

// False if `tensor`, a torch.Tensor or of a subclass of it, is no such tensor, or if this torch cannot be asked.
bool look_at(PyObject* tensor, TensorView& out);

// Whether the values of `tensor`, a torch.Tensor, are those of its memory with the sign turned. True if unknown.
bool is_negated(PyObject* tensor);

bool is_tensor(PyObject* object);

// Whether it is a torch.Tensor and no subclass.
bool is_plain_tensor(PyObject* object);

// A Dtype (kernels/norm.hpp), or kNumDtypes for what no gradient can be.
int grad_dtype_of(std::int32_t dtype);

}  // namespace swift_native
