#include "chunks.hpp"

#include <algorithm>
#include <atomic>

#include "../threads/float_mode.hpp"
#include "../threads/pool.hpp"

namespace swift_native {
namespace {

// Elements of each thread that make it worth waking one more: some ten microseconds of work.
constexpr std::int64_t kWorthAThread = 16384;

struct Share {
    std::int64_t num_tasks;
    void (*function)(const void* job, std::int64_t task);
    const void* job;
    std::uint64_t mode;
    std::atomic<std::int64_t> next;
};

void take_tasks(void* context) {
    Share& share = *static_cast<Share*>(context);
    const std::uint64_t own_mode = float_mode();
    set_float_mode(share.mode);
    for (;;) {
        const std::int64_t task = share.next.fetch_add(1, std::memory_order_relaxed);
        if (task >= share.num_tasks) break;
        share.function(share.job, task);
    }
    set_float_mode(own_mode);
}

struct ChunkJob {
    const ChunkMap* chunks;
    ChunkFunction function;
    const void* job;
};

void take_chunk(const void* context, std::int64_t chunk) {
    const ChunkJob& job = *static_cast<const ChunkJob*>(context);
    job.chunks->apply(chunk, job.function, job.job);
}

}  // namespace

void ChunkMap::reset(std::size_t num_tensors) {
    first_chunk_.clear();
    num_elements_.clear();
    first_chunk_.reserve(num_tensors + 1);
    num_elements_.reserve(num_tensors);
    first_chunk_.push_back(0);
    total_ = 0;
}

void ChunkMap::add(std::int64_t num_elements) {
    first_chunk_.push_back(first_chunk_.back() + (num_elements + kChunk - 1) / kChunk);
    num_elements_.push_back(num_elements);
    total_ += num_elements;
}

void ChunkMap::apply(std::int64_t chunk, ChunkFunction function, const void* job) const {
    const auto after = std::upper_bound(first_chunk_.begin(), first_chunk_.end(), chunk);
    const std::size_t tensor = static_cast<std::size_t>(after - first_chunk_.begin()) - 1;
    const std::int64_t begin = (chunk - first_chunk_[tensor]) * kChunk;
    function(job, tensor, begin, std::min(begin + kChunk, num_elements_[tensor]));
}

void for_each_chunk(const ChunkMap& chunks, int num_threads, ChunkFunction function, const void* job) {
    const std::int64_t worth = chunks.num_elements() / kWorthAThread;
    const ChunkJob each{&chunks, function, job};
    for_each_task(chunks.num_chunks(), static_cast<int>(std::min<std::int64_t>(num_threads, worth)), take_chunk, &each);
}

void for_each_task(std::int64_t num_tasks, int num_threads, void (*function)(const void* job, std::int64_t task),
                   const void* job) {
    const std::int64_t useful = std::max<std::int64_t>(std::min<std::int64_t>(num_threads, num_tasks), 1);
    Share share{num_tasks, function, job, float_mode(), {0}};
    run_parallel(static_cast<int>(useful), take_tasks, &share);
}

}  // namespace swift_native
