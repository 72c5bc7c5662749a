// A stack that can be entered, left and entered again. Sanitizers are told of every switch.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

class Fiber {
 public:
  Fiber() = default;
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;
  ~Fiber();

  // Maps a stack with a guard page below it. Aborts with a message if there is no memory.
  void create();
  // The next switch to this fiber starts `entry`, which must call entered() first and never return.
  // `abandoned`: the fiber's last run did not come to its end, so nothing cleaned its stack.
  void prepare(void (*entry)(), bool abandoned);
  // Turns this object into the calling host thread, to come back to.
  void adopt_host_thread();

  // Goes on with `to`; returns when somebody switches back. `leaving`: nobody will.
  static void switch_to(Fiber& from, Fiber& to, bool leaving);
  // What a new fiber does first. `host`: the fiber that adopted the host thread.
  static void entered(Fiber& host);

  // In its stack. Asked at every access of a kernel.
  bool owns(const void* address) const {
    return reinterpret_cast<std::uintptr_t>(address) - reinterpret_cast<std::uintptr_t>(stack_) <
           size_;
  }
  bool overflowed_into(const void* address) const;  // in its guard page

  // Orders memory for the thread sanitizer: what came before release(x) is seen after acquire(x).
  static void release(void* x);
  static void acquire(void* x);

 private:
  void* stack_pointer_ = nullptr;
  char* stack_ = nullptr;  // lowest usable address
  std::size_t size_ = 0;
  bool mapped_ = false;
  void* fake_stack_ = nullptr;  // ASan
  void* tsan_ = nullptr;
};

}  // namespace simt
