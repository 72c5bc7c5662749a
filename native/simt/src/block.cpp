// Running a grid: blocks one after another, each with its threads, barriers and shared memory.
#include "machine.h"
#include "shadow.h"

#include <algorithm>

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {

Machine machine;
std::uint64_t shared_epoch = 0;

namespace {

// Named barriers may be left to a part of the block.
bool everybody(const Barrier& barrier) {
  return &barrier == &machine.barriers[0];
}

void release_barrier(unsigned id) {
  Barrier& barrier = machine.barriers[id];
  barrier.result = barrier.vote == Vote::kAnd  ? barrier.votes == static_cast<int>(barrier.expected)
                   : barrier.vote == Vote::kOr ? barrier.votes != 0
                                               : barrier.votes;
  if (everybody(barrier)) {
    shadow::all_synced();
  } else {
    shadow::barrier_synced(id);
  }
  barrier.arrived = 0;
  barrier.round++;
  machine.stats.barriers++;
  progress();
  for (unsigned i = 0; i < machine.thread_count; i++) {
    Thread& thread = *machine.threads[i];
    if (thread.wait != Wait::kBarrier || thread.barrier != id) continue;
    thread.wait = Wait::kNothing;
    ready_add(i);
  }
}

// Counts the current thread in; it waits unless it only arrives.
int arrive(unsigned id, unsigned expected, int predicate, Vote vote, bool waits, Where where) {
  Barrier& barrier = machine.barriers[id];
  Thread& self = *machine.current;
  if (barrier.arrived == 0) {
    barrier.expected = expected;
    barrier.first = where;
    barrier.vote = vote;
    barrier.votes = 0;
  } else if (barrier.expected != expected) {
    fail("%s:%d barrier %u for %u threads, others wait at %s:%d for %u", where.file, where.line, id,
         expected, barrier.first.file, barrier.first.line, barrier.expected);
  } else if (id == 0 && (!same_place(barrier.first, where) || barrier.vote != vote)) {
    fail("divergent __syncthreads: this thread is at %s:%d, others wait at %s:%d", where.file,
         where.line, barrier.first.file, barrier.first.line);
  }
  char* point = &barrier.sync_point[barrier.round % 2];
  Fiber::release(point);
  if (!everybody(barrier)) shadow::barrier_arrived(id);
  barrier.votes += predicate != 0 ? 1 : 0;
  self.where = where;
  self.barrier = id;
  if (waits) self.wait = Wait::kBarrier;
  if (++barrier.arrived == barrier.expected) release_barrier(id);
  if (!waits) return 0;
  park();
  Fiber::acquire(point);
  return barrier.result;
}

void check_named(unsigned id, unsigned threads, Where where) {
  if (id < 1 || id > 15)
    fail("%s:%d barrier %u, expected 1 to 15 (0 is __syncthreads)", where.file, where.line, id);
  if (threads == 0 || threads % 32 != 0 || threads > (machine.thread_count + 31) / 32 * 32)
    fail("%s:%d barrier %u for %u threads, expected a multiple of 32 up to the block's %u",
         where.file, where.line, id, threads, machine.thread_count);
}

// A thread that leaves can no longer come to where others wait for it.
void check_leaving(const Thread& self) {
  if (!self.copies.empty())
    fail("leaves the kernel with %zu cp.async under way (wait for all groups first)",
         self.copies.size());
  if (!self.products.empty())
    fail("leaves the kernel with %zu wgmma under way (wait for all groups first)",
         self.products.size());
  const Barrier& all = machine.barriers[0];
  if (all.arrived != 0)
    fail("leaves the kernel while %u threads wait for it in __syncthreads at %s:%d", all.arrived,
         all.first.file, all.first.line);
  const Warp& warp = machine.warps[self.id / 32];
  for (unsigned i = 0; i < warp.group_count; i++)
    if ((warp.groups[i].mask >> (self.id & 31u) & 1u) != 0) {
      const Thread& other =
          *machine.threads[(self.id & ~31u) +
                           static_cast<unsigned>(__builtin_ctz(warp.groups[i].arrived))];
      fail("leaves the kernel while lanes wait for it in %s at %s:%d", other.kind->name,
           other.where.file, other.where.line);
    }
}

void thread_entry() {
  Fiber::entered(machine.host);
  Fiber::acquire(&machine.block_start);
  machine.call->run(machine.call->arguments.get());
  Fiber::release(&machine.block_end);
  Thread& self = *machine.current;
  check_leaving(self);
  self.done = true;
  machine.warps[self.id / 32].left |= 1u << (self.id & 31u);
  machine.left++;
  progress();
  Thread* next = ready_take();
  if (next == nullptr && machine.left != machine.thread_count)
    fail("deadlock: no thread can go on");
  machine.current = next;
  if (next != nullptr) {
    machine.stats.switches++;
    threadIdx = next->index;
  }
  Fiber::switch_to(self.fiber, next != nullptr ? next->fiber : machine.host, true);
  __builtin_unreachable();
}

void prepare_threads() {
  const dim3 block = machine.grid->block;
  machine.left = 0;
  machine.warps.assign((machine.thread_count + 31) / 32, Warp());
  for (Barrier& barrier : machine.barriers) barrier = Barrier();
  machine.spins = 0;
  while (machine.threads.size() < machine.thread_count) {
    machine.threads.push_back(std::make_unique<Thread>());
    machine.threads.back()->id = static_cast<unsigned>(machine.threads.size() - 1);
    machine.threads.back()->fiber.create();
  }
  ready_clear();
  for (unsigned i = 0; i < machine.thread_count; i++) {
    Thread& thread = *machine.threads[i];
    thread.fiber.prepare(thread_entry, thread.abandoned);
    thread.index = uint3{i % block.x, i / block.x % block.y, i / block.x / block.y};
    thread.done = thread.abandoned = false;
    thread.wait = Wait::kNothing;
    thread.atomics = 0;
    thread.copies.clear();
    thread.group_ends.clear();
    thread.products.clear();
    thread.product_group_ends.clear();
    thread.products_fenced = false;
    thread.async_proxy = false;
    machine.warps[i / 32].exists |= 1u << (i & 31u);
    ready_add(i);
  }
}

void run_block(std::uint64_t number) {
  const dim3 grid = machine.grid->grid;
  blockIdx =
      uint3{static_cast<unsigned>(number % grid.x), static_cast<unsigned>(number / grid.x % grid.y),
            static_cast<unsigned>(number / grid.x / grid.y)};
  machine.random = Random(machine.options.seed * 0x9e3779b97f4a7c15u ^ number);
  shadow::block_starts();
  shared_start_block();
  prepare_threads();
  machine.stats.blocks++;
  machine.stats.threads += machine.thread_count;
  Thread* first = ready_take();
  machine.current = first;
  threadIdx = first->index;
  // Blocks share addresses, so the thread sanitizer must take them for ordered. (Races between blocks are
  // for the checker.)
  Fiber::release(&machine.block_start);
  Fiber::switch_to(machine.host, first->fiber, false);
  Fiber::acquire(&machine.block_end);
  if (!machine.failure.empty()) return;
  const std::string damage = shared_damage();
  if (!damage.empty()) report("block wrote outside its shared memory: " + damage);
}

std::vector<std::uint64_t> block_order(std::uint64_t blocks) {
  std::vector<std::uint64_t> order(blocks);
  for (std::uint64_t i = 0; i < blocks; i++) order[i] = i;
  const std::uint64_t seed = machine.options.seed;
  if (seed == 1) std::reverse(order.begin(), order.end());
  Random random(seed);
  for (std::uint64_t i = blocks; seed > 2 && i > 1; i--)
    std::swap(order[i - 1], order[random.below(static_cast<unsigned>(i))]);
  return order;
}

}  // namespace

int block_barrier(int predicate, Vote vote, Where where) {
  if (machine.left != 0)
    fail("__syncthreads at %s:%d: %u threads of the block have left the kernel", where.file,
         where.line, machine.left);
  return arrive(0, machine.thread_count, predicate, vote, true, where);
}

void named_barrier_sync(unsigned id, unsigned threads, Where where) {
  check_named(id, threads, where);
  arrive(id, threads, 0, Vote::kNone, true, where);
}

void named_barrier_arrive(unsigned id, unsigned threads, Where where) {
  check_named(id, threads, where);
  arrive(id, threads, 0, Vote::kNone, false, where);
}

void free_threads() {
  machine.threads.clear();
}

unsigned thread_rank() {
  return machine.current->id;
}

void thread_fence() {
  __atomic_thread_fence(__ATOMIC_SEQ_CST);
  shadow::fenced();
}

cudaError_t run_grid(const Grid& grid, const Call& call) {
  machine.grid = &grid;
  machine.call = &call;
  machine.thread_count = grid.block.x * grid.block.y * grid.block.z;
  machine.host.adopt_host_thread();
  machine.stats.launches++;
  gridDim = grid.grid;
  blockDim = grid.block;
  watch_faults();
  memory_lock(false);
  shadow::grid_starts(call.arguments.get(), call.bytes);
  for (std::uint64_t number :
       block_order(static_cast<std::uint64_t>(grid.grid.x) * grid.grid.y * grid.grid.z)) {
    run_block(number);
    if (!machine.failure.empty()) break;
  }
  if (machine.failure.empty()) {
    const std::string damage = memory_damage();
    if (!damage.empty()) report("grid wrote outside device memory: " + damage);
  }
  memory_lock(true);
  machine.grid = nullptr;
  machine.call = nullptr;
  return machine.failure.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

}  // namespace simt
