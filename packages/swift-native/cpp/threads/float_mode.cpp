#include "float_mode.hpp"

#if defined(SWIFT_NATIVE_X86_64)
#include <xmmintrin.h>
#endif

namespace swift_native {

#if defined(SWIFT_NATIVE_X86_64)

namespace {
// The low six bits only record that an exception happened.
constexpr std::uint64_t kControl = 0xffc0U;
}  // namespace

std::uint64_t float_mode() { return _mm_getcsr() & kControl; }

void set_float_mode(std::uint64_t mode) { _mm_setcsr(static_cast<unsigned int>(mode & kControl)); }

#elif defined(__aarch64__) && !defined(_MSC_VER)

std::uint64_t float_mode() {
    std::uint64_t mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}

void set_float_mode(std::uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }

#else

std::uint64_t float_mode() { return 0; }

void set_float_mode(std::uint64_t) {}

#endif

}  // namespace swift_native
