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
constexpr int kInFlight = 4;   // gradient rows that a lane loads before it adds them
constexpr int kSumBlock = 32;  // lookups that are added up before they join the total: accuracy
constexpr int kSegment = 256;  // lookups
constexpr int kStretches = 8;  // of a long run's segments, added up apart
constexpr int kBlocksPerMultiprocessor = 8;
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

struct Merge {
  const MergeTable* tables;
  int table_count;
  SortedLookups lookups;
  GradientRows rows;
  LongRuns long_runs;
  OptimizerPlan plan;
};

__device__ __forceinline__ const float* gradient_of(const GradientRows& rows, uint32_t bag) {
  uint32_t row = bag;
  int64_t column = 0;
  if (rows.columns != nullptr) {
    const uint32_t slot = bag / rows.rows;
    row = bag - slot * rows.rows;
    column = rows.columns[slot];
  }
  int p = 0;
  int64_t begin = 0;
  while (p + 1 < rows.piece_count && row >= rows.pieces[p].end) begin = rows.pieces[p++].end;
  return rows.pieces[p].first + (row - begin) * rows.pieces[p].ld + column;
}

/// total: the lane's quads of the sum over lookups [begin, begin + count).
template <bool kAligned>
__device__ __forceinline__ void sum_lookups(const Merge& m, int dim, uint32_t begin, uint32_t count,
                                            const Lanes& lanes, int first,
                                            float4 (&total)[kLaneQuads]) {
  const auto width = static_cast<uint32_t>(lanes.width());
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) total[q] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  for (uint32_t block = 0; block < count; block += kSumBlock) {
    const uint32_t end = min(count, block + kSumBlock);
    float4 part[kLaneQuads] = {};
    for (uint32_t tile = block; tile < end; tile += width) {
      const uint32_t own = tile + static_cast<uint32_t>(lanes.lane());
      unsigned long long place = 0;  // of the own lookup's gradient
      float scale = 1.0f;
      if (own < end) {
        const uint32_t bag = m.lookups.bags[begin + own];
        place = reinterpret_cast<unsigned long long>(gradient_of(m.rows, bag));
        if (m.rows.scales != nullptr) scale = m.rows.scales[bag];
      }
      const int there = static_cast<int>(min(width, end - tile));
      for (int j = 0; j < there; j += kInFlight) {
        float4 x[kInFlight][kLaneQuads] = {};
        float scales[kInFlight];
#pragma unroll
        for (int u = 0; u < kInFlight; ++u) {
          const auto* row = reinterpret_cast<const float*>(lanes.from(place, j + u));
          scales[u] = lanes.from(scale, j + u);
          if (j + u >= there) continue;
#pragma unroll
          for (int q = 0; q < kLaneQuads; ++q) {
            x[u][q] = load_quad<kAligned>(row, quad_column(lanes, first, q), dim);
          }
        }
#pragma unroll
        for (int u = 0; u < kInFlight; ++u) {
          if (j + u >= there) continue;
#pragma unroll
          for (int q = 0; q < kLaneQuads; ++q) part[q] = part[q] + scales[u] * x[u][q];
        }
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
  const auto per_block = static_cast<uint32_t>(kThreads / table.lanes);
  return Group{Lanes(table.lanes),
               (blockIdx.x - table.first_block) * per_block +
                   threadIdx.x / static_cast<uint32_t>(table.lanes),
               table.blocks * per_block};
}

// A group of lanes a run, in turns.
template <bool kAligned, class Weight>
__global__ void __launch_bounds__(kThreads) merge_kernel(Merge m) {
  const MergeTable& table = item_of_block(m.tables, m.table_count);
  const Group group = group_of(table);
  const uint32_t first_run = m.lookups.table_runs[table.index];
  const uint32_t runs = m.lookups.table_runs[table.index + 1] - first_run;
  for (int64_t run = group.index; run < runs; run += group.step) {
    const uint32_t begin = m.lookups.starts[first_run + run];
    const uint32_t count = m.lookups.starts[first_run + run + 1] - begin;
    if (count > kSegment) {
      if (group.lanes.lane() == 0) {
        note_long_run(m.long_runs, table.index, static_cast<uint32_t>(run), begin, count);
      }
      continue;
    }
    const auto id = static_cast<int32_t>(m.lookups.keys[begin] - table.first_key);
    finish_run<kAligned, Weight>(
        table, m.plan, run, id, group.lanes, true, [&] { group.lanes.sync(); },
        [&](int first, float4(&quads)[kLaneQuads]) {
          sum_lookups<kAligned>(m, table.dim, begin, count, group.lanes, first, quads);
        });
  }
}

// A group of lanes a segment of a long run, in turns.
template <bool kAligned>
__global__ void __launch_bounds__(kThreads) segments_kernel(Merge m) {
  const MergeTable& table = item_of_block(m.tables, m.table_count);
  const Group group = group_of(table);
  const uint32_t used = m.long_runs.segments_used[table.index];
  const Segment* segments = m.long_runs.segments + table.index * m.long_runs.segment_capacity;
  for (int64_t s = group.index; s < used; s += group.step) {
    const Segment segment = segments[s];
    float* out = m.long_runs.sums + segment.slot * m.long_runs.stride;
    for (int first = 0; first < table.dim; first += pass_columns(group.lanes)) {
      float4 quads[kLaneQuads];
      sum_lookups<kAligned>(m, table.dim, segment.begin, segment.count, group.lanes, first, quads);
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) {
        // Whole quads: the stride has room for them.
        const int column = quad_column(group.lanes, first, q);
        if (column < table.dim) *reinterpret_cast<float4*>(out + column) = quads[q];
      }
    }
  }
}

// A block a long run, in turns: kStretches groups of lanes add up a part of its segments each.
template <bool kAligned, class Weight>
__global__ void __launch_bounds__(kThreads) finish_kernel(Merge m) {
  TT_SHARED(float4, parts, [kStretches][32 * kLaneQuads]);
  const MergeTable& table = item_of_block(m.tables, m.table_count);
  const Lanes lanes(table.lanes);
  const auto stretch = threadIdx.x / static_cast<uint32_t>(table.lanes);
  const uint32_t first_run = m.lookups.table_runs[table.index];
  const uint32_t used = m.long_runs.runs_used[table.index];
  for (int64_t r = blockIdx.x - table.first_block; r < used; r += table.blocks) {
    const LongRun run = m.long_runs.runs[table.index * m.long_runs.run_capacity + r];
    const uint32_t length = (run.segments + kStretches - 1) / kStretches;
    const uint32_t stretches = (run.segments + length - 1) / length;  // that are not empty
    const uint32_t key = m.lookups.keys[m.lookups.starts[first_run + run.run]];
    const auto sum_pass = [&](int first, float4(&quads)[kLaneQuads]) {
      if (stretch < stretches) {
        const uint32_t end = min(run.segments, (stretch + 1) * length);
        const float* sums = m.long_runs.sums + run.first_slot * m.long_runs.stride;
        float4 part[kLaneQuads] = {};
#pragma unroll 4
        for (uint32_t s = stretch * length; s < end; ++s) {
#pragma unroll
          for (int q = 0; q < kLaneQuads; ++q) {
            const int column = quad_column(lanes, first, q);
            if (column >= table.dim) continue;
            part[q] =
                part[q] + *reinterpret_cast<const float4*>(sums + s * m.long_runs.stride + column);
          }
        }
#pragma unroll
        for (int q = 0; q < kLaneQuads; ++q) {
          parts[stretch][q * lanes.width() + lanes.lane()] = part[q];
        }
      }
      __syncthreads();
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) {
        quads[q] = parts[0][q * lanes.width() + lanes.lane()];
        for (uint32_t p = 1; p < stretches; ++p) {
          quads[q] = quads[q] + parts[p][q * lanes.width() + lanes.lane()];
        }
      }
      __syncthreads();
    };
    finish_run<kAligned, Weight>(
        table, m.plan, run.run, static_cast<int32_t>(key - table.first_key), lanes, stretch == 0,
        [] { __syncthreads(); }, sum_pass);
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
    std::vector<MergeTable> tables;
    uint32_t blocks = 0;
    size_t place = 0;

    /// Enough blocks for `groups` groups of lanes, but no more than fill the device.
    void add(MergeTable table, int64_t groups, int64_t most_blocks) {
      const int64_t per_block = kThreads / table.lanes;
      table.first_block = blocks;
      table.blocks =
          static_cast<uint32_t>(std::min(most_blocks, (groups + per_block - 1) / per_block));
      blocks += table.blocks;
      tables.push_back(table);
    }
  };
  Part runs, long_runs;
};

std::vector<Launch> plan_launches(const Context& context, int64_t lookups,
                                  const std::vector<MergeTarget>& targets) {
  std::vector<Launch> launches;
  const int64_t most = int64_t{context.device.multiprocessors} * kBlocksPerMultiprocessor;
  for (const bool aligned : {false, true}) {
    for (const int32_t dtype : {TT_FLOAT32, TT_BFLOAT16}) {
      Launch launch{aligned, dtype, {}, {}};
      for (size_t t = 0; t < targets.size(); ++t) {
        const MergeTarget& target = targets[t];
        // What is only written out has no weights to read.
        const int32_t own_dtype = target.ids != nullptr ? TT_FLOAT32 : target.embedding.dtype;
        if (target.aligned != aligned || own_dtype != dtype || target.id_bound == 0) continue;
        const tt_embedding& e = target.embedding;
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
        launch.runs.add(table, std::min(target.id_bound, lookups), most);
        if (lookups > kSegment) launch.long_runs.add(table, most_segments(lookups), most);
      }
      if (launch.runs.blocks > 0) launches.push_back(std::move(launch));
    }
  }
  return launches;
}

LongRuns make_long_runs(Context& context, Scope& scope, int64_t lookups,
                        const std::vector<MergeTarget>& targets) {
  const auto tables = static_cast<int64_t>(targets.size());
  LongRuns all{};
  all.run_capacity = lookups / kSegment;
  all.segment_capacity = most_segments(lookups);
  for (const MergeTarget& t : targets) {
    all.stride = std::max(all.stride, (int64_t{t.embedding.dim} + 3) / 4 * 4);
  }
  auto* used = scope.get<uint32_t>(1 + 2 * tables);
  check(
      cudaMemsetAsync(used, 0, static_cast<size_t>(1 + 2 * tables) * sizeof *used, context.stream),
      kDoing);
  all.slots_used = used;
  all.segments_used = used + 1;
  all.runs_used = used + 1 + tables;
  all.segments = scope.get<Segment>(tables * all.segment_capacity);
  all.runs = scope.get<LongRun>(tables * all.run_capacity);
  all.sums = scope.get<float>(all.segment_capacity * all.stride);
  return all;
}

template <bool kAligned, class Weight>
void launch_all(Context& context, Merge m, const Launch& launch, const Staging& staging) {
  const dim3 block(kThreads);
  const auto use = [&](const Launch::Part& part) {
    m.tables = staging.at<MergeTable>(part.place);
    m.table_count = static_cast<int>(part.tables.size());
    return dim3(part.blocks);
  };
  dim3 grid = use(launch.runs);
  check(TT_LAUNCH((merge_kernel<kAligned, Weight>), grid, block, 0, context.stream, m), kDoing);
  if (launch.long_runs.blocks == 0) return;
  grid = use(launch.long_runs);
  check(TT_LAUNCH(segments_kernel<kAligned>, grid, block, 0, context.stream, m), kDoing);
  check(TT_LAUNCH((finish_kernel<kAligned, Weight>), grid, block, 0, context.stream, m), kDoing);
}

}  // namespace

void merge_runs(Context& context, Scope& scope, const SortedLookups& lookups, int64_t most,
                const GradientRows& rows, const std::vector<MergeTarget>& targets,
                const OptimizerPlan& plan) {
  if (most == 0) return;
  std::vector<Launch> launches = plan_launches(context, most, targets);
  Staging staging;
  for (Launch& launch : launches) {
    for (Launch::Part* part : {&launch.runs, &launch.long_runs})
      part->place = staging.add(part->tables);
  }
  staging.send(context, scope);
  const Merge m{nullptr, 0, lookups, rows, make_long_runs(context, scope, most, targets), plan};
  for (const Launch& launch : launches) {
    const auto run = [&](auto* kernels) { kernels(context, m, launch, staging); };
    if (launch.dtype == TT_FLOAT32) {
      run(launch.aligned ? launch_all<true, float> : launch_all<false, float>);
    } else {
      run(launch.aligned ? launch_all<true, uint16_t> : launch_all<false, uint16_t>);
    }
  }
}

}  // namespace tt::cuda
