// The checker: sees every access of a kernel and stops it at the first one that is out of bounds,
// misaligned, to memory that a GPU cannot reach, of bytes that nobody wrote, of bytes that a cp.async
// still writes, or in a race. It does not depend on the schedule: an access races if no barrier,
// __syncwarp or fence-and-atomic orders it after the earlier one, whichever way the fibers ran.
//
// Every 4 bytes of shared and device memory have a cell with the last two writes and reads, each with its
// thread, that thread's clock, and the bytes touched. Dropping older records can hide a race between
// threads that nothing else separates, never invent one.
#if defined(SIMT_CHECK)

#include "check.h"

#include <link.h>
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <unordered_map>
#include <unordered_set>

#include "machine.h"
#include "ordering.h"
#include "shadow.h"

namespace simt {

namespace {

using check::Access;

constexpr std::uint32_t kMaxBlocks = 1u << 22;
constexpr unsigned char kWritten = 1, kInFlight = 2;

// Who touched which of a cell's 4 bytes, when, and in which instruction.
struct Record {
  std::uint32_t block_thread = 0;  // block (from 1) << 10 | thread; 0: no record
  std::uint32_t clock_mask = 0;    // clock << 6 | async << 5 | atomic << 4 | bytes
  std::int32_t code = 0;           // relative to this module's code

  std::uint32_t block() const { return block_thread >> 10; }
  unsigned thread() const { return block_thread & 1023u; }
  std::uint32_t clock() const { return clock_mask >> 6; }
  bool async() const { return (clock_mask & 32u) != 0; }
  bool atomic() const { return (clock_mask & 16u) != 0; }
  unsigned bytes() const { return clock_mask & 15u; }
};
struct Cell {
  Record writes[2], reads[2];
};

struct Region {
  const unsigned char* base = nullptr;
  std::size_t bytes = 0;
  bool shared = false;
  unsigned char* state = nullptr;  // per byte; pages appear when touched
  Cell* cells = nullptr;           // per 4 bytes

  bool holds(const unsigned char* p, std::size_t n) const {
    return p >= base && p + n <= base + bytes;
  }
  std::size_t cell_bytes() const { return (bytes + 3) / 4 * sizeof(Cell); }
};

struct Segment {
  std::uintptr_t from = 0, to = 0;
};

struct Checker {
  std::vector<Region> regions;  // by base
  const Region* recent[2] = {};
  Ordering ordering;
  std::uint32_t block = 0,
                first_block = 1;  // numbers of all blocks that ever ran, and of this grid
  const unsigned char* arguments = nullptr;
  std::size_t argument_bytes = 0;
  std::vector<Segment> segments;  // code and variables of the program's modules
  Segment recent_segment;
  // Blocks that released what they did by a fence and an atomic on an address; those that the running
  // block has acquired that way.
  std::unordered_map<const void*, std::vector<std::uint32_t>> released;
  std::unordered_set<std::uint32_t> acquired;
  std::vector<bool> fenced;  // by thread: nothing written since its last fence
  std::vector<std::vector<std::uint32_t>> proxy_fences;  // by thread: its clocks at them, ascending
};
Checker checker;

void* map_zeros(std::size_t bytes) {
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) {
    std::perror("simt: no memory for the checker");
    std::abort();
  }
  return p;
}

std::vector<Region>::iterator after(const void* p) {
  return std::upper_bound(checker.regions.begin(), checker.regions.end(), p,
                          [](const void* q, const Region& r) { return q < r.base; });
}

const Region* find(const unsigned char* p, std::size_t n) {
  for (const Region* r : checker.recent)
    if (r != nullptr && r->holds(p, n)) return r;
  const auto next = after(p);
  if (next == checker.regions.begin() || !std::prev(next)->holds(p, n)) return nullptr;
  checker.recent[1] = checker.recent[0];
  return checker.recent[0] = &*std::prev(next);
}

// ---- what is not device memory -----------------------------------------------------------------

int add_segments(dl_phdr_info* info, std::size_t, void*) {
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    if (header.p_type == PT_LOAD)
      checker.segments.push_back(
          {info->dlpi_addr + header.p_vaddr, info->dlpi_addr + header.p_vaddr + header.p_memsz});
  }
  return 0;
}

bool in_module(std::uintptr_t p) {
  if (p >= checker.recent_segment.from && p < checker.recent_segment.to) return true;
  for (const Segment& s : checker.segments)
    if (p >= s.from && p < s.to) {
      checker.recent_segment = s;
      return true;
    }
  return false;
}

const char* verb(Access kind) {
  return kind == Access::kRead ? "reads" : kind == Access::kWrite ? "writes" : "does an atomic on";
}

void outside(const unsigned char* p, std::size_t n, Access kind, const void* code) {
  if (kind == Access::kRead && in_module(reinterpret_cast<std::uintptr_t>(p))) return;
  if (kind == Access::kRead && p >= checker.arguments &&
      p + n <= checker.arguments + checker.argument_bytes)
    return;
  const std::string where =
      in_module(reinterpret_cast<std::uintptr_t>(p))
          ? format("a variable of the host program (address %p)", static_cast<const void*>(p))
          : describe_address(p);
  fail("%s %zu bytes: %s\n  in %s", verb(kind), n, where.c_str(), describe_code(code).c_str());
}

// ---- races -------------------------------------------------------------------------------------

const char kCodeBase = 0;
std::int32_t pack_code(const void* code) {
  return static_cast<std::int32_t>(static_cast<const char*>(code) - &kCodeBase);
}

bool ordered_before(const Record& r, const Region& region) {
  if (r.block() == checker.block)
    return r.thread() == machine.current->id ||
           checker.ordering.seen(machine.current->id, r.thread(), r.clock());
  return region.shared || r.block() < checker.first_block || checker.acquired.count(r.block()) != 0;
}

[[noreturn]] void race(const Record& r, bool was_write, const Region& region,
                       const unsigned char* p, std::size_t n, Access kind, const void* code) {
  const std::string other = r.block() == checker.block
                                ? format("thread %u", r.thread())
                                : format("thread %u of another block", r.thread());
  fail("race: %s %s (%zu bytes) that %s %s, and nothing orders the two%s\n  here: %s\n  before: %s",
       verb(kind), describe_address(p).c_str(), n, other.c_str(),
       r.atomic()  ? "did an atomic on"
       : was_write ? "wrote"
                   : "read",
       region.shared ? " (no barrier or __syncwarp)" : "", describe_code(code).c_str(),
       describe_code(&kCodeBase + r.code).c_str());
}

// Whether the thread of an ordinary access has fenced it from the async proxy before it let the current one go on.
bool proxy_fenced_since(const Record& r) {
  const std::vector<std::uint32_t>& fences = checker.proxy_fences[r.thread()];
  const auto fence = std::lower_bound(fences.begin(), fences.end(), r.clock());
  return fence != fences.end() && (r.thread() == machine.current->id ||
                                   checker.ordering.seen(machine.current->id, r.thread(), *fence));
}

[[noreturn]] void unfenced(const Record& r, bool was_write, const unsigned char* p, std::size_t n,
                           Access kind, const void* code) {
  fail(
      "no fence.proxy.async: the async proxy %s %s (%zu bytes), which thread %u %s by ordinary "
      "instructions\n  here: %s\n  before: %s",
      verb(kind), describe_address(p).c_str(), n, r.thread(), was_write ? "wrote" : "read",
      describe_code(code).c_str(), describe_code(&kCodeBase + r.code).c_str());
}

// The slot for a new record: one of the same thread or one that the new access follows anyway.
Record& slot(Record (&records)[2], const Region& region, unsigned bytes) {
  for (Record& r : records)
    if (r.block_thread == 0 || (r.bytes() & ~bytes) == 0) {
      if (r.block_thread == 0 || ordered_before(r, region)) return r;
    }
  records[1] = records[0];
  return records[0];
}

void check_cell(Cell& cell, unsigned bytes, const Region& region, const unsigned char* p,
                std::size_t n, Access kind, const void* code) {
  const bool atomic = kind == Access::kAtomic;
  const Record now{checker.block << 10 | machine.current->id,
                   checker.ordering.clock(machine.current->id) << 6 |
                       (machine.current->async_proxy ? 32u : 0u) | (atomic ? 16u : 0u) | bytes,
                   pack_code(code)};
  Record(&mine)[2] = kind == Access::kRead ? cell.reads : cell.writes;
  if (mine[0].block_thread == now.block_thread && mine[0].clock_mask == now.clock_mask &&
      (kind == Access::kRead || (cell.reads[0].block_thread | cell.reads[1].block_thread) == 0))
    return;  // the same again, and nobody came between
  const auto collides = [&](const Record& r) {
    return r.block_thread != 0 && (r.bytes() & bytes) != 0 && !(atomic && r.atomic()) &&
           !ordered_before(r, region);
  };
  const auto crosses = [&](const Record& r) {
    return now.async() && !r.async() && (r.bytes() & bytes) != 0 && r.block() == checker.block &&
           !proxy_fenced_since(r);
  };
  for (const Record& r : cell.writes) {
    if (collides(r)) race(r, true, region, p, n, kind, code);
    if (crosses(r)) unfenced(r, true, p, n, kind, code);
  }
  if (kind != Access::kRead) {
    for (Record& r : cell.reads) {
      if (collides(r)) race(r, false, region, p, n, kind, code);
      if (crosses(r)) unfenced(r, false, p, n, kind, code);
      if ((r.bytes() & ~bytes) == 0) r = Record();
    }
  }
  slot(mine, region, bytes) = now;
}

std::string in_flight(const unsigned char* p) {
  for (unsigned i = 0; i < machine.thread_count; i++)
    for (const AsyncCopy& copy : machine.threads[i]->copies) {
      const unsigned char* to = static_cast<const unsigned char*>(copy.to);
      if (p >= to && p < to + copy.bytes) return format("thread %u", i);
    }
  return "a thread";
}

// The usual case, a word at a time.
bool all_written(const unsigned char* state, std::size_t n) {
  static_assert(kWritten == 1, "");
  if (n == 4) {
    std::uint32_t word;
    std::memcpy(&word, state, sizeof word);
    return word == 0x01010101u;
  }
  if (n % 8 != 0) return false;
  for (std::size_t i = 0; i < n; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, state + i, sizeof word);
    if (word != 0x0101010101010101u) return false;
  }
  return true;
}

void check_state(const Region& region, const unsigned char* p, std::size_t n, Access kind,
                 const void* code) {
  unsigned char* state = region.state + (p - region.base);
  if (all_written(state, n)) return;
  for (std::size_t i = 0; i < n; i++) {
    if ((state[i] & kInFlight) != 0)
      fail("%s %s while a cp.async of %s is under way there: a wait is missing\n  in %s",
           verb(kind), describe_address(p + i).c_str(), in_flight(p + i).c_str(),
           describe_code(code).c_str());
    if (kind == Access::kWrite) {
      state[i] = kWritten;
    } else if ((state[i] & kWritten) == 0 && machine.options.check_uninitialised) {
      fail("%s %s, which nobody has written\n  in %s", verb(kind), describe_address(p + i).c_str(),
           describe_code(code).c_str());
    }
  }
}

// Whether a kernel does it, to memory that other threads can see.
inline bool concerns(const void* p, const void* frame) {
  const Thread* current = machine.current;
  return current != nullptr && current->fiber.owns(frame) && !current->fiber.owns(p);
}

// Apart from its callers, which mostly have nothing to do and then should save no registers.
__attribute__((noinline)) void check_access(const unsigned char* p, std::size_t n, Access kind,
                                            const void* code) {
  const Region* region = find(p, n);
  if (region == nullptr) {
    outside(p, n, kind, code);
    return;
  }
  check_state(*region, p, n, kind, code);
  if (kind == Access::kWrite && !region->shared) checker.fenced[machine.current->id] = false;
  const std::size_t from = static_cast<std::size_t>(p - region->base), to = from + n;
  for (std::size_t cell = from / 4; cell * 4 < to; cell++) {
    unsigned bytes = 15;
    if (from > cell * 4) bytes &= 15u << (from - cell * 4);
    if (to < cell * 4 + 4) bytes &= 15u >> (cell * 4 + 4 - to);
    check_cell(region->cells[cell], bytes, *region, p, n, kind, code);
  }
}

[[noreturn]] __attribute__((noinline)) void misaligned(const void* p, std::size_t n, Access kind,
                                                       const void* code) {
  fail("misaligned: %s %zu bytes at %s\n  in %s", verb(kind), n, describe_address(p).c_str(),
       describe_code(code).c_str());
}

}  // namespace

void check::access(const void* p, std::size_t n, Access kind, const void* code) {
  if (concerns(p, __builtin_frame_address(0)))
    check_access(static_cast<const unsigned char*>(p), n, kind, code);
}

void check::aligned_access(const void* p, std::size_t n, Access kind, const void* code) {
  if (!concerns(p, __builtin_frame_address(0))) return;
  check_access(static_cast<const unsigned char*>(p), n, kind, code);
  if ((reinterpret_cast<std::uintptr_t>(p) & (n - 1)) != 0) misaligned(p, n, kind, code);
}

void check::handshake(const void* p) {
  if (!concerns(p, __builtin_frame_address(0))) return;
  std::vector<std::uint32_t>& blocks = checker.released[p];
  checker.acquired.insert(blocks.begin(), blocks.end());
  if (checker.fenced[machine.current->id] && (blocks.empty() || blocks.back() != checker.block))
    blocks.push_back(checker.block);
}

namespace shadow {

void add(const void* p, std::size_t bytes, bool shared) {
  if (bytes == 0) return;
  Region region;
  region.base = static_cast<const unsigned char*>(p);
  region.bytes = bytes;
  region.shared = shared;
  region.state = static_cast<unsigned char*>(map_zeros(bytes));
  region.cells = static_cast<Cell*>(map_zeros(region.cell_bytes()));
  checker.regions.insert(after(p), region);
  checker.recent[0] = checker.recent[1] = nullptr;
}

void remove(const void* p) {
  const auto next = after(p);
  if (next == checker.regions.begin() || std::prev(next)->base != p) return;
  const Region& region = *std::prev(next);
  munmap(region.state, region.bytes);
  munmap(region.cells, region.cell_bytes());
  checker.regions.erase(std::prev(next));
  checker.recent[0] = checker.recent[1] = nullptr;
}

void forget(const void* p) {
  if (const Region* region = find(static_cast<const unsigned char*>(p), 1))
    std::memset(region->state, 0, region->bytes);
}

void host_wrote(const void* p, std::size_t bytes) {
  const unsigned char* to = static_cast<const unsigned char*>(p);
  if (const Region* region = find(to, bytes))
    std::memset(region->state + (to - region->base), kWritten, bytes);
}

void host_copied(const void* p, const void* q, std::size_t bytes) {
  const unsigned char* to = static_cast<const unsigned char*>(p);
  const unsigned char* from = static_cast<const unsigned char*>(q);
  const Region* source = find(from, bytes);
  const Region* target = find(to, bytes);
  if (source == nullptr || target == nullptr) {
    host_wrote(p, bytes);
  } else {
    std::memmove(target->state + (to - target->base), source->state + (from - source->base), bytes);
  }
}

void grid_starts(const void* arguments, std::size_t bytes) {
  checker.arguments = static_cast<const unsigned char*>(arguments);
  checker.argument_bytes = bytes;
  const dim3 grid = machine.grid->grid;
  const std::uint64_t blocks = static_cast<std::uint64_t>(grid.x) * grid.y * grid.z;
  if (checker.block + blocks >= kMaxBlocks) {  // numbers start again, so old records must go
    for (const Region& region : checker.regions)
      madvise(region.cells, region.cell_bytes(), MADV_DONTNEED);
    checker.block = 0;
  }
  checker.first_block = checker.block + 1;
  checker.released.clear();
  checker.segments.clear();
  dl_iterate_phdr(add_segments, nullptr);
}

void block_starts() {
  checker.block++;
  checker.ordering.start(machine.thread_count);
  checker.acquired.clear();
  checker.fenced.assign(machine.thread_count, false);
  checker.proxy_fences.assign(machine.thread_count, {});
}

void all_synced() {
  checker.ordering.sync_all();
}
void warp_synced(unsigned warp, unsigned mask) {
  checker.ordering.sync_warp(warp, mask);
}
void released(const void* point) {
  checker.ordering.release(point, machine.current->id);
}
void acquired(const void* point) {
  checker.ordering.acquire(point, machine.current->id);
}
void barrier_arrived(unsigned barrier) {
  checker.ordering.arrive(barrier, machine.current->id);
}
void barrier_synced(unsigned barrier) {
  std::vector<unsigned> waiting;
  for (unsigned i = 0; i < machine.thread_count; i++) {
    const Thread& thread = *machine.threads[i];
    if (thread.wait == Wait::kBarrier && thread.barrier == barrier) waiting.push_back(i);
  }
  checker.ordering.leave(barrier, waiting);
}
void fenced() {
  if (machine.current != nullptr) checker.fenced[machine.current->id] = true;
}

void proxy_fenced() {
  const unsigned thread = machine.current->id;
  checker.proxy_fences[thread].push_back(checker.ordering.advance(thread));
}

void copy_started(const AsyncCopy& copy) {
  const unsigned char* to = static_cast<const unsigned char*>(copy.to);
  const std::size_t bytes = static_cast<std::size_t>(copy.bytes);
  if (const Region* region = find(to, bytes))
    std::memset(region->state + (to - region->base), kInFlight, bytes);
}
void copy_arrives(const AsyncCopy& copy) {
  host_wrote(copy.to, static_cast<std::size_t>(copy.bytes));
}

}  // namespace shadow

}  // namespace simt

#endif
