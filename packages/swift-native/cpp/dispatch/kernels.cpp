#include "dispatch/kernels.hpp"

#include "dispatch/choose.hpp"

namespace swift_native {
namespace {

// Each is made when it is first chosen: what makes it is compiled for its instruction set too.
const KernelTable& baseline() {
    static const KernelTable made = kernels_baseline::table();
    return made;
}

#if defined(SWIFT_NATIVE_X86_64)
const KernelTable& v3() {
    static const KernelTable made = kernels_v3::table();
    return made;
}

const KernelTable& v4() {
    static const KernelTable made = kernels_v4::table();
    return made;
}
#endif

}  // namespace

const KernelTable& kernels() {
#if defined(SWIFT_NATIVE_X86_64)
    if (isa_in_use() == Isa::kV4) return v4();
    if (isa_in_use() == Isa::kV3) return v3();
#endif
    return baseline();
}

}  // namespace swift_native
