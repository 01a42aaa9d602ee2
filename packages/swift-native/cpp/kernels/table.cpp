// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

void fill_adamw(KernelTable& table);
void fill_traffic(KernelTable& table);

KernelTable table() {
    KernelTable table{};
    fill_adamw(table);
    fill_traffic(table);
    return table;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
