// One step of an elementwise rule over a list of tensors: each element of memory is touched once.
#pragma once

#include "driver/rows.hpp"

namespace swift_native {

// Adds one to the step count of every row and updates its parameter and states by the rule (kernels/adamw.hpp,
// lion.hpp, sgd.hpp; kMove writes AdamW's move to `param` instead of adding it). Gradients are multiplied by
// `grad_factor` first. Preconditions: check_rows returned null; the addresses stay valid until the call returns;
// num_threads >= 1. The call allocates nothing, but for a list longer than any before on the same thread.
void take_step(Rule rule, const Row* rows, std::size_t num_rows, const Options* options, double grad_factor,
               int num_threads);

// Moves the memory of such a step with almost no arithmetic (kernels/traffic.hpp). Step counts stay as they are.
// Preconditions: as for take_step; all rows are float.
void move_traffic(const Row* rows, std::size_t num_rows, int num_threads);

}  // namespace swift_native
