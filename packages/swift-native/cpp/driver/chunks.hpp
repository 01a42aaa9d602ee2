// Cuts a list of tensors into chunks and lets threads take them one by one: the driver of every elementwise kernel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace swift_native {

// Elements in a chunk: large enough to hide its cost, small enough that no thread waits long for the last one.
constexpr std::int64_t kChunk = 65536;

// Updates the elements [begin, end) of tensor `tensor`; must not throw.
using ChunkFunction = void (*)(const void* job, std::size_t tensor, std::int64_t begin, std::int64_t end);

// Where the chunks of each tensor begin. Memory is kept between steps and grows only when a list is longer than any
// before.
class ChunkMap {
public:
    // Forgets the tensors of the last step and makes room for `num_tensors`.
    void reset(std::size_t num_tensors);

    // Adds the next tensor; num_elements >= 0.
    void add(std::int64_t num_elements);

    std::int64_t num_chunks() const { return first_chunk_.back(); }
    std::int64_t num_elements() const { return total_; }

    // Calls `function` for the elements of chunk `chunk`, 0 <= chunk < num_chunks().
    void apply(std::int64_t chunk, ChunkFunction function, const void* job) const;

private:
    std::vector<std::int64_t> first_chunk_{0};
    std::vector<std::int64_t> num_elements_;
    std::int64_t total_ = 0;
};

// Calls `function` once for every chunk, from at most `num_threads` threads, each in the caller's floating-point mode.
// Chunks do not depend on the number of threads. Little work stays on the calling thread.
void for_each_chunk(const ChunkMap& chunks, int num_threads, ChunkFunction function, const void* job);

// Calls `function(job, task)` once for every task in [0, num_tasks), in the same manner; `function` must not throw.
void for_each_task(std::int64_t num_tasks, int num_threads, void (*function)(const void* job, std::int64_t task),
                   const void* job);

}  // namespace swift_native
