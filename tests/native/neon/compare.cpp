// Runs the kernels as they are built for this processor beside the same sources without vector instructions, on random
// arrays, and compares the results bit for bit. Built and run by run.sh, under an emulator where the processor is
// another.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernels/table.hpp"

namespace swift_native {
namespace kernels_plain {
KernelTable table();
}
}  // namespace swift_native

using namespace swift_native;

namespace {

constexpr std::int64_t kSize = 1000;  // whole blocks and a rest
int num_different = 0;
int num_compared = 0;

// xorshift64: Marsaglia, 2003.
std::uint64_t state = 88172645463325252ULL;
std::uint32_t random_bits() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return static_cast<std::uint32_t>(state >> 32);
}

// Over sixteen octaves, with some zeros.
float random_float(bool is_positive) {
    if (random_bits() % 50 == 0) return 0.0F;
    const std::uint32_t sign = is_positive ? 0U : random_bits() & 0x80000000U;
    const std::uint32_t bits = sign | (110U + random_bits() % 16U) << 23 | (random_bits() & 0x7fffffU);
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

using Bytes = std::vector<unsigned char>;

Bytes random_array(bool is_narrow, bool is_positive) {
    Bytes bytes(static_cast<std::size_t>(kSize) * (is_narrow ? 2 : 4));
    for (std::int64_t i = 0; i < kSize; ++i) {
        const float value = random_float(is_positive);
        unsigned char raw[4];
        std::memcpy(raw, &value, 4);
        std::memcpy(bytes.data() + i * (is_narrow ? 2 : 4), raw + (is_narrow ? 2 : 0), is_narrow ? 2 : 4);
    }
    return bytes;
}

void compare(const std::string& name, const Bytes& one, const Bytes& other) {
    ++num_compared;
    if (one == other) return;
    ++num_different;
    std::printf("different: %s\n", name.c_str());
}

// What an elementwise kernel reads and writes.
struct Arrays {
    Bytes param, compensation, grad, states[kMaxStates];

    Span span() {
        Span made{};
        made.param = param.data();
        made.compensation = reinterpret_cast<std::uint16_t*>(compensation.data());
        made.grad = reinterpret_cast<const float*>(grad.data());
        for (int i = 0; i < kMaxStates; ++i) made.states[i] = states[i].data();
        made.counter = 12345;
        return made;
    }
};

Arrays random_arrays(int weights, int format) {
    const bool narrow = format == kBFloat16States;
    return {random_array(weights != kFloatWeights, false), random_array(true, false), random_array(false, false),
            {random_array(narrow, false), random_array(narrow, true), random_array(narrow, true)}};
}

template <typename Kernel, typename Scalars>
void compare_rule(const std::string& name, Kernel vector, Kernel plain, const Scalars& scalars, int weights,
                  int format) {
    Arrays one = random_arrays(weights, format);
    Arrays other = one;
    vector(one.span(), scalars, kSize);
    plain(other.span(), scalars, kSize);
    compare(name + " weights", one.param, other.param);
    compare(name + " compensation", one.compensation, other.compensation);
    for (int i = 0; i < kMaxStates; ++i) compare(name + " state " + std::to_string(i), one.states[i], other.states[i]);
}

void compare_rules(const KernelTable& vector, const KernelTable& plain) {
    const AdamWScalars adamw{0.5F, 0.999F, 0.1F, 0.999F, 0.001F, 1e-3F, 3.0F,
                             1e-8F, 0.9F,  0.05F, 0.016F, 3e-4F, 3e-9F};
    const LionScalars lion{0.5F, 0.999F, 0.1F, 0.01F, 1e-3F};
    const SgdScalars sgd{0.5F, 0.01F, 0.9F, 1.0F, 1.0F, 0.9F, 1e-3F};
    for (int weights = 0; weights < kNumWeights; ++weights) {
        for (int format = 0; format < kNumStateFormats; ++format) {
            const std::string kind = " " + std::to_string(weights) + " " + std::to_string(format);
            for (int amsgrad = 0; amsgrad < 2; ++amsgrad) {
                compare_rule("adamw" + kind + " " + std::to_string(amsgrad), vector.adamw.update[weights][format][amsgrad],
                             plain.adamw.update[weights][format][amsgrad], adamw, weights, format);
            }
            compare_rule("lion" + kind, vector.lion.update[weights][format], plain.lion.update[weights][format], lion,
                         weights, format);
            compare_rule("sgd" + kind, vector.sgd.with_momentum[weights][format],
                         plain.sgd.with_momentum[weights][format], sgd, weights, format);
        }
        compare_rule("sgd " + std::to_string(weights), vector.sgd.plain[weights], plain.sgd.plain[weights], sgd,
                     weights, kFloatStates);
    }
}

// Codes, scales, and what they are read as.
struct Codes {
    Bytes shares = Bytes(kSize), roots = Bytes(kSize), share_scales = Bytes(8), root_scales = Bytes(16);
    Bytes first = Bytes(4 * kSize), second = Bytes(4 * kSize);

    Pair8 pair() { return {shares.data(), roots.data(), share_scales.data(), root_scales.data()}; }
    void compare_with(const std::string& name, const Codes& other) const {
        compare(name + " shares", shares, other.shares);
        compare(name + " roots", roots, other.roots);
        compare(name + " share scales", share_scales, other.share_scales);
        compare(name + " root scales", root_scales, other.root_scales);
        compare(name + " first", first, other.first);
        compare(name + " second", second, other.second);
    }
};

float* floats(Bytes& bytes) { return reinterpret_cast<float*>(bytes.data()); }

Codes paired(const KernelTable& table, Bytes first, Bytes second, int is_stochastic) {
    Codes made;
    table.block8.encode_pair[is_stochastic](floats(first), floats(second), made.pair(), kSize, 99);
    table.block8.decode_pair(made.pair(), floats(made.first), floats(made.second), kSize);
    return made;
}

Codes alone(const KernelTable& table, Bytes first, Bytes second, int is_stochastic) {
    Codes made;
    table.block8.encode_lone[is_stochastic](floats(first), made.shares.data(), made.share_scales.data(), kSize, 99);
    table.block8.decode_lone(made.shares.data(), made.share_scales.data(), floats(made.first), kSize);
    table.block8.encode_roots(floats(second), made.roots.data(), made.root_scales.data(), kSize);
    table.block8.decode_roots(made.roots.data(), made.root_scales.data(), floats(made.second), kSize);
    return made;
}

void compare_blocks(const KernelTable& vector, const KernelTable& plain) {
    for (int round = 0; round < 20; ++round) {
        Bytes first = random_array(false, false), second = random_array(false, true);
        const std::uint32_t infinity = 0x7f800000U;
        if (round == 19) std::memcpy(second.data() + 4 * 300, &infinity, 4);
        for (int is_stochastic = 0; is_stochastic < 2; ++is_stochastic) {
            paired(vector, first, second, is_stochastic).compare_with("pair", paired(plain, first, second, is_stochastic));
            alone(vector, first, second, is_stochastic).compare_with("alone", alone(plain, first, second, is_stochastic));
        }
    }
}

Bytes as_bytes(double value) {
    Bytes bytes(sizeof value);
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
}

void compare_rest(const KernelTable& vector, const KernelTable& plain) {
    for (int dtype = 0; dtype < kNumDtypes; ++dtype) {
        Bytes one = random_array(dtype != kFloat32, false), other = one;
        compare("norm", as_bytes(vector.norm.sum_of_squares[dtype](one.data(), kSize)),
                as_bytes(plain.norm.sum_of_squares[dtype](other.data(), kSize)));
        vector.norm.scale[dtype](one.data(), kSize, 0.3F);
        plain.norm.scale[dtype](other.data(), kSize, 0.3F);
        compare("scale", one, other);
    }
    Bytes narrow(131072), one(4 * 65536), other = one;  // every number of 16 bits
    for (std::uint32_t i = 0; i < 65536; ++i) std::memcpy(narrow.data() + 2 * i, &i, 2);
    for (const auto widen : {&ConvertKernels::from_bfloat16, &ConvertKernels::from_float16}) {
        (vector.convert.*widen)(narrow.data(), floats(one), 65536);
        (plain.convert.*widen)(narrow.data(), floats(other), 65536);
        compare("widen", one, other);
    }
    Bytes wide = random_array(false, false), first(2 * kSize), second(2 * kSize);
    vector.convert.to_bfloat16(floats(wide), reinterpret_cast<std::uint16_t*>(first.data()), kSize);
    plain.convert.to_bfloat16(floats(wide), reinterpret_cast<std::uint16_t*>(second.data()), kSize);
    compare("narrow", first, second);
}

}  // namespace

int main() {
    const KernelTable vector = kernels_baseline::table(), plain = kernels_plain::table();
    compare_rules(vector, plain);
    compare_blocks(vector, plain);
    compare_rest(vector, plain);
    std::printf("%d of %d arrays are different\n", num_different, num_compared);
    return num_different != 0;
}
