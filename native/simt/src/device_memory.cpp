// cudaMalloc and what it hands out. An allocation ends at a guard page (its start is 256-byte aligned, so
// up to 255 bytes of a compared pattern lie between), begins after a guard page and a pattern, and is
// filled with NaN. Freed ranges stay unmapped for a while, so that their use is caught. Outside of grids
// and copies the pages are not accessible at all: host code that touches them faults, as with a GPU.
// Under AddressSanitizer allocations come from its heap, which knows the exact end and who freed what.
#include "device_memory.h"

#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>

#include "machine.h"
#include "memory_pool.h"
#include "pattern.h"
#include "shadow.h"

namespace simt {

namespace {

constexpr std::size_t kAlign = 256;
constexpr unsigned char kPoison = 0xff;

struct Allocation {
  unsigned char* map = nullptr;
  std::size_t map_bytes = 0;
  unsigned char* data = nullptr;
  std::size_t size = 0;
  Space space = Space::kDevice;
  Where where;
  cudaMemPool_t pool = nullptr;
  std::size_t block = 0;  // bytes of the pool that it takes
  bool promised = false;  // to a stream, by cudaFreeAsync

  unsigned char* end() const { return data + size; }
};

struct Memory {
  std::map<const unsigned char*, Allocation> live;  // by data
  std::deque<Allocation> freed;
  std::size_t device_bytes = 0, pool_bytes = 0;  // pool_bytes: those of device_bytes from pools
  bool locked = true;
  int fail_in = 0;
};
Memory memory;

#if defined(SIMT_ASAN)

bool map_allocation(Allocation& a) {
  void* data = nullptr;
  if (posix_memalign(&data, kAlign, a.size) != 0) return false;
  a.data = static_cast<unsigned char*>(data);
  a.map = a.data;
  a.map_bytes = a.size;
  return true;
}
void unmap_allocation(const Allocation& a) {
  std::free(a.data);
}
void set_access(const Allocation&, bool) {}
std::string damage_of(const Allocation&) {
  return "";
}

#else

constexpr std::size_t kPage = 4096;
constexpr std::size_t kGuard = 1 << 20;  // address space on both sides; costs no memory
constexpr std::ptrdiff_t kPatternBytes = 256;
constexpr std::size_t kQuarantine = 1024;  // freed allocations

std::size_t round_up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

bool map_allocation(Allocation& a) {
  watch_faults();  // the host may touch it before any kernel runs
  a.map_bytes = round_up(round_up(a.size, kAlign) + kPatternBytes, kPage) + 2 * kGuard;
  void* map =
      mmap(nullptr, a.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return false;
  a.map = static_cast<unsigned char*>(map);
  mprotect(a.map + kGuard, a.map_bytes - 2 * kGuard, PROT_READ | PROT_WRITE);
  a.data = a.map + a.map_bytes - kGuard - round_up(a.size, kAlign);
  pattern_fill(a.data - kPatternBytes, a.data);
  pattern_fill(a.end(), a.map + a.map_bytes - kGuard);
  shadow::add(a.data, a.size, false);
  if (a.space == Space::kPinned) shadow::host_wrote(a.data, a.size);  // the host's writes go unseen
  return true;
}

// The addresses stay taken, without memory behind them, until they are the oldest in the quarantine.
void unmap_allocation(const Allocation& a) {
  shadow::remove(a.data);
  mmap(a.map, a.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1,
       0);
  memory.freed.push_back(a);
  if (memory.freed.size() <= kQuarantine) return;
  munmap(memory.freed.front().map, memory.freed.front().map_bytes);
  memory.freed.pop_front();
}

void set_access(const Allocation& a, bool allowed) {
  if (a.space != Space::kDevice) return;
  mprotect(a.map + kGuard, a.map_bytes - 2 * kGuard, allowed ? PROT_READ | PROT_WRITE : PROT_NONE);
}

std::string damage_of(const Allocation& a) {
  const std::ptrdiff_t before = pattern_damage(a.data - kPatternBytes, a.data);
  if (before >= 0)
    return format("%td bytes before %s", kPatternBytes - before,
                  describe_device_address(a.data).c_str());
  const std::ptrdiff_t after = pattern_damage(a.end(), a.map + a.map_bytes - kGuard);
  if (after >= 0) return describe_device_address(a.end() + after);
  return "";
}

#endif

// The live allocation that holds p, or whose guards do.
const Allocation* find(const void* p) {
  const unsigned char* byte = static_cast<const unsigned char*>(p);
  auto after = memory.live.upper_bound(byte);
  if (after != memory.live.end() && byte >= after->second.map) return &after->second;
  if (after == memory.live.begin()) return nullptr;
  const Allocation& a = std::prev(after)->second;
  return byte < a.map + a.map_bytes || byte == a.end() ? &a : nullptr;
}

std::string describe(const Allocation& a, const unsigned char* p, const char* state) {
  const std::string what = format("%s%s of %zu bytes (allocated at %s:%d)", state,
                                  a.pool != nullptr           ? "pool memory"
                                  : a.space == Space::kDevice ? "cudaMalloc"
                                                              : "pinned host memory",
                                  a.size, a.where.file, a.where.line);
  if (p < a.data) return format("%td bytes before ", a.data - p) + what;
  if (p >= a.end()) return format("%td bytes after the end of ", p - a.end()) + what;
  return format("byte %td of ", p - a.data) + what;
}

bool guards_host() {
  return machine.options.host_guard && !shadow::kAsan;
}

}  // namespace

cudaError_t allocate_memory(void** p, std::size_t bytes, Space space, cudaMemPool_t pool,
                            Where where) {
  *p = nullptr;
  if (memory.fail_in > 0 && --memory.fail_in == 0) return cudaErrorMemoryAllocation;
  if (bytes == 0) return cudaSuccess;
  Allocation a;
  a.size = bytes;
  a.space = space;
  a.where = where;
  a.pool = pool;
  if (pool != nullptr) {
    a.block = pool_take(pool, bytes, device_bytes_free());
    if (a.block == 0) return cudaErrorMemoryAllocation;
  } else if (space == Space::kDevice && bytes > device_bytes_free()) {
    return cudaErrorMemoryAllocation;
  }
  if (!map_allocation(a)) {
    if (pool != nullptr) pool_give(pool, a.block);
    return cudaErrorMemoryAllocation;
  }
  std::memset(a.data, kPoison, bytes);
  if (guards_host() && memory.locked) set_access(a, false);
  if (space == Space::kDevice) memory.device_bytes += bytes;
  if (pool != nullptr) memory.pool_bytes += bytes;
  memory.live[a.data] = a;
  *p = a.data;
  return cudaSuccess;
}

cudaError_t free_memory(void* p, Space space) {
  if (p == nullptr) return cudaSuccess;
  const auto found = memory.live.find(static_cast<unsigned char*>(p));
  if (found == memory.live.end() || found->second.space != space) return cudaErrorInvalidValue;
  if (space == Space::kDevice) memory.device_bytes -= found->second.size;
  const Allocation a = found->second;
  unmap_allocation(a);
  memory.live.erase(found);
  if (a.pool == nullptr) return cudaSuccess;
  memory.pool_bytes -= a.size;
  pool_give(a.pool, a.block);
  return cudaSuccess;
}

cudaError_t promise_free(void* p) {
  const auto found = memory.live.find(static_cast<unsigned char*>(p));
  if (found == memory.live.end() || found->second.pool == nullptr || found->second.promised)
    return cudaErrorInvalidValue;
  found->second.promised = true;
  return cudaSuccess;
}

void free_all_memory() {
  while (!memory.live.empty()) {
    const Allocation a = memory.live.begin()->second;
    free_memory(a.data, a.space);
  }
  pools_trim(0);
}

MemoryKind memory_kind(const void* p, std::size_t bytes) {
  const Allocation* a = find(p);
  if (a == nullptr) return MemoryKind::kPageable;
  const unsigned char* byte = static_cast<const unsigned char*>(p);
  if (byte < a->data || byte > a->end() || bytes > static_cast<std::size_t>(a->end() - byte))
    return MemoryKind::kOutside;
  return a->space == Space::kDevice ? MemoryKind::kDevice : MemoryKind::kPinned;
}

HostAccess::HostAccess(const void* p) {
  if (!guards_host() || !memory.locked) return;
  const Allocation* a = find(p);
  if (a == nullptr || a->space != Space::kDevice) return;
  set_access(*a, true);
  opened_ = a->data;
}

HostAccess::~HostAccess() {
  if (opened_ != nullptr)
    set_access(memory.live.at(static_cast<const unsigned char*>(opened_)), false);
}

void memory_lock(bool locked) {
  memory.locked = locked;
  if (!guards_host()) return;
  for (const auto& entry : memory.live) set_access(entry.second, !locked);
}

std::string memory_damage() {
  for (const auto& entry : memory.live) {
    const std::string damage = damage_of(entry.second);
    if (!damage.empty()) return damage;
  }
  return "";
}

std::string describe_device_address(const void* p) {
  const unsigned char* byte = static_cast<const unsigned char*>(p);
  if (const Allocation* a = find(p)) return describe(*a, byte, "");
  for (const Allocation& a : memory.freed)
    if (byte >= a.map && byte < a.map + a.map_bytes) return describe(a, byte, "freed ");
  return "";
}

std::size_t device_bytes_free() {
  const std::size_t taken = memory.device_bytes - memory.pool_bytes + pools_reserved();
  return machine.options.memory_bytes > taken ? machine.options.memory_bytes - taken : 0;
}

std::size_t live_bytes() {
  const std::lock_guard<std::recursive_mutex> lock(machine.mutex);
  return memory.device_bytes;
}

std::size_t live_allocations() {
  const std::lock_guard<std::recursive_mutex> lock(machine.mutex);
  std::size_t count = 0;
  for (const auto& entry : memory.live) count += entry.second.space == Space::kDevice ? 1 : 0;
  return count;
}

std::string describe_allocations() {
  const std::lock_guard<std::recursive_mutex> lock(machine.mutex);
  std::string text;
  for (const auto& entry : memory.live)
    text += describe(entry.second, entry.second.data, "") + "\n";
  return text;
}

void fail_allocation(int n) {
  const std::lock_guard<std::recursive_mutex> lock(machine.mutex);
  memory.fail_in = n;
}

}  // namespace simt
