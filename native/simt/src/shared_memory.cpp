// Shared memory of the block that runs. Every variable ends at a guard page (its start is 16-byte
// aligned, so up to 15 bytes lie between), is surrounded by a pattern that is compared when the block
// ends, and is filled with NaN when the block first names it.
#include <sys/mman.h>

#include <cstdio>
#include <cstdlib>

#include "machine.h"
#include "pattern.h"
#include "shadow.h"

namespace simt {

namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kGuard = 64 * 1024;  // inaccessible address space on both sides
constexpr std::size_t kAlign = 16;
constexpr std::size_t kStaticLimit = 48 * 1024;
constexpr unsigned char kPoison = 0xff;        // NaN as float, half and bfloat16, -1 as an integer
constexpr std::ptrdiff_t kPatternBytes = 256;  // in front; behind it is what alignment leaves

std::size_t round_up(std::size_t n, std::size_t unit) {
  return (n + unit - 1) / unit * unit;
}

struct Region {
  const char* name = nullptr;
  Where where;
  unsigned char* map = nullptr;  // guard, pattern, data, less than kAlign of pattern, guard
  std::size_t map_bytes = 0;
  unsigned char* data = nullptr;
  std::size_t size = 0;

  unsigned char* begin() const { return map + kGuard; }
  unsigned char* end() const { return map + map_bytes - kGuard; }
};

Region make_region(std::size_t size) {
  Region region;
  region.size = size;
  region.map_bytes = round_up(size + kPatternBytes + kAlign, kPage) + 2 * kGuard;
  void* map =
      mmap(nullptr, region.map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (map == MAP_FAILED) {
    std::perror("simt: no memory for shared memory");
    std::abort();
  }
  region.map = static_cast<unsigned char*>(map);
  shadow::allow(region.map, region.map_bytes);  // an earlier mapping may have left its marks
  mprotect(region.map, kGuard, PROT_NONE);
  mprotect(region.end(), kGuard, PROT_NONE);
  region.data = region.end() - round_up(size, kAlign);
  pattern_fill(region.begin(), region.end());
  shadow::forbid(region.map, region.map_bytes);
  shadow::allow(region.data, size);
  shadow::add(region.data, size, true);
  return region;
}

void poison(const Region& region) {
  std::memset(region.data, kPoison, region.size);
  shadow::forget(region.data);
}

std::string damage_of(const Region& region) {
  if (shadow::kAsan) return "";
  const std::ptrdiff_t before = pattern_damage(region.data - kPatternBytes, region.data);
  const std::ptrdiff_t after = pattern_damage(region.data + region.size, region.end());
  if (before < 0 && after < 0) return "";
  const std::string what = format("%s (%zu bytes, %s:%d)", region.name, region.size,
                                  region.where.file, region.where.line);
  return before >= 0 ? format("%td bytes before ", kPatternBytes - before) + what
                     : format("%td bytes after the end of ", after) + what;
}

std::string describe(const Region& region, const unsigned char* p) {
  if (region.map == nullptr || p < region.map || p >= region.map + region.map_bytes) return "";
  const char* name = region.name;
  if (p < region.data) return format("%td bytes before shared %s", region.data - p, name);
  if (p < region.data + region.size) return format("shared %s, byte %td", name, p - region.data);
  return format("%td bytes after the end of shared %s (%zu bytes)",
                p - region.data - static_cast<std::ptrdiff_t>(region.size), name, region.size);
}

struct SharedMemory {
  std::vector<Region> variables;      // all static ones that ever were: a variable keeps its place
  std::vector<std::size_t> in_block;  // those that this block has named
  std::size_t static_bytes = 0;
  Region dynamic;
};
SharedMemory shared;

std::size_t index_of(const SharedVariable& variable) {
  for (std::size_t i = 0; i < shared.variables.size(); i++)
    if (shared.variables[i].data == variable.address) return i;
  shared.variables.push_back(make_region(variable.size));
  shared.variables.back().name = variable.name;
  shared.variables.back().where = variable.where;
  return shared.variables.size() - 1;
}

}  // namespace

std::size_t shared_limit() {  // CUDA C++ Programming Guide, table of compute capabilities
  switch (machine.options.compute_capability) {
    case 75:
      return 64 * 1024;
    case 80:
    case 87:
      return 163 * 1024;
    case 86:
    case 89:
      return 99 * 1024;
    default:
      return 227 * 1024;
  }
}

cudaError_t shared_prepare(std::size_t dynamic_bytes) {
  if (dynamic_bytes > shared_limit()) return cudaErrorInvalidValue;
  if (shared.dynamic.map != nullptr && shared.dynamic.size == dynamic_bytes) return cudaSuccess;
  if (shared.dynamic.map != nullptr) {
    shadow::remove(shared.dynamic.data);
    shadow::allow(shared.dynamic.map, shared.dynamic.map_bytes);
    munmap(shared.dynamic.map, shared.dynamic.map_bytes);
  }
  shared.dynamic = make_region(dynamic_bytes);
  shared.dynamic.name = "dynamic memory";
  return cudaSuccess;
}

void shared_start_block() {
  shared_epoch++;
  shared.in_block.clear();
  shared.static_bytes = 0;
  poison(shared.dynamic);
}

void SharedVariable::attach() {
  const shadow::Unwatched machine_writes;
  const std::size_t index = index_of(*this);
  const Region& region = shared.variables[index];
  address = region.data;
  epoch = shared_epoch;
  shared.in_block.push_back(index);
  shared.static_bytes += round_up(size, kAlign);
  if (shared.static_bytes > kStaticLimit)
    fail("%s:%d %s: more than 48 KB of static shared memory in one block (%zu bytes)", where.file,
         where.line, name, shared.static_bytes);
  if (shared.static_bytes + shared.dynamic.size > shared_limit())
    fail("%s:%d %s: %zu bytes of static and %zu of dynamic shared memory, this device has %zu",
         where.file, where.line, name, shared.static_bytes, shared.dynamic.size, shared_limit());
  poison(region);
}

void* dynamic_shared() {
  if (shared.dynamic.size == 0)
    fail("dynamic shared memory is used, but the launch asked for 0 bytes");
  return shared.dynamic.data;
}
std::size_t dynamic_shared_size() {
  return shared.dynamic.size;
}

bool is_shared(const void* p, std::size_t bytes) {
  const unsigned char* from = static_cast<const unsigned char*>(p);
  const auto holds = [&](const Region& r) {
    return from >= r.data && from + bytes <= r.data + r.size;
  };
  if (holds(shared.dynamic)) return true;
  for (std::size_t index : shared.in_block)
    if (holds(shared.variables[index])) return true;
  return false;
}

std::string shared_damage() {
  std::string damage = damage_of(shared.dynamic);
  for (std::size_t i = 0; damage.empty() && i < shared.in_block.size(); i++)
    damage = damage_of(shared.variables[shared.in_block[i]]);
  return damage;
}

std::string describe_shared_address(const void* p) {
  const unsigned char* byte = static_cast<const unsigned char*>(p);
  std::string text = describe(shared.dynamic, byte);
  for (std::size_t i = 0; text.empty() && i < shared.variables.size(); i++)
    text = describe(shared.variables[i], byte);
  return text;
}

}  // namespace simt
