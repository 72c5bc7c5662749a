// The values of a table's features, row by row.
//
// The caller's table is a column store: a row of k multi-valued features lies
// at 2k unrelated places of memory, more cache misses than the embeddings
// behind them. This copy keeps what a row needs together.
#ifndef TWINTAIL_CPU_PACKED_ROWS_H
#define TWINTAIL_CPU_PACKED_ROWS_H

#include <cstddef>
#include <cstdint>

#include "context.h"

namespace tt::cpu {

/// A record of 32-bit words for each row: the value of every single-valued
/// feature, then for every multi-valued one the word at which its values end,
/// then these values. Words count from the record's begin. Where no feature is
/// multi-valued all records have one size, and there are no offsets.
class PackedRows {
 public:
  /// Packs the features whose through_list is `through_list`, for rows [0,
  /// rows). Throws TT_OUT_OF_MEMORY.
  PackedRows(Context& context, const Table& table, int32_t through_list, int64_t rows);
  ~PackedRows();
  PackedRows(const PackedRows&) = delete;
  PackedRows& operator=(const PackedRows&) = delete;

  struct Values {
    const int32_t* ids;  // eight ids may always be read
    int64_t count;
  };

  /// A row's record, and how many words it has. It may be copied, with eight words to read behind it.
  const int32_t* record(int64_t row) const { return words_ + begin(row); }
  int64_t words(int64_t row) const { return end(row) - begin(row); }

  /// f: one of the packed features.
  Values values(int32_t f, int64_t row) const { return values_in(record(row), f); }
  Values values_in(const int32_t* record, int32_t f) const {
    const int32_t slot = slot_[f];
    if (slot < singles_) return Values{record + slot, 1};
    const int32_t first = slot == singles_ ? singles_ + multiples_ : record[slot - 1];
    return Values{record + first, record[slot] - first};
  }

  /// What begins a row's record is asked for early, then the record. g++ drops
  /// calls of functions of prefetches only, unless it inlines them before it
  /// looks.
  __attribute__((always_inline)) void prefetch_begin(int64_t row) const {
    if (begins_ != nullptr) __builtin_prefetch(begins_ + row);
  }
  __attribute__((always_inline)) void prefetch_record(int64_t row) const {
    const int64_t first = begin(row);
    const int64_t last = end(row);
    for (int64_t word = first; word < last; word += 16) __builtin_prefetch(words_ + word);
    if (last > first) __builtin_prefetch(words_ + last - 1);
  }

 private:
  int64_t begin(int64_t row) const { return begins_ != nullptr ? begins_[row] : row * singles_; }
  int64_t end(int64_t row) const { return begin(row + 1); }
  int64_t measure(Context& context, const Table& table, int64_t rows);
  void fill(Context& context, const Table& table, int64_t rows);
  void* take(size_t bytes);
  void release();

  int32_t slot_[TT_MAX_FEATURES] = {};
  int32_t features_[TT_MAX_FEATURES] = {};  // by slot
  int32_t singles_ = 0;
  int32_t multiples_ = 0;
  int64_t* begins_ = nullptr;  // [rows + 1]
  int32_t* words_ = nullptr;
  size_t begins_bytes_ = 0, words_bytes_ = 0;
  void (*count_bytes_)(int64_t);
};

}  // namespace tt::cpu
#endif
