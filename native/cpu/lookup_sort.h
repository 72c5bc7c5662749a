// Sorts the lookups of an op by embedding table and id, stably.
//
// Lookups are written by blocks (of batch rows) in parallel, each into a region of its own, and counted
// by partition: a partition is a range of ids of one table, small enough to be sorted in a
// cache; id 0 - the default, where all masked features go - has one for itself and is never sorted. A
// stable sort has one result, so neither blocks nor partitions nor threads show in it.
#ifndef TWINTAIL_CPU_LOOKUP_SORT_H
#define TWINTAIL_CPU_LOOKUP_SORT_H

#include <cstdint>

#include "context.h"
#include "merge_kernels.h"

namespace tt::cpu {

class LookupSort {
 public:
  /// id_bounds [tables]: ids of table t are in [0, id_bounds[t]).
  LookupSort(Context& context, ArenaScope& scope, int32_t tables, const int64_t* id_bounds,
             int64_t blocks);

  /// Lookups that are written behind a block's last one, and overwritten or not read.
  static constexpr int kSlack = 8;

  /// 1. To be set for each block and table: room for that many lookups.
  int64_t& capacity(int64_t block, int32_t table) { return capacity_[block * tables_ + table]; }

  /// 2. After all capacities are set.
  void allocate();

  /// 3. Each block writes its lookups through one of these, in order.
  class Writer {
   public:
    void put(int32_t table, int32_t id, uint32_t bag) {
      *cursors_[table].next++ = make_lookup(id, bag);
    }
    /// The first `count` of kSlack ids, which may all be read.
    void put_short(int32_t table, const int32_t* ids, int64_t count, uint32_t bag) {
      Lookup* next = cursors_[table].next;
      for (int i = 0; i < kSlack; ++i) next[i] = make_lookup(ids[i], bag);
      cursors_[table].next = next + count;
    }

   private:
    friend class LookupSort;
    struct Cursor {
      Lookup* next;
    };
    Cursor* cursors_;
  };
  Writer writer(int64_t block);

  /// 4. When a block is written: counts its partitions.
  void written(int64_t block);

  /// 5. When all blocks are written.
  void sort();

  /// Partitions in ascending order of table and id; some are empty.
  int64_t partitions() const { return partitions_; }
  int32_t table_of(int64_t partition) const;
  /// The first partition of a table; of table `tables`: partitions().
  int64_t first_partition(int32_t table) const { return table_partitions_[table]; }
  const Lookup* begin(int64_t partition) const { return to_ + partition_begin_[partition]; }
  int64_t size(int64_t partition) const {
    return partition_begin_[partition + 1] - partition_begin_[partition];
  }

 private:
  static int64_t partition_of(int32_t id, int32_t shift) {
    return id == 0 ? 0 : 1 + (static_cast<int64_t>(id) >> shift);
  }
  void place();
  void scatter();
  void sort_partition(int64_t partition);

  Context& context_;
  ArenaScope& scope_;
  int32_t tables_;
  const int64_t* id_bounds_;
  int64_t blocks_;
  int64_t partitions_ = 0;

  int64_t* capacity_;           // [blocks, tables]
  int64_t* region_;             // [blocks, tables]: where the block's lookups begin in from_
  Writer::Cursor* cursors_;     // [blocks, tables]
  int32_t* shifts_;             // [tables]
  int64_t* table_partitions_;   // [tables + 1]
  uint32_t* counts_ = nullptr;  // [blocks, partitions]
  int64_t* partition_begin_ = nullptr;  // [partitions + 1]
  Lookup* from_ = nullptr;              // as written; afterwards scratch of the sorts
  Lookup* to_ = nullptr;                // by partition
};

}  // namespace tt::cpu
#endif
