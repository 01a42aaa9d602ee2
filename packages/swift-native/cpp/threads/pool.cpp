#include "pool.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>

#if !defined(_WIN32)
#include <pthread.h>
#endif

namespace swift_native {
namespace {

class Pool {
public:
    void run(int num_threads, void (*task)(void*), void* context) {
        const std::lock_guard<std::mutex> one_caller(callers_);
        const int helpers = start_helpers(num_threads - 1);
        {
            const std::lock_guard<std::mutex> lock(mutex_);
            task_ = task;
            context_ = context;
            open_places_ = helpers;
        }
        for (int i = 0; i < helpers; ++i) wake_.notify_one();
        task(context);
        // Helpers that have not woken by now are not waited for: there is nothing left to take.
        std::unique_lock<std::mutex> lock(mutex_);
        open_places_ = 0;
        done_.wait(lock, [this] { return num_working_ == 0; });
    }

    int num_threads() const { return num_threads_.load(); }

private:
    // Starts threads until there are `wanted`; returns how many of them can help, fewer if the system gives no more.
    int start_helpers(int wanted) {
        while (num_threads_ < wanted) {
            try {
                std::thread(&Pool::work, this).detach();
            } catch (const std::system_error&) {
                break;
            }
            ++num_threads_;
        }
        return wanted < num_threads_ ? wanted : num_threads_.load();
    }

    [[noreturn]] void work() {
        std::unique_lock<std::mutex> lock(mutex_);
        for (;;) {
            wake_.wait(lock, [this] { return open_places_ > 0; });
            --open_places_;
            ++num_working_;
            lock.unlock();
            task_(context_);
            lock.lock();
            if (--num_working_ == 0) done_.notify_one();
        }
    }

    std::mutex callers_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::condition_variable done_;
    void (*task_)(void*) = nullptr;
    void* context_ = nullptr;
    int open_places_ = 0;
    int num_working_ = 0;
    std::atomic<int> num_threads_{0};
};

// The pool lives until the process ends: parked threads may outlive every static object, so nothing destroys it.
std::atomic<Pool*> current{nullptr};

#if !defined(_WIN32)
// A forked child has none of the threads, and the locks may be held by one of them: it starts over with a new pool.
void forget_pool() { current.store(nullptr); }
#endif

Pool& pool() {
    Pool* existing = current.load();
    if (existing != nullptr) return *existing;
#if !defined(_WIN32)
    static const int registered = pthread_atfork(nullptr, nullptr, forget_pool);
    static_cast<void>(registered);
#endif
    Pool* fresh = new Pool;
    if (current.compare_exchange_strong(existing, fresh)) return *fresh;
    delete fresh;
    return *existing;
}

}  // namespace

void run_parallel(int num_threads, void (*task)(void*), void* context) {
    if (num_threads <= 1) {
        task(context);
        return;
    }
    pool().run(num_threads, task, context);
}

int num_pool_threads() {
    const Pool* existing = current.load();
    return existing == nullptr ? 0 : existing->num_threads();
}

}  // namespace swift_native
