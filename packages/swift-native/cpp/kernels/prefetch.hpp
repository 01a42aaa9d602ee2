// Software prefetch of the lines that a block of elements covers. For kernel sources only.
#pragma once

#include <stdint.h>

#include "element.hpp"

#if defined(_MSC_VER)
#include <intrin.h>
#endif

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

// Elements between two rounds of prefetches: four cache lines of float.
constexpr int64_t kBlock = 64;
// How far ahead to fetch, in elements: 2 KB of float. Hardware prefetchers stop at the page border; this does not.
constexpr int64_t kAhead = 512;

// Fetching past the end of an array is harmless: a prefetch never faults. The address is made as an integer because a
// pointer that far past the end would not be valid.
template <bool kWrite, int64_t kElements, typename Element>
SWIFT_NATIVE_INLINE void prefetch_block(const Element* base, int64_t offset) {
    constexpr uintptr_t kLine = 64;
    const uintptr_t first = reinterpret_cast<uintptr_t>(base) + static_cast<uintptr_t>(offset) * sizeof(Element);
    for (uintptr_t byte = 0; byte < static_cast<uintptr_t>(kElements) * sizeof(Element); byte += kLine) {
#if defined(_MSC_VER)
#if defined(_M_X64)
        _mm_prefetch(reinterpret_cast<const char*>(first + byte), _MM_HINT_T0);
#endif
#else
        __builtin_prefetch(reinterpret_cast<const void*>(first + byte), kWrite ? 1 : 0, 3);
#endif
    }
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
