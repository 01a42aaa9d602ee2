// The kernels of this package, for the instruction set in use.
#pragma once

#include "kernels/table.hpp"

namespace swift_native {

const KernelTable& kernels();

}  // namespace swift_native
