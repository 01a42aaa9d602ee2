#include "isa.hpp"

#include <atomic>
#include <cstdint>

#if defined(SWIFT_NATIVE_X86_64)
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif

namespace swift_native {
namespace {

#if defined(SWIFT_NATIVE_X86_64)

struct Registers {
    std::uint32_t a, b, c, d;
};

Registers cpuid(std::uint32_t leaf) {
    Registers r{};
#if defined(_MSC_VER)
    int out[4];
    __cpuidex(out, static_cast<int>(leaf), 0);
    r = {static_cast<std::uint32_t>(out[0]), static_cast<std::uint32_t>(out[1]), static_cast<std::uint32_t>(out[2]),
         static_cast<std::uint32_t>(out[3])};
#else
    __get_cpuid_count(leaf, 0, &r.a, &r.b, &r.c, &r.d);
#endif
    return r;
}

// Which registers the operating system saves when it switches threads.
std::uint64_t saved_state() {
#if defined(_MSC_VER)
    return _xgetbv(0);
#else
    std::uint32_t low = 0;
    std::uint32_t high = 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (static_cast<std::uint64_t>(high) << 32) | low;
#endif
}

constexpr bool has(std::uint32_t word, std::uint32_t bits) { return (word & bits) == bits; }
constexpr std::uint32_t bit(int n) { return 1U << n; }

// 1 plain, 3 AVX2 and its companions, 4 AVX-512 F, BW, CD, DQ and VL; as in the x86-64 psABI.
int x86_level() {
    if (cpuid(0).a < 7) return 1;
    const Registers basic = cpuid(1);
    const Registers more = cpuid(7);
    const Registers extended = cpuid(0x80000001U);
    // FMA, SSE4.2, MOVBE, POPCNT, OSXSAVE, AVX, F16C; BMI1, AVX2, BMI2; LZCNT.
    const bool v3 = has(basic.c, bit(12) | bit(20) | bit(22) | bit(23) | bit(27) | bit(28) | bit(29)) &&
                    has(more.b, bit(3) | bit(5) | bit(8)) && has(extended.c, bit(5));
    if (!v3 || (saved_state() & 0x6U) != 0x6U) return 1;
    const bool v4 = has(more.b, bit(16) | bit(17) | bit(28) | bit(30) | bit(31));
    return v4 && (saved_state() & 0xe6U) == 0xe6U ? 4 : 3;
}

#endif

// Whatever has kernels has those of every level up to the machine's, so that an index is an Isa.
constexpr const char* kNames[] = {"baseline", "v3", "v4"};

int num_usable() {
#if defined(SWIFT_NATIVE_X86_64)
    static const int level = x86_level();
    return level >= 4 ? 3 : level >= 3 ? 2 : 1;
#else
    return 1;
#endif
}

std::atomic<int>& chosen() {
    static std::atomic<int> index{num_usable() - 1};
    return index;
}

}  // namespace

Isa isa_in_use() { return static_cast<Isa>(chosen().load()); }

std::vector<std::string> usable_isas() { return {kNames, kNames + num_usable()}; }

std::string current_isa() { return kNames[chosen().load()]; }

bool select_isa(const std::string& name) {
    for (int i = 0; i < num_usable(); ++i) {
        if (name == kNames[i]) {
            chosen().store(i);
            return true;
        }
    }
    return false;
}

}  // namespace swift_native
