#include "driver/rows.hpp"

#include "kernels/norm.hpp"

namespace swift_native {
namespace {

bool is_between(std::int64_t number, std::int64_t end) { return number >= 0 && number < end; }

const char* check_format(Rule rule, const Row& row) {
    if (!is_between(row.grad_dtype, kNumDtypes)) return "a row names an unknown dtype";
    if (!is_between(row.weights, kNumWeights)) return "a row names an unknown format of weights";
    if (!is_between(row.storage, 3)) return "a row names an unknown format of states";
    if (row.weights == kKahanWeights && row.num_elements > 0 && row.compensation == 0)
        return "a row has a null address";
    if (row.weights != kFloatWeights && (row.copy != 0 || rule == Rule::kMove)) return "a row must have float weights";
    return nullptr;
}

// Whether every slot of state that the rule needs is there; the last of AdamW and the one of SGD may be left out.
bool has_states(Rule rule, const Row& row) {
    const int needed = rule == Rule::kSgd ? 0 : rule == Rule::kLion ? 1 : 2;
    for (int slot = 0; slot < kMaxStates; ++slot) {
        if (slot < needed && row.states[slot] == 0) return false;
        const bool needs_scales = row.states[slot] != 0 && row.storage == static_cast<std::int64_t>(Storage::kCodes);
        if (needs_scales && row.scales[slot] == 0) return false;
    }
    return true;
}

}  // namespace

const char* check_rows(Rule rule, const Row* rows, std::size_t num_rows, std::size_t num_groups) {
    for (std::size_t i = 0; i < num_rows; ++i) {
        const Row& row = rows[i];
        if (row.num_elements < 0 || row.first_element < 0) return "a row has a negative number of elements";
        if (!is_between(row.group, static_cast<std::int64_t>(num_groups))) return "a row names a group without options";
        if (row.step == 0) return "a row has no step count";
        if (const char* mistake = check_format(rule, row)) return mistake;
        const bool has_arrays = row.param != 0 && row.grad != 0 && has_states(rule, row);
        if (row.num_elements > 0 && !has_arrays) return "a row has a null address";
    }
    return nullptr;
}

}  // namespace swift_native
