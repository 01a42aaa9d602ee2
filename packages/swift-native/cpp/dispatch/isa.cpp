#include "dispatch/isa.hpp"

#include <atomic>
#include <cstddef>
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

struct Choice {
    const char* name;
    KernelTable table;
};

std::vector<Choice> make_choices() {
    std::vector<Choice> choices;
    choices.push_back({"baseline", kernels_baseline::table()});
#if defined(SWIFT_NATIVE_X86_64)
    const int level = x86_level();
    if (level >= 3) choices.push_back({"v3", kernels_v3::table()});
    if (level >= 4) choices.push_back({"v4", kernels_v4::table()});
#endif
    return choices;
}

const std::vector<Choice>& choices() {
    static const std::vector<Choice> made = make_choices();
    return made;
}

std::atomic<std::size_t>& chosen() {
    static std::atomic<std::size_t> index{choices().size() - 1};
    return index;
}

}  // namespace

std::vector<std::string> usable_isas() {
    std::vector<std::string> names;
    for (const Choice& choice : choices()) names.emplace_back(choice.name);
    return names;
}

std::string current_isa() { return choices()[chosen().load()].name; }

bool select_isa(const std::string& name) {
    for (std::size_t i = 0; i < choices().size(); ++i) {
        if (name == choices()[i].name) {
            chosen().store(i);
            return true;
        }
    }
    return false;
}

const KernelTable& kernels() { return choices()[chosen().load()].table; }

}  // namespace swift_native
