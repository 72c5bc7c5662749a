// Which columns are no part of a row's sum: the positive (its term is kept apart), accidental hits,
// and padding. Almost no tile has any, so tiles are marked, and only marked ones look at bits.
#ifndef TWINTAIL_CPU_LOSS_MASKS_H
#define TWINTAIL_CPU_LOSS_MASKS_H

#include <cstdint>

namespace tt::cpu::loss {

/// Columns that carry the same id, as linked lists. Built once, in O(m), so that a row without
/// duplicates costs one look-up.
class Duplicates {
 public:
  /// Length of the table that build() wants.
  static int64_t table_size(int64_t m);

  /// ids [m]; table [table_size(m)], first and next [m] are memory to use.
  void build(const int32_t* ids, int64_t m, int32_t* table, int32_t* first, int32_t* next);

  /// Columns with the id of column j, ascending: j0 = first(j), then next(j0), ... until -1.
  int32_t first(int64_t j) const { return first_[j]; }
  int32_t next(int64_t j) const { return next_[j]; }

 private:
  const int32_t* first_ = nullptr;
  const int32_t* next_ = nullptr;
};

/// The bits of one block of rows.
class Marks {
 public:
  /// words [panels * rows], tiles [panels * rows / tile_rows].
  Marks(uint32_t* words, uint8_t* tiles, int64_t panels, int rows, int tile_rows, int panel_columns)
      : words_(words),
        tiles_(tiles),
        panels_(panels),
        rows_(rows),
        tile_rows_(tile_rows),
        panel_columns_(panel_columns) {}

  void clear();
  void drop(int row, int64_t column) {
    words_of(row, column / panel_columns_)[row] |= 1u << (column % panel_columns_);
  }
  /// Columns [first, panels * panel_columns) of all rows.
  void drop_columns_from(int64_t first);
  /// Rows [first, rows) of all columns.
  void drop_rows_from(int first);

 private:
  uint32_t* words_of(int row, int64_t panel) {
    const int tile = row / tile_rows_;
    uint32_t* words = words_ + panel * rows_;
    uint8_t& marked = tiles_[panel * (rows_ / tile_rows_) + tile];
    if (marked == 0) {  // words of unmarked tiles are garbage
      for (int r = tile * tile_rows_; r < (tile + 1) * tile_rows_; ++r) words[r] = 0;
      marked = 1;
    }
    return words;
  }

  uint32_t* words_;
  uint8_t* tiles_;
  int64_t panels_;
  int rows_, tile_rows_, panel_columns_;
};

}  // namespace tt::cpu::loss
#endif
