// Happens-before inside one block: which accesses of other threads a thread may rely on.
//
// Every thread has a clock that advances when it releases what it did (at a barrier, a __syncwarp). A
// thread has seen thread t up to clock c if a chain of synchronisations leads from there to here. Full
// barriers level everything (the floor); between them, what was learnt is kept per thread: about the own
// warp, or, in blocks that use named barriers, about all threads.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

namespace simt {

class Ordering {
 public:
  void start(unsigned threads);
  std::uint32_t clock(unsigned thread) const { return clock_[thread]; }
  bool seen(unsigned by, unsigned thread, std::uint32_t clock) const {
    return clock <= floor_[thread] || clock <= learnt(by, thread);
  }
  // What the thread does from now on has another clock than what it did before, which is returned.
  std::uint32_t advance(unsigned thread) { return clock_[thread]++; }
  void sync_all();
  void sync_warp(unsigned warp, unsigned mask);
  void arrive(unsigned barrier, unsigned thread);
  void leave(unsigned barrier, const std::vector<unsigned>& threads);
  // A place in memory through which threads learn of each other, one at a time.
  void release(const void* point, unsigned thread);
  void acquire(const void* point, unsigned thread);

 private:
  unsigned width() const { return wide_ ? threads_ : 32; }
  unsigned base(unsigned thread) const { return wide_ ? 0 : thread & ~31u; }
  std::uint32_t learnt(unsigned by, unsigned thread) const {
    const unsigned slot = thread - base(by);
    return epoch_of_[by] == epoch_ && slot < width() ? learnt_[by * width() + slot] : 0;
  }
  std::uint32_t* row(unsigned thread);  // cleared if it is from before the last full barrier
  void widen();

  unsigned threads_ = 0;
  bool wide_ = false;
  std::uint32_t epoch_ = 0;
  std::vector<std::uint32_t> clock_, floor_, epoch_of_, learnt_;
  std::vector<std::uint32_t> collected_[16];                  // of those that have arrived
  std::map<const void*, std::vector<std::uint32_t>> points_;  // of all that have released
};

}  // namespace simt
