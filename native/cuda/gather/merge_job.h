// What the kernels of a merge share: their argument, and the sum of some lookups.
#pragma once

#include "gather/merge.h"

namespace tt::cuda {

constexpr int kMergeThreads = 256;
constexpr int kSumBlock = 32;  // lookups that are added up before they join the total: accuracy
// Longer runs are cut into segments: a group of lanes adds their lookups one after the other, and a sum has to be kept for each.
constexpr int kSegment = 64;
constexpr const char* kMerging = "merging gradients";

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

/// Groups of lanes in a block; lanes is a power of 2.
__device__ __forceinline__ uint32_t groups_of(const MergeTable& table) {
  return static_cast<uint32_t>(kMergeThreads >> (__ffs(table.lanes) - 1));
}

}  // namespace tt::cuda
