#include "masks.h"

#include <cstring>

namespace tt::cpu::loss {
namespace {

// The finaliser of MurmurHash3: every input bit reaches every output bit.
uint32_t mix(uint32_t x) {
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  return x ^ x >> 16;
}

}  // namespace

int64_t Duplicates::table_size(int64_t m) {
  int64_t size = 16;
  while (size < 2 * m) size *= 2;
  return size;
}

// Open addressing; a slot holds the last column seen of its id, -1 where empty.
void Duplicates::build(const int32_t* ids, int64_t m, int32_t* table, int32_t* first,
                       int32_t* next) {
  const auto size = static_cast<size_t>(table_size(m));
  const auto mask = static_cast<uint32_t>(size - 1);
  std::memset(table, 0xff, size * sizeof *table);
  for (int32_t j = 0; j < m; ++j) {
    uint32_t slot = mix(static_cast<uint32_t>(ids[j])) & mask;
    while (table[slot] >= 0 && ids[table[slot]] != ids[j]) slot = (slot + 1) & mask;
    const int32_t last = table[slot];
    first[j] = last >= 0 ? first[last] : j;
    next[j] = -1;
    if (last >= 0) next[last] = j;
    table[slot] = j;
  }
  first_ = first;
  next_ = next;
}

void Marks::clear() {
  std::memset(tiles_, 0, static_cast<size_t>(panels_ * (rows_ / tile_rows_)));
}

void Marks::drop_columns_from(int64_t first) {
  const int64_t panel = first / panel_columns_;
  if (panel >= panels_) return;  // no column is padding
  const uint32_t bits = ~((1u << (first % panel_columns_)) - 1);
  for (int row = 0; row < rows_; ++row) words_of(row, panel)[row] |= bits;
}

void Marks::drop_rows_from(int first) {
  for (int64_t panel = 0; panel < panels_; ++panel) {
    for (int row = first; row < rows_; ++row) words_of(row, panel)[row] = ~0u;
  }
}

}  // namespace tt::cpu::loss
