// Chooses the instruction set of the kernels, once, by asking the processor and the operating system.
#pragma once

#include <string>
#include <vector>

#include "choose.hpp"

namespace swift_native {

// Names of the instruction sets that are compiled in and that this machine runs, from plain to widest.
// x86-64: "baseline", "v3" (AVX2), "v4" (AVX-512); elsewhere only "baseline" (on aarch64 that includes NEON).
std::vector<std::string> usable_isas();

// The one in use: the widest, unless select_isa chose another.
std::string current_isa();

// Uses the kernels of `name` from now on; false, and no change, if it is not usable.
bool select_isa(const std::string& name);

}  // namespace swift_native
