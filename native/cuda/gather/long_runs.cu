// Any group of lanes may sum a segment of a long run; the sums are kept, and a block adds them in their order. Where a
// segment's sum is kept depends on who comes first, what is added to what does not.
#include "gather/long_runs.h"

#include <algorithm>

namespace tt::cuda {
namespace {

constexpr int kThreads = kMergeThreads;
constexpr int kInFlight = 8;                 // gradient rows that a lane loads before it adds them
constexpr int kMostStretches = 32;           // of a run's segments, added up apart
constexpr int kBlocksPerMultiprocessor = 2;  // what the device runs at once

/// The long runs' work of all tables, in pieces for a block each, numbered one table after the other: hosts know neither
/// how much there is nor in which table, and blocks for all that could be would mostly have nothing to do.
class LongWork {
 public:
  /// used: by table. each: items of a piece, by table. ends: shared [Tables::kMost]. By the whole block.
  template <class Each>
  __device__ __forceinline__ LongWork(const Tables& tables, const uint32_t* used, Each each,
                                      uint32_t* ends)
      : ends_(ends) {
    const auto t = static_cast<int>(threadIdx.x);
    if (t < tables.count) {
      const uint32_t size = each(tables.items[t]);
      ends[t] = (used[tables.items[t].index] + size - 1) / size;
    }
    __syncthreads();
    if (t == 0) {
      for (int other = 1; other < tables.count; ++other) ends[other] += ends[other - 1];
    }
    __syncthreads();
    pieces_ = ends[tables.count - 1];
  }

  __device__ __forceinline__ uint32_t pieces() const { return pieces_; }

  /// The table of a piece; piece becomes its number among the table's.
  __device__ __forceinline__ int table_of(uint32_t& piece) const {
    int t = 0;
    while (piece >= ends_[t]) ++t;
    if (t > 0) piece -= ends_[t - 1];
    return t;
  }

 private:
  const uint32_t* ends_;
  uint32_t pieces_;
};

// A group of lanes a segment of a long run.
template <bool kAligned>
__global__ void __launch_bounds__(kThreads) segments_kernel(Merge m) {
  TT_SHARED(uint32_t, ends, [Tables::kMost]);
  const LongWork work(m.tables, m.long_runs.segments_used, groups_of, ends);
  for (uint32_t piece = blockIdx.x; piece < work.pieces(); piece += gridDim.x) {
    uint32_t own = piece;
    const MergeTable table = m.tables.items[work.table_of(own)];
    const Lanes lanes(table.lanes);
    const uint32_t s = own * groups_of(table) + threadIdx.x / static_cast<uint32_t>(table.lanes);
    if (s >= m.long_runs.segments_used[table.index]) continue;
    const Segment segment = m.long_runs.segments[table.index * m.long_runs.segment_capacity + s];
    float* out = m.long_runs.sums + segment.slot * m.long_runs.stride;
    for (int first = 0; first < table.dim; first += pass_columns(lanes)) {
      float4 quads[kLaneQuads];
      sum_lookups<kAligned, kInFlight>(m, table.dim, segment.begin, segment.count, lanes, first,
                                       quads);
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) {
        // Whole quads: the stride has room for them.
        const int column = quad_column(lanes, first, q);
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

// A block a long run.
template <bool kAligned, class Weight>
__global__ void __launch_bounds__(kThreads) finish_kernel(Merge m) {
  TT_SHARED(float4, parts, [kThreads * kLaneQuads]);
  TT_SHARED(uint32_t, ends, [Tables::kMost]);
  const LongWork work(
      m.tables, m.long_runs.runs_used, [](const MergeTable&) { return 1u; }, ends);
  for (uint32_t piece = blockIdx.x; piece < work.pieces(); piece += gridDim.x) {
    uint32_t own = piece;
    const MergeTable table = m.tables.items[work.table_of(own)];
    const Lanes lanes(table.lanes);
    const auto group = threadIdx.x / static_cast<uint32_t>(table.lanes);
    const LongRun run = m.long_runs.runs[table.index * m.long_runs.run_capacity + own];
    const uint32_t first_run = m.lookups.table_runs[table.index];
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

template <bool kAligned, class Weight>
void launch_all(Context& context, const Merge& m) {
  const dim3 block(kThreads);
  const int64_t most = int64_t{context.device.multiprocessors} * kBlocksPerMultiprocessor;
  const dim3 grid(
      static_cast<unsigned>(std::min(most, m.long_runs.segment_capacity * m.tables.count)));
  check(TT_LAUNCH(segments_kernel<kAligned>, grid, block, 0, context.stream, m), kMerging);
  check(TT_LAUNCH((finish_kernel<kAligned, Weight>), grid, block, 0, context.stream, m), kMerging);
}

}  // namespace

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

void finish_long_runs(Context& context, const Merge& m, bool aligned, int32_t dtype) {
  if (m.long_runs.segment_capacity == 0) return;
  if (dtype == TT_FLOAT32) {
    aligned ? launch_all<true, float>(context, m) : launch_all<false, float>(context, m);
  } else {
    aligned ? launch_all<true, uint16_t>(context, m) : launch_all<false, uint16_t>(context, m);
  }
}

}  // namespace tt::cuda
