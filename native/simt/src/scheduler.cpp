// Whose turn it is. All schedules are legal for independent thread scheduling (Volta and later); they
// differ in which mistakes they bring to light, so tests run several seeds.
#include <algorithm>

#include "machine.h"

namespace simt {

namespace {

enum class Policy { kInStep, kLastFirst, kFirstFirst, kRandom, kRandomWarps };

Policy policy() {
  const std::uint64_t seed = machine.options.seed;
  if (seed < 3)
    return seed == 0 ? Policy::kInStep : seed == 1 ? Policy::kLastFirst : Policy::kFirstFirst;
  return seed % 2 == 1 ? Policy::kRandom : Policy::kRandomWarps;
}

constexpr unsigned kRing = 1024;  // as many as a block can have threads

constexpr std::uint32_t kPatient =
    1u << 31;  // threads that yielded have priorities below, others above

struct Ready {
  unsigned ring[kRing];  // kInStep, kRandom
  unsigned head = 0, count = 0;
  std::vector<std::uint64_t> heap;  // the others: priority << 32 | thread, largest first
  std::uint32_t warp_priority[kRing / 32];
  std::uint32_t last_turn = kPatient;  // falls with every yield
  Policy policy = Policy::kInStep;
};
Ready ready;

std::uint32_t priority(unsigned thread) {
  switch (ready.policy) {
    case Policy::kLastFirst:
      return kPatient + thread;
    case Policy::kFirstFirst:
      return kPatient + kRing - thread;
    default: {  // a random warp first, in it a random lane
      // Now and then the favourite changes, so that a warp can also be overtaken on its way.
      if (machine.random.below(64) == 0)
        ready.warp_priority[thread / 32] = static_cast<std::uint32_t>(machine.random.next() >> 40);
      return kPatient + (ready.warp_priority[thread / 32] << 5) + machine.random.below(32);
    }
  }
}

bool uses_ring() {
  return ready.policy == Policy::kInStep || ready.policy == Policy::kRandom;
}

}  // namespace

void ready_clear() {
  ready.policy = policy();
  ready.head = ready.count = 0;
  ready.heap.clear();
  ready.heap.reserve(kRing);  // here: a thread that let it grow would seem to free another's memory
  ready.last_turn = kPatient;
  for (std::uint32_t& p : ready.warp_priority)
    p = static_cast<std::uint32_t>(machine.random.next() >> 40);
}

void ready_add(unsigned thread) {
  if (uses_ring()) {
    ready.ring[(ready.head + ready.count++) % kRing] = thread;
  } else {
    ready.heap.push_back(static_cast<std::uint64_t>(priority(thread)) << 32 | thread);
    std::push_heap(ready.heap.begin(), ready.heap.end());
  }
}

Thread* ready_take() {
  unsigned thread;
  if (uses_ring()) {
    if (ready.count == 0) return nullptr;
    if (ready.policy == Policy::kRandom)
      std::swap(ready.ring[ready.head],
                ready.ring[(ready.head + machine.random.below(ready.count)) % kRing]);
    thread = ready.ring[ready.head];
    ready.head = (ready.head + 1) % kRing;
    ready.count--;
  } else {
    if (ready.heap.empty()) return nullptr;
    std::pop_heap(ready.heap.begin(), ready.heap.end());
    thread = static_cast<unsigned>(ready.heap.back());
    ready.heap.pop_back();
  }
  return machine.threads[thread].get();
}

void park() {
  Thread* next = ready_take();
  if (next == nullptr) fail("deadlock: no thread can go on");
  Thread* self = machine.current;
  if (next == self) return;
  machine.stats.switches++;
  machine.current = next;
  threadIdx = next->index;
  Fiber::switch_to(self->fiber, next->fiber, false);
}

void stay_ready() {
  ready_add(machine.current->id);
  park();
}

void progress() {
  machine.spins = 0;
}

void yield(Where where) {
  constexpr unsigned kEndless = 1000000;
  if (++machine.spins > kEndless)
    fail(
        "%s:%d endless spinning: what this thread waits for does not come. (Blocks run one after "
        "another "
        "here, so a block cannot wait for another.)",
        where.file, where.line);
  machine.current->atomics = 0;
  if (uses_ring()) {
    ready_add(machine.current->id);
  } else {  // behind all others, or a thread of high priority that spins would be chosen again and again
    ready.heap.push_back(std::uint64_t{--ready.last_turn} << 32 | machine.current->id);
    std::push_heap(ready.heap.begin(), ready.heap.end());
  }
  park();
}

void atomic_step(Where where) {
  constexpr unsigned kTurn = 1000;
  if (machine.current != nullptr && ++machine.current->atomics >= kTurn) yield(where);
}

}  // namespace simt
