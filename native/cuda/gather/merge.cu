// A run is summed in blocks of kSumBlock lookups by one group of lanes, and brought to its target; those longer than kSegment
// are noted, for long_runs.cu.
#include "gather/merge.h"

#include <algorithm>

#include "gather/block_map.h"
#include "gather/long_runs.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = kMergeThreads;
constexpr int kInFlight = 4;                 // gradient rows that a lane loads before it adds them
constexpr int kBlocksPerMultiprocessor = 4;  // of a table

/// One thread notes a run of more than a segment.
__device__ __forceinline__ void note_long_run(const LongRuns& all, int table, uint32_t run,
                                              uint32_t begin, uint32_t count) {
  const uint32_t segments = (count - 1) / kSegment + 1;
  const uint32_t slot = atomicAdd(all.slots_used, segments);
  const uint32_t place = atomicAdd(&all.segments_used[table], segments);
  Segment* to = all.segments + table * all.segment_capacity + place;
  for (uint32_t s = 0; s < segments; ++s) {
    to[s] = Segment{begin + s * kSegment,
                    min(static_cast<uint32_t>(kSegment), count - s * kSegment), slot + s};
  }
  all.runs[table * all.run_capacity + atomicAdd(&all.runs_used[table], 1u)] =
      LongRun{run, slot, segments};
}

struct Group {
  Lanes lanes;
  uint32_t index, step;  // of the group among its table's
};

__device__ __forceinline__ Group group_of(const MergeTable& table) {
  const uint32_t per_block = groups_of(table);
  return Group{Lanes(table.lanes),
               (blockIdx.x - table.first_block) * per_block +
                   threadIdx.x / static_cast<uint32_t>(table.lanes),
               table.blocks * per_block};
}

/// Where a table's runs lie, read ahead: a run's lookups are asked for while those of the run before are on their way.
class RunsAhead {
 public:
  __device__ __forceinline__ RunsAhead(const SortedLookups& lookups, const MergeTable& table,
                                       const Group& group)
      : lookups_(lookups), step_(group.step), run_(group.index) {
    first_ = lookups.table_runs[table.index];
    runs_ = lookups.table_runs[table.index + 1] - first_;
    next_ = load(run_);
  }

  struct Run {
    int64_t index;  // among the table's
    uint32_t begin, count;
  };
  __device__ __forceinline__ bool take(Run& run) {
    if (run_ >= runs_) return false;
    run = next_;
    run_ += step_;
    next_ = load(run_);
    return true;
  }

 private:
  __device__ __forceinline__ Run load(int64_t index) const {
    if (index >= runs_) return Run{index, 0, 0};
    const uint32_t begin = lookups_.starts[first_ + index];
    return Run{index, begin, lookups_.starts[first_ + index + 1] - begin};
  }

  const SortedLookups& lookups_;
  uint32_t first_, runs_, step_;
  int64_t run_;
  Run next_;
};

// A group of lanes a run, in turns.
template <bool kAligned, class Weight>
__global__ void __launch_bounds__(kThreads) merge_kernel(Merge m) {
  const MergeTable table = item_of_block(m.tables.items, m.tables.count);
  const Group group = group_of(table);
  RunsAhead runs(m.lookups, table, group);
  for (RunsAhead::Run run; runs.take(run);) {
    if (run.count > kSegment) {
      if (group.lanes.lane() == 0) {
        note_long_run(m.long_runs, table.index, static_cast<uint32_t>(run.index), run.begin,
                      run.count);
      }
      continue;
    }
    const auto id = static_cast<int32_t>(m.lookups.keys[run.begin] - table.first_key);
    finish_run<kAligned, Weight>(
        table, m.plan, run.index, id, group.lanes, true, [&] { group.lanes.sync(); },
        [&](int first, float4(&quads)[kLaneQuads]) {
          sum_lookups<kAligned, kInFlight>(m, table.dim, run.begin, run.count, group.lanes, first,
                                           quads);
        });
  }
}

/// Tables that one set of kernels serves.
struct Launch {
  bool aligned;
  int32_t dtype;
  Tables tables{};
  uint32_t blocks = 0;

  bool serves(const Launch& other) const {
    return aligned == other.aligned && dtype == other.dtype &&
           static_cast<size_t>(tables.count) < Tables::kMost;
  }

  /// Enough blocks for `runs` runs, but no more than fill the device.
  void add(MergeTable table, int64_t runs, int64_t most_blocks) {
    const int64_t per_block = kThreads / table.lanes;
    table.first_block = blocks;
    table.blocks = static_cast<uint32_t>(std::min(most_blocks, (runs + per_block - 1) / per_block));
    blocks += table.blocks;
    tables.items[tables.count++] = table;
  }
};

std::vector<Launch> plan_launches(const Context& context, int64_t lookups,
                                  const std::vector<MergeTarget>& targets) {
  std::vector<Launch> launches;
  const int64_t most = int64_t{context.device.multiprocessors} * kBlocksPerMultiprocessor;
  for (size_t t = 0; t < targets.size(); ++t) {
    const MergeTarget& target = targets[t];
    if (target.id_bound == 0) continue;
    const tt_embedding& e = target.embedding;
    // What is only written out has no weights to read.
    const Launch wanted{target.aligned, target.ids != nullptr ? TT_FLOAT32 : e.dtype};
    size_t at = 0;
    while (at < launches.size() && !launches[at].serves(wanted)) ++at;
    if (at == launches.size()) launches.push_back(wanted);
    const MergeTable table{e.weights,
                           e.state1,
                           e.state2,
                           target.ids,
                           target.values,
                           static_cast<int32_t>(t),
                           e.dim,
                           lanes_for(e.dim),
                           target.first_key,
                           0,
                           0};
    launches[at].add(table, std::min(target.id_bound, lookups), most);
  }
  return launches;
}

template <bool kAligned, class Weight>
void launch_runs(Context& context, const Merge& m, uint32_t blocks) {
  check(TT_LAUNCH((merge_kernel<kAligned, Weight>), dim3(blocks), dim3(kThreads), 0, context.stream,
                  m),
        kMerging);
}

}  // namespace

void merge_runs(Context& context, Scope& scope, Zeroed& zeroed, const SortedLookups& lookups,
                int64_t most, const GradientRows& rows, const std::vector<MergeTarget>& targets,
                const OptimizerPlan& plan) {
  if (most == 0) return;
  Merge m{Tables{}, lookups, rows, make_long_runs(scope, zeroed, most, targets), plan};
  for (const Launch& launch : plan_launches(context, most, targets)) {
    m.tables = launch.tables;
    const auto run = [&](auto* kernel) { kernel(context, m, launch.blocks); };
    if (launch.dtype == TT_FLOAT32) {
      run(launch.aligned ? launch_runs<true, float> : launch_runs<false, float>);
    } else {
      run(launch.aligned ? launch_runs<true, uint16_t> : launch_runs<false, uint16_t>);
    }
    finish_long_runs(context, m, launch.aligned, launch.dtype);
  }
}

}  // namespace tt::cuda
