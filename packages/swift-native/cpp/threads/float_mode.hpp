// The floating-point mode of a thread: whether denormal numbers are flushed to zero, and how results are rounded.
#pragma once

#include <cstdint>

namespace swift_native {

// The calling thread's mode (`torch.set_flush_denormal` changes it); 0 where the platform has none that we read.
std::uint64_t float_mode();

// Takes a mode over from another thread, so that a result does not depend on which thread computed it.
void set_float_mode(std::uint64_t mode);

}  // namespace swift_native
