// Persistent worker threads of a context.
#ifndef TWINTAIL_CPU_POOL_H
#define TWINTAIL_CPU_POOL_H

#include <cstdint>
#include <memory>
#include <type_traits>

namespace tt::cpu {

/// Runs numbered blocks of work on the caller and threads() - 1 persistent threads. Idle threads
/// spin for a tenth of a millisecond at most and then sleep. Which thread runs which block is not defined, so
/// results may depend on the block's number alone, never on the worker's. The threads have the default mode of
/// floating-point arithmetic; the caller must see to it that it has (DefaultFloatMode).
///
/// After fork() the child's first run starts threads of its own.
class Pool {
 public:
  /// threads >= 1, including the caller. Throws tt::Error if the system refuses a thread.
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return threads_; }

  /// Calls f(int64_t block, int worker) for every block in [0, blocks), worker in [0, threads()),
  /// and returns when all are done. Blocks are claimed in ascending order. Allocates nothing. If f
  /// throws, the exception of the lowest block that threw is rethrown here, and later blocks may be
  /// left out. Not to be called from inside f.
  template <class F>
  void run(int64_t blocks, F&& f) {
    using Body = std::remove_reference_t<F>;
    run_blocks(
        blocks,
        [](void* body, int64_t block, int worker) { (*static_cast<Body*>(body))(block, worker); },
        const_cast<void*>(static_cast<const void*>(&f)));
  }

  /// The processors this process may use: its affinity mask, cut to the CPU quota of its cgroups.
  static int available_processors();

 private:
  using Function = void (*)(void* body, int64_t block, int worker);
  struct State;

  void run_blocks(int64_t blocks, Function function, void* body);
  void start();
  void stop();

  int threads_;
  State* state_ = nullptr;
};

}  // namespace tt::cpu
#endif
