// The state of the one emulated device, and what its parts ask of each other.
//
// One grid runs at a time, under Machine::mutex, on the host thread that launched it (or that
// synchronises a deferred stream). None of these sources is compiled with a sanitizer: they read other
// threads' operands on purpose.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "fiber.h"
#include "random.h"
#include "simt/engine.h"
#include "simt/runtime_api.h"

namespace simt {

enum class Wait : std::uint8_t { kNothing, kCollective, kBarrier };

// A wgmma that nobody has waited for yet.
struct ProductUnderWay {
  Product product;
  bool first;  // of those under way that have its accumulators
  std::uint32_t rows_before[4] = {};
  std::vector<float> d_before = {};  // of the first, if it adds
};

// A CUDA thread.
struct Thread {
  Fiber fiber;
  unsigned id = 0;
  uint3 index{};
  bool done = true;
  bool abandoned = false;
  Wait wait = Wait::kNothing;
  Where where;        // of the wait
  unsigned mask = 0;  // collective
  const Collective* kind = nullptr;
  void* operand = nullptr;
  unsigned barrier = 0;
  unsigned atomics = 0;                 // since it last let others run
  std::vector<AsyncCopy> copies;        // cp.async under way
  std::vector<std::size_t> group_ends;  // committed groups: indices into copies
  std::vector<ProductUnderWay> products;
  std::vector<std::size_t> product_group_ends;
  bool products_fenced = false;
  bool async_proxy = false;
};

// The lanes that wait for each other in a collective: those that named the same mask.
struct Group {
  unsigned mask, arrived;
};

struct Warp {
  unsigned exists = 0, left = 0;  // lanes
  Group groups[32];
  unsigned group_count = 0;
  char sync_point[32][4] =
      {};  // addresses for Fiber::release and acquire, by lowest lane and round
  unsigned round[32] = {};
};

struct Barrier {
  unsigned arrived = 0, expected = 0;
  Where first;
  Vote vote = Vote::kNone;
  int votes = 0, result = 0;
  unsigned round = 0;
  char sync_point[2] = {};
};

Options read_options();  // defaults and environment

struct Machine {
  std::recursive_mutex mutex;
  Options options = read_options();
  Stats stats{};
  std::string failure;

  // The grid that runs.
  const Grid* grid = nullptr;
  const Call* call = nullptr;
  Fiber host;
  Thread* current = nullptr;  // null on the host
  std::vector<std::unique_ptr<Thread>> threads;
  unsigned thread_count = 0, left = 0;
  std::vector<Warp> warps;
  Barrier barriers[16];
  unsigned spins = 0;  // yields since a thread last made progress
  Random random;
  char block_start = 0, block_end = 0;  // addresses for Fiber::release and acquire
};
extern Machine machine;

inline bool same_place(Where a, Where b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

// scheduler.cpp: the ready threads, and whose turn it is.
void ready_clear();
void ready_add(unsigned thread);
Thread* ready_take();  // null if none is ready
void park();  // the current thread waits: goes on with another; returns when it is ready again
void stay_ready();  // lets others run
void progress();    // for the detection of endless spinning

// runtime_device.cpp: prints what the device does, where the options ask for it
void trace(const std::string& what);

// block.cpp: returns cudaErrorLaunchFailure if a thread failed.
cudaError_t run_grid(const Grid& grid, const Call& call);

// failure.cpp
void report(const std::string& text);  // prints and keeps it; the grid ends after the current block
[[noreturn]] void abandon_block();     // back to the host, for good
std::string describe_waits();          // who waits where, one line per place
std::string format(const char* text, ...) __attribute__((format(printf, 1, 2)));

// faults.cpp
void watch_faults();  // turns a bad access of a kernel into a failure
std::string describe_address(const void* p);
std::string describe_code(const void* pc);  // function and file:line, as far as they can be found

// shared_memory.cpp
cudaError_t shared_prepare(std::size_t dynamic_bytes);  // of a launch
void shared_start_block();
std::string shared_damage();  // writes outside a variable: a description, or ""
std::size_t shared_limit();   // per block, static and dynamic together
std::string describe_shared_address(const void* p);  // "" if it is none of ours

// device_memory.cpp
void memory_lock(bool locked);  // may the host touch device memory?
std::string memory_damage();
std::string describe_device_address(const void* p);

}  // namespace simt
