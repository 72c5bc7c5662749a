// Barriers in shared memory that count arrivals and bytes: mbarrier (PTX ISA 8.4, 9.7.12.15). The word in shared memory
// holds the whole state: | pending bytes, signed: 31 | phase: 1 | expected arrivals: 16 | pending arrivals: 16 |
#include "machine.h"
#include "shadow.h"

namespace simt {
namespace {

struct State {
  std::uint64_t pending, expected, phase;
  std::int64_t bytes;
};

State load(const std::uint64_t* barrier) {
  const std::uint64_t word = *barrier;
  return State{word & 0xFFFF, word >> 16 & 0xFFFF, word >> 32 & 1,
               static_cast<std::int64_t>(word) >> 33};
}

void store(std::uint64_t* barrier, const State& s) {
  *barrier =
      s.pending | s.expected << 16 | s.phase << 32 | static_cast<std::uint64_t>(s.bytes) << 33;
}

void check(const std::uint64_t* barrier, Where where) {
  if (!is_shared(barrier, sizeof *barrier) || reinterpret_cast<std::uintptr_t>(barrier) % 8 != 0)
    fail("%s:%d mbarrier at %p: not 8 aligned bytes of shared memory", where.file, where.line,
         static_cast<const void*>(barrier));
}

}  // namespace

void mbarrier_init(std::uint64_t* barrier, unsigned arrivals, Where where) {
  check(barrier, where);
  store(barrier, State{arrivals, arrivals, 0, 0});
}

// Arrivals release what the thread did before them.
void mbarrier_change(std::uint64_t* barrier, unsigned arrivals, std::int64_t bytes, Where where) {
  check(barrier, where);
  Fiber::release(barrier);
  shadow::released(barrier);
  State s = load(barrier);
  if (s.pending < arrivals)
    fail("%s:%d mbarrier: more arrivals than the %u that it was initialised with", where.file,
         where.line, static_cast<unsigned>(s.expected));
  s.pending -= arrivals;
  s.bytes += bytes;
  if (s.bytes >= 1 << 20 || s.bytes <= -(1 << 20))  // PTX ISA 8.4, 9.7.12.15.2: tx-count
    fail("%s:%d mbarrier: %lld bytes are more than one can count", where.file, where.line,
         static_cast<long long>(s.bytes));
  if (s.pending == 0 && s.bytes == 0) {
    s.pending = s.expected;
    s.phase ^= 1;
    progress();
  }
  store(barrier, s);
}

void mbarrier_wait(std::uint64_t* barrier, unsigned parity, Where where) {
  check(barrier, where);
  while (load(barrier).phase == (parity & 1)) yield(where);
  Fiber::acquire(barrier);
  shadow::acquired(barrier);
}

}  // namespace simt
