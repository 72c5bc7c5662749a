#include "packed_rows.h"

#include <algorithm>
#include <limits>

#include "memory.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlock = 1 << 12;
constexpr int64_t kReadable = 8;

int64_t count_of(const tt_feature& feature, int64_t row) {
  return feature.offsets[row + 1] - feature.offsets[row];
}

}  // namespace

PackedRows::PackedRows(Context& context, const Table& table, int32_t through_list, int64_t rows)
    : count_bytes_(context.arena.counter()) {
  for (const bool multi_valued : {false, true}) {
    for (int32_t f = 0; f < table.feature_count; ++f) {
      const tt_feature& feature = table.features[f];
      if (feature.through_list != through_list || (feature.offsets != nullptr) != multi_valued) {
        continue;
      }
      slot_[f] = singles_ + multiples_;
      features_[slot_[f]] = f;
      ++(multi_valued ? multiples_ : singles_);
    }
  }
  if (singles_ + multiples_ == 0) return;
  try {
    const int64_t words = multiples_ > 0 ? measure(context, table, rows) : rows * singles_;
    words_bytes_ = static_cast<size_t>(words + kReadable) * sizeof(int32_t);
    words_ = static_cast<int32_t*>(take(words_bytes_));
    fill(context, table, rows);
  } catch (...) {
    release();
    throw;
  }
}

PackedRows::~PackedRows() {
  release();
}

/// Sets begins_ and returns the number of all words.
int64_t PackedRows::measure(Context& context, const Table& table, int64_t rows) {
  begins_bytes_ = static_cast<size_t>(rows + 1) * sizeof(int64_t);
  begins_ = static_cast<int64_t*>(take(begins_bytes_));
  context.pool.run((rows + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(rows, (block + 1) * kBlock);
    for (int64_t row = block * kBlock; row < end; ++row) {
      int64_t words = singles_ + multiples_;
      for (int32_t s = singles_; s < singles_ + multiples_; ++s) {
        words += count_of(table.features[features_[s]], row);
      }
      if (words > std::numeric_limits<int32_t>::max()) {
        unsupported(format("row %lld has more values than the CPU backend can address: %lld.",
                           (long long)row, (long long)words));
      }
      begins_[row] = words;
    }
  });
  int64_t total = 0;
  for (int64_t row = 0; row <= rows; ++row) {
    const int64_t words = row < rows ? begins_[row] : 0;
    begins_[row] = total;
    total += words;
  }
  return total;
}

void PackedRows::fill(Context& context, const Table& table, int64_t rows) {
  context.pool.run((rows + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t end = std::min(rows, (block + 1) * kBlock);
    for (int64_t row = block * kBlock; row < end; ++row) {
      int32_t* record = words_ + begin(row);
      for (int32_t s = 0; s < singles_; ++s) record[s] = table.features[features_[s]].values[row];
      int32_t used = singles_ + multiples_;
      for (int32_t s = singles_; s < singles_ + multiples_; ++s) {
        const tt_feature& feature = table.features[features_[s]];
        const int64_t count = count_of(feature, row);
        std::copy_n(feature.values + feature.offsets[row], count, record + used);
        used += static_cast<int32_t>(count);
        record[s] = used;
      }
    }
  });
}

void* PackedRows::take(size_t bytes) {
  void* memory = map_memory(bytes, "tt_feature_table_create");
  if (count_bytes_ != nullptr) count_bytes_(static_cast<int64_t>(bytes));
  return memory;
}

void PackedRows::release() {
  const auto give_back = [this](void* memory, size_t bytes) {
    if (memory == nullptr) return;
    unmap_memory(memory, bytes);
    if (count_bytes_ != nullptr) count_bytes_(-static_cast<int64_t>(bytes));
  };
  give_back(begins_, begins_bytes_);
  give_back(words_, words_bytes_);
}

}  // namespace tt::cpu
