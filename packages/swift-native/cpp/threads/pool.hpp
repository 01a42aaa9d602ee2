// A pool of parked threads: no spinning, no OpenMP beside torch's own, usable in the child of a fork.
#pragma once

namespace swift_native {

// Runs `task(context)` on the calling thread and on up to `num_threads - 1` others at the same time; returns when all
// that started have returned. The task takes its share of the work from a counter in the context, so that a thread that
// wakes late, or cannot be started at all, costs nothing but speed. `task` must not throw and must not call
// run_parallel. Calls from several threads are served one after the other. Precondition: num_threads >= 1.
void run_parallel(int num_threads, void (*task)(void* context), void* context);

// Threads that the pool has started in this process.
int num_pool_threads();

}  // namespace swift_native
