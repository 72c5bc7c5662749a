#include "merge.h"

#include <algorithm>

#include "isa_select.h"

namespace tt::cpu {
namespace {

/// Calls f(first lookup, count) for each run of one id.
template <class F>
void for_runs(const Lookup* lookups, int64_t count, F&& f) {
  for (int64_t begin = 0; begin < count;) {
    const int32_t id = lookup_id(lookups[begin]);
    int64_t end = begin + 1;
    while (end < count && lookup_id(lookups[end]) == id) ++end;
    f(lookups + begin, end - begin);
    begin = end;
  }
}

int64_t segments_of(int64_t count) {
  return (count + kSegment - 1) / kSegment;
}

}  // namespace

Merge::Merge(Context& context, ArenaScope& scope, const LookupSort& sort, int32_t tables)
    : context_(context), scope_(scope), sort_(sort), tables_(tables) {
  const int64_t partitions = sort.partitions();
  before_ = scope.get<Totals>(static_cast<size_t>(partitions) + 1);
  before_[0] = Totals{0, 0, 0};
  context.pool.run(partitions, [&](int64_t p, int) { count_partition(p); });
  for (int64_t p = 0; p < partitions; ++p) {
    before_[p + 1].runs += before_[p].runs;
    before_[p + 1].long_runs += before_[p].long_runs;
    before_[p + 1].segments += before_[p].segments;
  }
}

void Merge::count_partition(int64_t partition) {
  const Lookup* lookups = sort_.begin(partition);
  const int64_t count = sort_.size(partition);
  // Neither loop branches on what it finds: most runs are short, and where they end is not to be predicted.
  Totals totals{count > 0 ? 1 : 0, 0, 0};
  for (int64_t i = 1; i < count; ++i) {
    totals.runs += lookup_id(lookups[i]) != lookup_id(lookups[i - 1]) ? 1 : 0;
  }
  int64_t far_equals = 0;
  for (int64_t i = kSegment; i < count; ++i) {
    far_equals += lookup_id(lookups[i]) == lookup_id(lookups[i - kSegment]) ? 1 : 0;
  }
  if (far_equals > 0) {
    for_runs(lookups, count, [&](const Lookup*, int64_t length) {
      if (length <= kSegment) return;
      ++totals.long_runs;
      totals.segments += segments_of(length);
    });
  }
  before_[partition + 1] = totals;
}

int64_t Merge::runs(int32_t table) const {
  return before_[sort_.first_partition(table + 1)].runs -
         before_[sort_.first_partition(table)].runs;
}

void Merge::list_long_runs(int64_t partition) {
  if (before_[partition + 1].long_runs == before_[partition].long_runs) return;
  const int32_t table = sort_.table_of(partition);
  int64_t run = before_[partition].runs - before_[sort_.first_partition(table)].runs;
  LongRun* long_run = long_runs_ + before_[partition].long_runs;
  int64_t segment = before_[partition].segments;
  for_runs(
      sort_.begin(partition), sort_.size(partition), [&](const Lookup* lookups, int64_t count) {
        if (count > kSegment) {
          *long_run++ = LongRun{table, run, segment, segments_of(count)};
          for (int64_t at = 0; at < count; at += kSegment) {
            segments_[segment++] = Segment{table, lookups + at, std::min(kSegment, count - at)};
          }
        }
        ++run;
      });
}

void Merge::finish(const MergeJob* jobs) {
  const MergeKernels& kernels = TT_SELECT(context_.isa, kMerge);
  const int64_t partitions = sort_.partitions();
  const Totals all = before_[partitions];
  int32_t widest = 1;
  for (int32_t t = 0; t < tables_; ++t) widest = std::max(widest, jobs[t].dim);
  const int64_t stride = (widest + 15) / 16 * 16;
  const auto workers = static_cast<size_t>(context_.pool.threads());
  float* scratch = scope_.get<float>(workers * static_cast<size_t>(stride));
  float* partial = scope_.get<float>(static_cast<size_t>(all.segments * stride));
  long_runs_ = scope_.get<LongRun>(static_cast<size_t>(all.long_runs));
  segments_ = scope_.get<Segment>(static_cast<size_t>(all.segments));
  for (int64_t p = 0; p < partitions; ++p) list_long_runs(p);

  // Segments first: they are the largest pieces.
  context_.pool.run(all.segments + partitions, [&](int64_t task, int worker) {
    if (task < all.segments) {
      const Segment& s = segments_[task];
      kernels.sum(jobs[s.table], s.lookups, s.count, partial + task * stride);
      return;
    }
    const int64_t p = task - all.segments;
    if (sort_.size(p) == 0) return;
    const int32_t table = sort_.table_of(p);
    const int64_t run = before_[p].runs - before_[sort_.first_partition(table)].runs;
    kernels.merge(jobs[table], sort_.begin(p), sort_.size(p), run, scratch + worker * stride);
  });
  context_.pool.run(all.long_runs, [&](int64_t task, int worker) {
    const LongRun& r = long_runs_[task];
    float* sum = scratch + worker * stride;
    kernels.add_rows(partial + r.first_segment * stride, stride, r.segments, jobs[r.table].dim,
                     sum);
    kernels.finish(jobs[r.table], lookup_id(*segments_[r.first_segment].lookups), r.run, sum);
  });
}

}  // namespace tt::cpu
