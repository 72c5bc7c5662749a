#include "memory.h"

#include <sys/mman.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "cgroup.h"
#include "error.h"

namespace tt {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
constexpr size_t kMapFrom = size_t{1} << 20;  // smaller requests come from the C heap

/// The number behind `key` in a file of "key value" lines, or -1.
int64_t read_field(const char* path, const char* key) {
  std::FILE* file = std::fopen(path, "re");
  if (file == nullptr) return -1;
  char line[256];
  int64_t value = -1;
  const size_t length = std::strlen(key);
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strncmp(line, key, length) == 0) {
      std::sscanf(line + length, "%" SCNd64, &value);
      break;
    }
  }
  std::fclose(file);
  return value;
}

size_t round_up(size_t bytes, size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

}  // namespace

int64_t available_memory() {
  const int64_t memory = read_field("/proc/meminfo", "MemAvailable:");
  const int64_t swap = read_field("/proc/meminfo", "SwapFree:");
  int64_t free_bytes = memory < 0 ? -1 : (memory + std::max<int64_t>(swap, 0)) * 1024;
  const int64_t group = cgroup_memory();
  if (group >= 0) free_bytes = free_bytes < 0 ? group : std::min(free_bytes, group);
  return free_bytes;
}

void* map_memory(size_t bytes, const char* what) {
  const int64_t asked = static_cast<int64_t>(
      std::min<size_t>(bytes, static_cast<size_t>(std::numeric_limits<int64_t>::max())));
  if (bytes < kMapFrom) {
    const size_t size = round_up(std::max<size_t>(bytes, 1), 64);
    void* memory = std::aligned_alloc(64, size);
    if (memory == nullptr) out_of_memory(asked, available_memory(), what);
    return std::memset(memory, 0, size);
  }
  const int64_t free_bytes = available_memory();
  if (free_bytes >= 0 && asked > free_bytes) out_of_memory(asked, free_bytes, what);
  // One huge page more than asked, so that the start can be aligned; the rest is given back.
  const size_t size = round_up(bytes, kHugePage);
  void* raw =
      mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) out_of_memory(asked, free_bytes, what);
  char* begin = static_cast<char*>(raw);
  char* memory = reinterpret_cast<char*>(round_up(reinterpret_cast<uintptr_t>(begin), kHugePage));
  const size_t before = static_cast<size_t>(memory - begin);
  if (before > 0) munmap(begin, before);
  if (before < kHugePage) munmap(memory + size, kHugePage - before);
  madvise(memory, size, MADV_HUGEPAGE);  // a wish: failing is fine
  return memory;
}

void unmap_memory(void* memory, size_t bytes) noexcept {
  if (memory == nullptr) return;
  if (bytes < kMapFrom) {
    std::free(memory);
  } else {
    munmap(memory, round_up(bytes, kHugePage));
  }
}

}  // namespace tt
