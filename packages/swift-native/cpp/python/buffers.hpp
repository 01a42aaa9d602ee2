// Flat Python buffers seen as rows of a C++ struct.
#pragma once

#include <pybind11/pybind11.h>

#include <string>

namespace swift_native {

// The memory of a one-dimensional, contiguous Python buffer of `Item`s, seen as rows of `Row`.
template <typename Row, typename Item>
struct RowBuffer {
    pybind11::buffer_info info;
    const Row* data;
    std::size_t size;

    RowBuffer(const pybind11::buffer& buffer, const char* name) : info(buffer.request()) {
        static_assert(sizeof(Row) % sizeof(Item) == 0, "a row is made of items");
        constexpr pybind11::ssize_t kItems = sizeof(Row) / sizeof(Item);
        const bool fits = info.item_type_is_equivalent_to<Item>() && info.ndim == 1 &&
                          (info.size == 0 || info.strides[0] == static_cast<pybind11::ssize_t>(sizeof(Item)));
        if (!fits || info.size % kItems != 0) {
            throw pybind11::value_error(std::string(name) + " must be a flat array of whole rows of " +
                                        std::to_string(kItems));
        }
        data = static_cast<const Row*>(info.ptr);
        size = static_cast<std::size_t>(info.size / kItems);
    }
};

}  // namespace swift_native
