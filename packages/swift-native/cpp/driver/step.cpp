#include "driver/step.hpp"

#include <algorithm>
#include <vector>

#include "dispatch/kernels.hpp"
#include "driver/chunks.hpp"
#include "driver/counter.hpp"
#include "driver/scalars.hpp"

namespace swift_native {
namespace {

// Elements that are converted at once, between a narrow format and a kernel that reads float: whole blocks of 8-bit
// codes, and few enough for all buffers of a thread to stay in its first-level cache.
constexpr std::int64_t kTile = 256;
static_assert(kTile % kBlock8 == 0 && kChunk % kTile == 0, "a tile begins and ends with a block");

struct Job {
    Rule rule;
    const Row* rows;
    const Scalars* scalars;
    const std::size_t* scalars_of;  // by row
    const KernelTable* kernels;
};

struct Buffers {
    alignas(64) float grad[kTile];
    alignas(64) float states[kMaxStates][kTile];
};

Storage storage_of(const Row& row) { return static_cast<Storage>(row.storage); }

StateFormat format_of(const Row& row) {
    switch (storage_of(row)) {
        case Storage::kWide: return kFloatStates;
        case Storage::kHalf: return kBFloat16States;
        case Storage::kCodes: return kDecodedStates;
    }
    return kFloatStates;
}

std::int64_t weight_size(const Row& row) { return row.weights == kFloatWeights ? 4 : 2; }

// The arrays of a row from element `begin` on, as far as no conversion is needed.
Span span_at(const Row& row, const Scalars& scalars, std::int64_t begin) {
    Span span{};
    span.param = pointer<char>(row.param) + begin * weight_size(row);
    span.compensation = row.compensation != 0 ? pointer<std::uint16_t>(row.compensation) + begin : nullptr;
    span.grad = row.grad_dtype == kFloat32 ? pointer<const float>(row.grad) + begin : nullptr;
    const std::int64_t state_size = storage_of(row) == Storage::kWide ? 4 : storage_of(row) == Storage::kHalf ? 2 : 1;
    for (int slot = 0; slot < kMaxStates; ++slot) {
        span.states[slot] = row.states[slot] != 0 ? pointer<char>(row.states[slot]) + begin * state_size : nullptr;
    }
    span.counter = counter_of(scalars.origin, row.first_element + begin);
    return span;
}

void run_kernel(const Job& job, const Row& row, const Span& span, const Scalars& s, std::int64_t num_elements) {
    const KernelTable& kernels = *job.kernels;
    const StateFormat format = format_of(row);
    const bool is_amsgrad = row.states[2] != 0;
    switch (job.rule) {
        case Rule::kAdamW: kernels.adamw.update[row.weights][format][is_amsgrad](span, s.adamw, num_elements); break;
        case Rule::kMove: kernels.adamw.move[format][is_amsgrad](span, s.adamw, num_elements); break;
        case Rule::kLion: kernels.lion.update[row.weights][format](span, s.lion, num_elements); break;
        case Rule::kSgd:
            if (row.states[0] != 0) {
                kernels.sgd.with_momentum[row.weights][format](span, s.sgd, num_elements);
            } else {
                kernels.sgd.plain[row.weights](span, s.sgd, num_elements);
            }
            break;
    }
}

Pair8 pair_at(const Row& row, std::int64_t begin) {
    return {pointer<std::uint8_t>(row.states[0]) + begin, pointer<std::uint8_t>(row.states[1]) + begin,
            pointer<std::uint8_t>(row.scales[0]) + begin / kBlock8,
            pointer<std::uint8_t>(row.scales[1]) + begin / kBlock8 * kRootScale};
}

// The first state has a sign, the second is an average of squares, the third the largest of them so far.
void decode_states(const KernelTable& kernels, const Row& row, Buffers& buffers, Span& span, std::int64_t begin,
                   std::int64_t size) {
    auto& values = buffers.states;
    for (int slot = 0; slot < kMaxStates; ++slot) {
        if (row.states[slot] != 0) span.states[slot] = values[slot];
    }
    if (row.states[1] != 0) {
        kernels.block8.decode_pair(pair_at(row, begin), values[0], values[1], size);
    } else if (row.states[0] != 0) {
        kernels.block8.decode_lone(pointer<const std::uint8_t>(row.states[0]) + begin,
                                   pointer<const std::uint8_t>(row.scales[0]) + begin / kBlock8, values[0], size);
    }
    if (row.states[2] == 0) return;
    kernels.block8.decode_roots(pointer<const std::uint8_t>(row.states[2]) + begin,
                                pointer<const std::uint8_t>(row.scales[2]) + begin / kBlock8 * kRootScale, values[2],
                                size);
}

void encode_states(const KernelTable& kernels, const Row& row, const Scalars& scalars, const Buffers& buffers,
                   std::int64_t begin, std::int64_t size) {
    const std::uint32_t counter = counter_of(scalars.codes_origin, row.first_element + begin);
    const auto& values = buffers.states;
    if (row.states[1] != 0) {
        kernels.block8.encode_pair[1](values[0], values[1], pair_at(row, begin), size, counter);
    } else if (row.states[0] != 0) {
        kernels.block8.encode_lone[1](values[0], pointer<std::uint8_t>(row.states[0]) + begin,
                                      pointer<std::uint8_t>(row.scales[0]) + begin / kBlock8, size, counter);
    }
    if (row.states[2] == 0) return;
    // It never falls: it is rounded to nearest.
    kernels.block8.encode_roots(values[2], pointer<std::uint8_t>(row.states[2]) + begin,
                                pointer<std::uint8_t>(row.scales[2]) + begin / kBlock8 * kRootScale, size);
}

void widen_grad(const KernelTable& kernels, const Row& row, Buffers& buffers, Span& span, std::int64_t begin,
                std::int64_t size) {
    const std::uint16_t* grad = pointer<const std::uint16_t>(row.grad) + begin;
    const WidenKernel widen =
        row.grad_dtype == kBFloat16 ? kernels.convert.from_bfloat16 : kernels.convert.from_float16;
    widen(grad, buffers.grad, size);
    span.grad = buffers.grad;
}

void update_tile(const Job& job, const Row& row, const Scalars& scalars, std::int64_t begin, std::int64_t size,
                 Buffers& buffers) {
    const KernelTable& kernels = *job.kernels;
    const bool is_block8 = storage_of(row) == Storage::kCodes;
    Span span = span_at(row, scalars, begin);
    if (span.grad == nullptr) widen_grad(kernels, row, buffers, span, begin, size);
    if (is_block8) decode_states(kernels, row, buffers, span, begin, size);
    run_kernel(job, row, span, scalars, size);
    if (is_block8) encode_states(kernels, row, scalars, buffers, begin, size);
    if (row.copy != 0) {
        kernels.convert.to_bfloat16(static_cast<const float*>(span.param), pointer<std::uint16_t>(row.copy) + begin,
                                    size);
    }
}

// Updates whole blocks of narrow moments by the kernel that does so in one pass, where there is one; returns where the
// others begin.
std::int64_t update_blocks(const Job& job, const Row& row, const Scalars& scalars, std::int64_t begin,
                           std::int64_t end) {
    const bool is_block8 = storage_of(row) == Storage::kCodes;
    const bool fits = job.rule == Rule::kAdamW && storage_of(row) != Storage::kWide && row.states[2] == 0 &&
                      row.grad_dtype != kFloat16 && row.copy == 0;
    const std::int64_t group = is_block8 ? kBlock8 : kGroup16;
    const std::int64_t size = (end - begin) / group * group;
    if (!fits || size == 0) return begin;
    const bool is_narrow = row.grad_dtype == kBFloat16;
    const AdamW8Kernel kernel8 = job.kernels->adamw8.update[row.weights][is_narrow];
    const AdamWKernel kernel16 = job.kernels->adamw16.update[row.weights][is_narrow];
    Span span = span_at(row, scalars, begin);
    span.narrow_grad = pointer<const std::uint16_t>(row.grad) + begin;
    if (is_block8 && kernel8 != nullptr) {
        const std::uint32_t counter = counter_of(scalars.codes_origin, row.first_element + begin);
        kernel8(span, pair_at(row, begin), scalars.adamw, size, counter);
        return begin + size;
    }
    if (is_block8 || kernel16 == nullptr) return begin;
    kernel16(span, scalars.adamw, size);
    return begin + size;
}

void update_chunk(const void* context, std::size_t tensor, std::int64_t begin, std::int64_t end) {
    const Job& job = *static_cast<const Job*>(context);
    const Row& row = job.rows[tensor];
    const Scalars& scalars = job.scalars[job.scalars_of[tensor]];
    const bool is_direct = row.grad_dtype == kFloat32 && storage_of(row) != Storage::kCodes && row.copy == 0;
    Buffers buffers;
    const std::int64_t tile = is_direct ? kChunk : kTile;
    for (std::int64_t i = update_blocks(job, row, scalars, begin, end); i < end; i += tile) {
        update_tile(job, row, scalars, i, std::min(tile, end - i), buffers);
    }
}

void move_chunk(const void* context, std::size_t tensor, std::int64_t begin, std::int64_t end) {
    const Job& job = *static_cast<const Job*>(context);
    job.kernels->traffic(span_at(job.rows[tensor], Scalars{}, begin), end - begin);
}

// What a step needs beside its rows. One for each calling thread, so that two optimizers can step at once; it keeps its
// memory between steps.
struct Scratch {
    ChunkMap chunks;
    std::vector<Scalars> scalars;
    std::vector<std::size_t> scalars_of;

    // Counts the steps of `rows`; neighbours of one group and step share their scalars.
    void prepare(Rule rule, const Row* rows, std::size_t num_rows, const Options* options, double grad_factor) {
        chunks.reset(num_rows);
        scalars.clear();
        scalars_of.clear();
        for (std::size_t i = 0; i < num_rows; ++i) {
            const float step = *pointer<float>(rows[i].step) += 1.0F;
            const bool is_shared =
                i > 0 && rows[i].group == rows[i - 1].group && step == *pointer<float>(rows[i - 1].step);
            if (!is_shared)
                scalars.push_back(scalars_at(rule, options[rows[i].group], grad_factor, static_cast<double>(step)));
            scalars_of.push_back(scalars.size() - 1);
            chunks.add(rows[i].num_elements);
        }
    }
};

}  // namespace

void take_step(Rule rule, const Row* rows, std::size_t num_rows, const Options* options, double grad_factor,
               int num_threads) {
    thread_local Scratch scratch;
    scratch.prepare(rule, rows, num_rows, options, grad_factor);
    const Job job{rule, rows, scratch.scalars.data(), scratch.scalars_of.data(), &kernels()};
    for_each_chunk(scratch.chunks, num_threads, update_chunk, &job);
}

void move_traffic(const Row* rows, std::size_t num_rows, int num_threads) {
    ChunkMap chunks;
    chunks.reset(num_rows);
    for (std::size_t i = 0; i < num_rows; ++i) chunks.add(rows[i].num_elements);
    const Job job{Rule::kAdamW, rows, nullptr, nullptr, &kernels()};
    for_each_chunk(chunks, num_threads, move_chunk, &job);
}

}  // namespace swift_native
