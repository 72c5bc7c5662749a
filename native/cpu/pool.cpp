#include "pool.h"

#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "cgroup.h"
#include "error.h"
#include "float_mode.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tt::cpu {
namespace {

// What waking a thread costs in a virtual machine. The calls of a training step follow each other within less.
constexpr std::chrono::microseconds kSpinTime{100};
// Where there are more threads than processors, and a thread that spins may keep another from its work.
constexpr std::chrono::microseconds kCrowdedSpinTime{10};
// How often the workers may be moved, for each of them: a move takes some 4 us, and a caller may hop about.
constexpr std::chrono::microseconds kSteerInterval{100};
constexpr uint64_t kClosed = 0xFFFFFFFFu;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#else
  std::this_thread::yield();
#endif
}

/// Whether done() became true before the time was over.
template <class F>
bool spin_until(std::chrono::microseconds time, F&& done) {
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause_briefly();
    }
  } while (std::chrono::steady_clock::now() < end);
  return false;
}

// Counts forks, so that a pool knows that its threads stayed behind in the parent.
std::atomic<uint32_t> fork_count{0};

void watch_forks() {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { fork_count.fetch_add(1); }); });
}

}  // namespace

// A run is published by storing its ticket: generation << 32 | next block. Between runs the ticket
// is closed. A worker claims a block by compare-and-swap on the whole ticket, so one that was
// asleep during a run can never take a block of the next run by mistake, and nobody waits for it.
struct Pool::State {
  std::atomic<uint64_t> ticket{kClosed};
  std::atomic<uint64_t> blocks{0};
  std::atomic<uint64_t> done{0};
  std::atomic<uint64_t> failed_block{kClosed};  // lowest block that threw

  Function function = nullptr;  // these two are stable while a block is unfinished
  void* body = nullptr;

  std::mutex mutex;  // guards error, and pairs sleepers with wakers
  std::condition_variable work_ready;
  std::condition_variable work_done;
  std::exception_ptr error;
  std::atomic<int> sleepers{0};
  bool stopping = false;

  uint32_t generation = 0;
  uint32_t forks_seen = 0;
  std::vector<std::thread> threads;
  cpu_set_t allowed;     // processors of the thread that made the pool
  cpu_set_t given;       // the workers' processors: the allowed ones but avoided_cpu
  int avoided_cpu = -1;  // none at first
  bool steering = true;
  std::chrono::steady_clock::time_point next_steering{};
  std::chrono::microseconds spin_time = kSpinTime;

  static bool is_open(uint64_t t) { return (t & kClosed) != kClosed; }
  bool has_work(uint64_t t) const {
    return is_open(t) && (t & kClosed) < blocks.load(std::memory_order_relaxed);
  }

  bool was_restricted();
  void avoid_own_cpu();
  void work(int worker);
  void fail(uint64_t block);
  void serve(int worker);
};

void Pool::State::fail(uint64_t block) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (block < failed_block.load(std::memory_order_relaxed)) {
    failed_block.store(block, std::memory_order_relaxed);
    error = std::current_exception();
  }
}

/// Whether someone else has set the workers' processors since (taskset -a -p, a cpuset that shrank). Where all that is
/// left is what the workers have anyway, only the caller's own tell: one who pins itself to just these is taken for it.
bool Pool::State::was_restricted() {
  cpu_set_t set;
  if (avoided_cpu >= 0 && sched_getaffinity(0, sizeof set, &set) == 0 && CPU_EQUAL(&set, &given))
    return true;
  return std::any_of(threads.begin(), threads.end(), [&](std::thread& thread) {
    return pthread_getaffinity_np(thread.native_handle(), sizeof set, &set) != 0 ||
           !CPU_EQUAL(&set, &given);
  });
}

/// Keeps the workers off the caller's processor. A sleeping thread often wakes on the processor of the one
/// that wakes it, and stays behind it for milliseconds, longer than most runs, while another is idle.
void Pool::State::avoid_own_cpu() {
  if (!steering) return;
  const int cpu = sched_getcpu();
  if (cpu < 0 || cpu == avoided_cpu || !CPU_ISSET(cpu, &allowed) || CPU_COUNT(&allowed) < 2) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_steering) return;
  next_steering = now + kSteerInterval * threads.size();
  steering = !was_restricted();
  if (!steering) return;  // theirs is the last word
  avoided_cpu = cpu;
  given = allowed;
  CPU_CLR(cpu, &given);
  // A refusal leaves a worker as it was, and is found above next time.
  for (std::thread& thread : threads)
    pthread_setaffinity_np(thread.native_handle(), sizeof given, &given);
}

// Claims and runs blocks until there is none.
void Pool::State::work(int worker) {
  uint64_t t = ticket.load(std::memory_order_acquire);
  while (has_work(t)) {
    const uint64_t all = blocks.load(std::memory_order_relaxed);
    if (!ticket.compare_exchange_weak(t, t + 1, std::memory_order_acq_rel)) continue;
    const uint64_t block = t & kClosed;
    // Blocks below the failed one were claimed before it and run to their end, so the lowest
    // exception is always the same one.
    if (block < failed_block.load(std::memory_order_relaxed)) {
      try {
        function(body, static_cast<int64_t>(block), worker);
      } catch (...) {
        fail(block);
      }
    }
    if (done.fetch_add(1, std::memory_order_acq_rel) + 1 == all && worker != 0) {
      const std::lock_guard<std::mutex> lock(mutex);
      work_done.notify_one();
    }
    t = ticket.load(std::memory_order_acquire);
  }
}

void Pool::State::serve(int worker) {
  const DefaultFloatMode mode;
  for (;;) {
    while (
        spin_until(spin_time, [&] { return has_work(ticket.load(std::memory_order_acquire)); })) {
      work(worker);
    }
    std::unique_lock<std::mutex> lock(mutex);
    // The run's publisher reads sleepers after the ticket's store; both are sequentially
    // consistent, so either it sees us or we see its ticket.
    sleepers.fetch_add(1);
    work_ready.wait(lock, [&] { return stopping || has_work(ticket.load()); });
    sleepers.fetch_sub(1);
    if (stopping) return;
  }
}

Pool::Pool(int threads) : threads_(threads) {
  watch_forks();
  start();
}

Pool::~Pool() {
  stop();
}

void Pool::start() {
  state_ = new State;
  state_->forks_seen = fork_count.load();
  if (threads_ > available_processors()) state_->spin_time = kCrowdedSpinTime;
  CPU_ZERO(&state_->allowed);
  sched_getaffinity(0, sizeof state_->allowed, &state_->allowed);
  state_->given = state_->allowed;
  try {
    state_->threads.reserve(static_cast<size_t>(threads_ - 1));
    for (int worker = 1; worker < threads_; ++worker) {
      State* state = state_;
      state_->threads.emplace_back([state, worker] { state->serve(worker); });
      // 15 characters are all that the system keeps.
      const std::string name = format("twintail-%d", worker);
      pthread_setname_np(state_->threads.back().native_handle(), name.substr(0, 15).c_str());
    }
  } catch (const std::system_error& e) {
    stop();
    unsupported(format("The system refused to start %d threads: %s.", threads_, e.what()));
  } catch (...) {
    stop();
    throw;
  }
}

void Pool::stop() {
  if (state_ == nullptr) return;
  if (state_->forks_seen != fork_count.load()) {
    // The threads stayed in the parent, and the locks may be in any state: forget all of it.
    state_ = nullptr;
    return;
  }
  {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->stopping = true;
  }
  state_->work_ready.notify_all();
  for (std::thread& thread : state_->threads) thread.join();
  delete state_;
  state_ = nullptr;
}

void Pool::run_blocks(int64_t blocks, Function function, void* body) {
  if (blocks <= 0) return;
  if (threads_ == 1 || blocks == 1) {
    for (int64_t block = 0; block < blocks; ++block) function(body, block, 0);
    return;
  }
  if (blocks >= static_cast<int64_t>(kClosed)) internal_error("too many blocks of work");
  if (state_ == nullptr || state_->forks_seen != fork_count.load()) {
    state_ = nullptr;
    start();
  }
  State& s = *state_;
  s.function = function;
  s.body = body;
  s.error = nullptr;
  s.failed_block.store(kClosed, std::memory_order_relaxed);
  s.done.store(0, std::memory_order_relaxed);
  s.blocks.store(static_cast<uint64_t>(blocks), std::memory_order_relaxed);
  s.avoid_own_cpu();
  s.ticket.store(static_cast<uint64_t>(++s.generation) << 32);
  if (s.sleepers.load() > 0) {
    { const std::lock_guard<std::mutex> lock(s.mutex); }
    s.work_ready.notify_all();
  }

  s.work(0);
  const auto finished = [&] {
    return s.done.load(std::memory_order_acquire) == static_cast<uint64_t>(blocks);
  };
  if (!spin_until(s.spin_time, finished)) {
    std::unique_lock<std::mutex> lock(s.mutex);
    s.work_done.wait(lock, finished);
  }
  s.ticket.store(static_cast<uint64_t>(s.generation) << 32 | kClosed);
  if (s.failed_block.load() != kClosed) {
    const std::exception_ptr error = s.error;
    s.error = nullptr;
    std::rethrow_exception(error);
  }
}

int Pool::available_processors() {
  int count = 0;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) count = CPU_COUNT(&set);
  if (count <= 0) count = static_cast<int>(std::thread::hardware_concurrency());
  const int quota = cgroup_processors();
  if (quota > 0) count = std::min(count, quota);
  return std::max(count, 1);
}

}  // namespace tt::cpu
