// From sorted lookups to merged gradients: written out, or straight into the weights.
#ifndef TWINTAIL_CPU_MERGE_H
#define TWINTAIL_CPU_MERGE_H

#include "lookup_sort.h"
#include "merge_kernels.h"

namespace tt::cpu {

class Merge {
 public:
  /// Counts the runs of equal ids. sort: done, and must stay.
  Merge(Context& context, ArenaScope& scope, const LookupSort& sort, int32_t tables);

  /// Distinct ids of a table.
  int64_t runs(int32_t table) const;

  /// Sums each run and hands it to its table's target. jobs [tables].
  void finish(const MergeJob* jobs);

 private:
  struct Totals {
    int64_t runs, long_runs, segments;
  };
  struct LongRun {
    int32_t table;
    int64_t run;
    int64_t first_segment, segments;
  };
  struct Segment {
    int32_t table;
    const Lookup* lookups;
    int64_t count;
  };

  void count_partition(int64_t partition);
  void list_long_runs(int64_t partition);

  Context& context_;
  ArenaScope& scope_;
  const LookupSort& sort_;
  int32_t tables_;
  Totals* before_;  // [partitions + 1]: what lies in the partitions before
  LongRun* long_runs_ = nullptr;
  Segment* segments_ = nullptr;
};

}  // namespace tt::cpu
#endif
