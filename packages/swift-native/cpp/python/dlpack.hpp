// What this extension uses of DLPack's C exchange interface, version 1.x (github.com/dmlc/dlpack,
// include/dlpack/dlpack.h): it tells where a tensor lies and how, without a call into Python. Layouts are fixed by that
// header.
#pragma once

#include <cstdint>

namespace swift_native::dlpack {

struct Version {
    std::uint32_t major;
    std::uint32_t minor;
};

struct Device {
    std::int32_t type;
    std::int32_t id;
};

struct DataType {
    std::uint8_t code;
    std::uint8_t bits;
    std::uint16_t lanes;
};

struct Tensor {
    void* data;
    Device device;
    std::int32_t ndim;
    DataType dtype;
    std::int64_t* shape;
    std::int64_t* strides;
    std::uint64_t byte_offset;
};

constexpr std::int32_t kCpu = 1;
constexpr std::uint8_t kUInt = 1;
constexpr std::uint8_t kFloat = 2;
constexpr std::uint8_t kBFloat = 4;

struct ExchangeHeader {
    Version version;
    ExchangeHeader* previous;
};

struct Exchange {
    ExchangeHeader header;
    void* managed_tensor_allocator;
    void* managed_tensor_from_object;
    void* managed_tensor_to_object;
    int (*tensor_from_object)(void* object,
                              Tensor* out);  // 0, or -1 with a Python error; `out` is valid while the object is
    void* current_work_stream;
};

constexpr const char* kCapsuleName = "dlpack_exchange_api";
constexpr const char* kAttribute = "__dlpack_c_exchange_api__";

}  // namespace swift_native::dlpack
