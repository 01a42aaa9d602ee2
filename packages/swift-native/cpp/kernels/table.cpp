// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {

void fill_adafactor(KernelTable& table);
void fill_adamw(KernelTable& table);
void fill_adamw16(KernelTable& table);
void fill_adamw8(KernelTable& table);
void fill_block8(KernelTable& table);
void fill_convert(KernelTable& table);
void fill_lion(KernelTable& table);
void fill_norm(KernelTable& table);
void fill_sgd(KernelTable& table);
void fill_traffic(KernelTable& table);

KernelTable table() {
    KernelTable table{};
    fill_adafactor(table);
    fill_adamw(table);
    fill_adamw16(table);
    fill_adamw8(table);
    fill_block8(table);
    fill_convert(table);
    fill_lion(table);
    fill_norm(table);
    fill_sgd(table);
    fill_traffic(table);
    return table;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
