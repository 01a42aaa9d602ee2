// Compiled once for each instruction set; SWIFT_NATIVE_KERNELS names the namespace.
#include "kernels/norm.hpp"

#include "kernels/prefetch.hpp"
#include "kernels/table.hpp"

namespace swift_native {
namespace SWIFT_NATIVE_KERNELS {
namespace {

constexpr int64_t kSums = 16;

template <typename Element>
double sum_of_squares(const void* values, int64_t num_elements) {
    const Element* x = static_cast<const Element*>(values);
    double sums[kSums] = {};
    int64_t i = 0;
    for (; i + kBlock <= num_elements; i += kBlock) {
        prefetch_block<false, kBlock>(x, i + kAhead);
        for (int64_t j = i; j < i + kBlock; j += kSums) {
            for (int64_t k = 0; k < kSums; ++k) {
                const double value = static_cast<double>(load(x[j + k]));
                sums[k] += value * value;
            }
        }
    }
    for (; i < num_elements; ++i) {
        const double value = static_cast<double>(load(x[i]));
        sums[i % kSums] += value * value;
    }
    double total = 0.0;
    for (int64_t k = 0; k < kSums; ++k) total += sums[k];
    return total;
}

template <typename Element>
void scale(void* values, int64_t num_elements, float factor) {
    Element* x = static_cast<Element*>(values);
    for (int64_t i = 0; i < num_elements; ++i) store(x[i], load(x[i]) * factor);
}

}  // namespace

void fill_norm(KernelTable& table) {
    table.norm.sum_of_squares[kFloat32] = sum_of_squares<float>;
    table.norm.sum_of_squares[kBFloat16] = sum_of_squares<BFloat16>;
    table.norm.sum_of_squares[kFloat16] = sum_of_squares<Float16>;
    table.norm.scale[kFloat32] = scale<float>;
    table.norm.scale[kBFloat16] = scale<BFloat16>;
    table.norm.scale[kFloat16] = scale<Float16>;
}

}  // namespace SWIFT_NATIVE_KERNELS
}  // namespace swift_native
