// A function that is compiled once for each instruction set: how it is declared, and which of its forms is called.
//
//     SWIFT_NATIVE_DECLARE(void halve(float* values, std::int64_t num_elements))        in the kernel's header
//     SWIFT_NATIVE_CHOOSE(halve)(values, num_elements);                                 where it is called
//
// The kernel's source defines it in `namespace SWIFT_NATIVE_KERNELS`, inside the namespace that it is declared in, and is
// built by swift_native_add_kernels (cmake/swift_native-kernels.cmake). It may use no inline code that others use: a
// linker that merges two copies could hand AVX-512 instructions to a processor that has none.
#pragma once

namespace swift_native {

enum class Isa : int { kBaseline = 0, kV3 = 1, kV4 = 2 };

// The instruction set that kernels are called in.
Isa isa_in_use();

}  // namespace swift_native

#define SWIFT_NATIVE_DECLARE_FOR(isa, ...) \
    namespace kernels_##isa {              \
        __VA_ARGS__;                       \
    }

#if defined(SWIFT_NATIVE_X86_64)
#define SWIFT_NATIVE_DECLARE(...)                   \
    SWIFT_NATIVE_DECLARE_FOR(baseline, __VA_ARGS__) \
    SWIFT_NATIVE_DECLARE_FOR(v3, __VA_ARGS__)       \
    SWIFT_NATIVE_DECLARE_FOR(v4, __VA_ARGS__)
#define SWIFT_NATIVE_CHOOSE(function)                                                        \
    (::swift_native::isa_in_use() == ::swift_native::Isa::kV4   ? kernels_v4::function       \
     : ::swift_native::isa_in_use() == ::swift_native::Isa::kV3 ? kernels_v3::function       \
                                                                : kernels_baseline::function)
#else
#define SWIFT_NATIVE_DECLARE(...) SWIFT_NATIVE_DECLARE_FOR(baseline, __VA_ARGS__)
#define SWIFT_NATIVE_CHOOSE(function) kernels_baseline::function
#endif
