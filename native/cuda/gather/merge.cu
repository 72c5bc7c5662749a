// A run is summed in blocks of kSumBlock lookups by one group of lanes. Longer runs than kSegment are cut into
// segments that any group may sum; their sums are kept and added in order by a block. Where a segment's sum is
// kept depends on who comes first, what is added to what does not.
#include "gather/merge.h"

#include <algorithm>

#include "gather/block_map.h"
#include "gather/gather_call.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kInFlight = 4;        // gradient rows that a lane loads before it adds them
constexpr int kInFlightInLong = 8;  // in a segment, which is long
constexpr int kSumBlock = 32;  // lookups that are added up before they join the total: accuracy
constexpr int kSegment =
    64;  // lookups: a lane adds them one after the other; a sum has to be kept for each
constexpr int kMostStretches = 32;  // of a long run's segments, added up apart
constexpr int kBlocksPerMultiprocessor = 4;
constexpr const char* kDoing = "merging gradients";

struct Segment {
  uint32_t begin, count;  // lookups
  uint32_t slot;
};
struct LongRun {
  uint32_t run;
  uint32_t first_slot, segments;
};

/// What the runs of all tables that are longer than a segment need.
struct LongRuns {
  uint32_t* slots_used;     // [1]
  uint32_t* segments_used;  // [tables]
  uint32_t* runs_used;      // [tables]
  Segment* segments;        // [tables, segment_capacity]
  LongRun* runs;            // [tables, run_capacity]
  float* sums;              // [segment_capacity, stride]
  int64_t segment_capacity, run_capacity, stride;
};

/// Arguments, with all else below the 4096 bytes that every CUDA takes.
struct Tables {
  static constexpr size_t kMost = 40;
  int count;
  MergeTable items[kMost];
};

struct Merge {
  Tables tables;
  SortedLookups lookups;
  GradientRows rows;
  LongRuns long_runs;
  OptimizerPlan plan;
};
static_assert(sizeof(Merge) <= 4096, "arguments that every CUDA takes");

__device__ __forceinline__ const float* gradient_of(const GradientRows& rows, uint32_t bag) {
  uint32_t row = bag;
  int64_t column = 0;
  if (rows.columns != nullptr) {
    const uint32_t slot = rows.by_rows(bag);
    row = bag - slot * rows.rows;
    column = rows.columns[slot];
  }
  int p = 0;
  int64_t begin = 0;
  while (p + 1 < rows.piece_count && row >= rows.pieces[p].end) begin = rows.pieces[p++].end;
  return rows.pieces[p].first + (row - begin) * rows.pieces[p].ld + column;
}

/// total: the lane's quads of the sum over lookups [begin, begin + count). Every lane reads the bags' numbers, which is one
/// access for the group, and waits for no exchange.
template <bool kAligned, int kFlight>
__device__ __forceinline__ void sum_lookups(const Merge& m, int dim, uint32_t begin, uint32_t count,
                                            const Lanes& lanes, int first,
                                            float4 (&total)[kLaneQuads]) {
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) total[q] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (uint32_t block = 0; block < count; block += kSumBlock) {
    const uint32_t end = min(count, block + kSumBlock);
    float4 part[kLaneQuads] = {};
    for (uint32_t at = block; at < end; at += kFlight) {
      float4 x[kFlight][kLaneQuads] = {};
      float scales[kFlight];
#pragma unroll
      for (int u = 0; u < kFlight; ++u) {
        scales[u] = 1.0f;
        if (at + u >= end) continue;
        const uint32_t bag = m.lookups.bags[begin + at + u];
        if (m.rows.scales != nullptr) scales[u] = m.rows.scales[bag];
        const float* row = gradient_of(m.rows, bag);
#pragma unroll
        for (int q = 0; q < kLaneQuads; ++q) {
          x[u][q] = load_quad<kAligned>(row, quad_column(lanes, first, q), dim);
        }
      }
#pragma unroll
      for (int u = 0; u < kFlight; ++u) {
        if (at + u >= end) continue;
#pragma unroll
        for (int q = 0; q < kLaneQuads; ++q) part[q] = part[q] + scales[u] * x[u][q];
      }
    }
#pragma unroll
    for (int q = 0; q < kLaneQuads; ++q) total[q] = total[q] + part[q];
  }
}

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
  const int shift = __ffs(table.lanes) - 1;  // lanes is a power of 2
  const auto per_block = static_cast<uint32_t>(kThreads >> shift);
  return Group{Lanes(table.lanes),
               (blockIdx.x - table.first_block) * per_block + (threadIdx.x >> shift),
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

// A group of lanes a segment of a long run, in turns.
template <bool kAligned>
__global__ void __launch_bounds__(kThreads) segments_kernel(Merge m) {
  const MergeTable table = item_of_block(m.tables.items, m.tables.count);
  const Group group = group_of(table);
  const uint32_t used = m.long_runs.segments_used[table.index];
  const Segment* segments = m.long_runs.segments + table.index * m.long_runs.segment_capacity;
  for (int64_t s = group.index; s < used; s += group.step) {
    const Segment segment = segments[s];
    float* out = m.long_runs.sums + segment.slot * m.long_runs.stride;
    for (int first = 0; first < table.dim; first += pass_columns(group.lanes)) {
      float4 quads[kLaneQuads];
      sum_lookups<kAligned, kInFlightInLong>(m, table.dim, segment.begin, segment.count,
                                             group.lanes, first, quads);
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) {
        // Whole quads: the stride has room for them.
        const int column = quad_column(group.lanes, first, q);
        if (column < table.dim) *reinterpret_cast<float4*>(out + column) = quads[q];
      }
    }
  }
}

/// The sum of a long run's segments, by a block: each group of lanes adds up a stretch of them, then every group all
/// stretches. parts: shared, kLaneQuads a thread.
struct SegmentSums {
  const float* sums;  // [segments, stride]: of the run
  int64_t stride;
  int dim;
  uint32_t segments, stretches, length;  // length: of a stretch, in segments
  float4* parts;

  __device__ __forceinline__ SegmentSums(const Merge& m, const LongRun& run, const Lanes& lanes,
                                         int columns, float4* shared)
      : sums(m.long_runs.sums + run.first_slot * m.long_runs.stride),
        stride(m.long_runs.stride),
        dim(columns),
        segments(run.segments),
        parts(shared) {
    const auto groups = static_cast<uint32_t>(min(kThreads / lanes.width(), kMostStretches));
    length = (segments + groups - 1) / groups;
    stretches = (segments + length - 1) / length;  // that are not empty
  }

  __device__ __forceinline__ void add(const Lanes& lanes, uint32_t group, int first,
                                      float4 (&quads)[kLaneQuads]) const {
    const int width = lanes.width(), lane = lanes.lane();
    if (group < stretches) {
      const uint32_t end = min(segments, (group + 1) * length);
      float4 part[kLaneQuads] = {};
#pragma unroll 4
      for (uint32_t s = group * length; s < end; ++s) {
#pragma unroll
        for (int q = 0; q < kLaneQuads; ++q) {
          const int column = quad_column(lanes, first, q);
          if (column >= dim) continue;
          part[q] = part[q] + *reinterpret_cast<const float4*>(sums + s * stride + column);
        }
      }
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) parts[at(group, q, width) + lane] = part[q];
    }
    __syncthreads();
#pragma unroll
    for (int q = 0; q < kLaneQuads; ++q) {
      quads[q] = parts[at(0, q, width) + lane];
      for (uint32_t p = 1; p < stretches; ++p) quads[q] = quads[q] + parts[at(p, q, width) + lane];
    }
    __syncthreads();
  }

 private:
  static __device__ __forceinline__ int at(uint32_t stretch, int q, int width) {
    return (static_cast<int>(stretch) * kLaneQuads + q) * width;
  }
};

// A block a long run, in turns.
template <bool kAligned, class Weight>
__global__ void __launch_bounds__(kThreads) finish_kernel(Merge m) {
  TT_SHARED(float4, parts, [kThreads * kLaneQuads]);
  const MergeTable table = item_of_block(m.tables.items, m.tables.count);
  const Lanes lanes(table.lanes);
  const auto group = threadIdx.x / static_cast<uint32_t>(table.lanes);
  const uint32_t first_run = m.lookups.table_runs[table.index];
  const uint32_t used = m.long_runs.runs_used[table.index];
  for (int64_t r = blockIdx.x - table.first_block; r < used; r += table.blocks) {
    const LongRun run = m.long_runs.runs[table.index * m.long_runs.run_capacity + r];
    const uint32_t key = m.lookups.keys[m.lookups.starts[first_run + run.run]];
    const SegmentSums sums(m, run, lanes, table.dim, parts);
    finish_run<kAligned, Weight>(
        table, m.plan, run.run, static_cast<int32_t>(key - table.first_key), lanes, group == 0,
        [] { __syncthreads(); },
        [&](int first, float4(&quads)[kLaneQuads]) { sums.add(lanes, group, first, quads); });
  }
}

/// A long run has less than two segments for each kSegment lookups.
int64_t most_segments(int64_t lookups) {
  return 2 * (lookups / kSegment);
}

/// Tables that one set of kernels serves.
struct Launch {
  bool aligned;
  int32_t dtype;
  struct Part {
    Tables tables{};
    uint32_t blocks = 0;

    /// Enough blocks for `groups` groups of lanes, but no more than fill the device.
    void add(MergeTable table, int64_t groups, int64_t most_blocks) {
      const int64_t per_block = kThreads / table.lanes;
      table.first_block = blocks;
      table.blocks =
          static_cast<uint32_t>(std::min(most_blocks, (groups + per_block - 1) / per_block));
      blocks += table.blocks;
      tables.items[tables.count++] = table;
    }
  };
  Part runs{}, long_runs{};

  bool serves(const Launch& other) const {
    return aligned == other.aligned && dtype == other.dtype &&
           static_cast<size_t>(runs.tables.count) < Tables::kMost;
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
    launches[at].runs.add(table, std::min(target.id_bound, lookups), most);
    if (lookups > kSegment) launches[at].long_runs.add(table, most_segments(lookups), most);
  }
  return launches;
}

LongRuns make_long_runs(Scope& scope, Zeroed& zeroed, int64_t lookups,
                        const std::vector<MergeTarget>& targets) {
  const auto tables = static_cast<int64_t>(targets.size());
  LongRuns all{};
  all.run_capacity = lookups / kSegment;
  all.segment_capacity = most_segments(lookups);
  for (const MergeTarget& t : targets) {
    all.stride = std::max(all.stride, (int64_t{t.embedding.dim} + 3) / 4 * 4);
  }
  all.slots_used = zeroed.get<uint32_t>(1);
  all.segments_used = zeroed.get<uint32_t>(tables);
  all.runs_used = zeroed.get<uint32_t>(tables);
  all.segments = scope.get<Segment>(tables * all.segment_capacity);
  all.runs = scope.get<LongRun>(tables * all.run_capacity);
  all.sums = scope.get<float>(all.segment_capacity * all.stride);
  return all;
}

template <bool kAligned, class Weight>
void launch_all(Context& context, Merge& m, const Launch& launch) {
  const dim3 block(kThreads);
  m.tables = launch.runs.tables;
  check(TT_LAUNCH((merge_kernel<kAligned, Weight>), dim3(launch.runs.blocks), block, 0,
                  context.stream, m),
        kDoing);
  if (launch.long_runs.blocks == 0) return;
  m.tables = launch.long_runs.tables;
  const dim3 grid(launch.long_runs.blocks);
  check(TT_LAUNCH(segments_kernel<kAligned>, grid, block, 0, context.stream, m), kDoing);
  check(TT_LAUNCH((finish_kernel<kAligned, Weight>), grid, block, 0, context.stream, m), kDoing);
}

}  // namespace

void merge_runs(Context& context, Scope& scope, Zeroed& zeroed, const SortedLookups& lookups,
                int64_t most, const GradientRows& rows, const std::vector<MergeTarget>& targets,
                const OptimizerPlan& plan) {
  if (most == 0) return;
  Merge m{Tables{}, lookups, rows, make_long_runs(scope, zeroed, most, targets), plan};
  for (const Launch& launch : plan_launches(context, most, targets)) {
    const auto run = [&](auto* kernels) { kernels(context, m, launch); };
    if (launch.dtype == TT_FLOAT32) {
      run(launch.aligned ? launch_all<true, float> : launch_all<false, float>);
    } else {
      run(launch.aligned ? launch_all<true, uint16_t> : launch_all<false, uint16_t>);
    }
  }
}

}  // namespace tt::cuda
