#include "arena.h"

#include <algorithm>
#include <limits>

#include "error.h"
#include "memory.h"

namespace tt::cpu {
namespace {

constexpr size_t kSmallestChunk = size_t{1} << 20;

size_t aligned(size_t bytes) {
  return (bytes + 63) & ~size_t{63};
}

}  // namespace

void Arena::trim() {
  if (open_scopes_ == 0) release_from(0);
}

void* Arena::take(size_t bytes) {
  bytes = aligned(std::max<size_t>(bytes, 1));
  // Chunks behind the current one are empty: a scope that ended has left them.
  while (current_ < chunks_.size() && chunks_[current_].size - chunks_[current_].used < bytes) {
    ++current_;
  }
  if (current_ == chunks_.size()) add_chunk(bytes);
  Chunk& chunk = chunks_[current_];
  char* memory = chunk.memory + chunk.used;
  chunk.used += bytes;
  return memory;
}

void Arena::add_chunk(size_t bytes) {
  const size_t size = std::max(aligned(bytes), kSmallestChunk);
  chunks_.reserve(chunks_.size() + 1);
  char* memory;
  try {
    memory = static_cast<char*>(map_memory(size, "workspace"));
  } catch (const Error&) {
    current_ = chunks_.empty() ? 0 : chunks_.size() - 1;
    throw;
  }
  chunks_.push_back(Chunk{memory, size, 0});
  current_ = chunks_.size() - 1;
  reserved_ += static_cast<int64_t>(size);
  if (count_bytes_ != nullptr) count_bytes_(static_cast<int64_t>(size));
}

void Arena::release_from(size_t first) {
  for (size_t i = first; i < chunks_.size(); ++i) {
    unmap_memory(chunks_[i].memory, chunks_[i].size);
    reserved_ -= static_cast<int64_t>(chunks_[i].size);
    if (count_bytes_ != nullptr) count_bytes_(-static_cast<int64_t>(chunks_[i].size));
  }
  chunks_.resize(first);
  current_ = first == 0 ? 0 : first - 1;
}

// An op that did not fit left several chunks: from now on there is one of their total size. If the
// system refuses that, the next op starts from nothing.
void Arena::merge() {
  if (chunks_.size() < 2) return;
  size_t total = 0;
  for (const Chunk& chunk : chunks_) total += chunk.size;
  release_from(0);
  try {
    add_chunk(total);
  } catch (const std::exception&) {
  }
}

ArenaScope::ArenaScope(Arena& arena)
    : arena_(arena),
      chunk_(arena.current_),
      used_(arena.chunks_.empty() ? 0 : arena.chunks_[arena.current_].used) {
  ++arena_.open_scopes_;
}

ArenaScope::~ArenaScope() {
  for (size_t i = chunk_ + 1; i < arena_.chunks_.size(); ++i) arena_.chunks_[i].used = 0;
  if (!arena_.chunks_.empty()) arena_.chunks_[chunk_].used = used_;
  arena_.current_ = chunk_;
  if (--arena_.open_scopes_ == 0) arena_.merge();
}

void* ArenaScope::take(size_t count, size_t size) {
  if (count > std::numeric_limits<size_t>::max() / 4 / size) {
    out_of_memory(std::numeric_limits<int64_t>::max(), available_memory(), "workspace");
  }
  return arena_.take(count * size);
}

}  // namespace tt::cpu
