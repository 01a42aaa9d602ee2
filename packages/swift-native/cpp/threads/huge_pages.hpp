// Large pages for large arrays: fewer page borders for the prefetchers, fewer misses in the address cache.
#pragma once

#include <cstddef>

namespace swift_native {

// Asks the system to back this memory with huge pages as it is first touched. A wish: nothing happens where the system
// has none.
void ask_for_huge_pages(void* address, std::size_t num_bytes);

}  // namespace swift_native
