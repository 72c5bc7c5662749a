// Products of float32 matrices: one tile of the result a block, in shared memory by slices of the depth and in
// registers by 8 x 8 results a thread.
//
// Every result is one chain of fused multiply-adds over ascending depth, wherever it stands in a tile and whatever
// the tile's size, so that equal rows have equal results.
#pragma once

#include <cstdint>

#include "context.h"

namespace tt::cuda {

constexpr int kTileDepth = 8;    // of a slice
constexpr int kThreadTile = 8;   // rows and columns of a thread
constexpr int kTilePadding = 4;  // floats between the depths of a slice, against bank conflicts

inline bool is_aligned(const void* p) {
  return reinterpret_cast<uintptr_t>(p) % 16 == 0;
}

/// A matrix [rows, depth] in device memory. kAlongDepth: (r, k) lies at [r * stride + k], else at [k * stride + r].
template <bool kAlong>
struct Operand {
  static constexpr bool kAlongDepth = kAlong;
  const float* values;
  int64_t rows, depth, stride;
  bool quads;  // may be read by fours

  static Operand make(const float* values, int64_t rows, int64_t depth) {
    const int64_t stride = kAlong ? depth : rows;
    return Operand{values, rows, depth, stride, is_aligned(values) && stride % 4 == 0};
  }

  /// Four neighbours in memory from (r, k) on; 0 outside of the matrix and from depth `end` on.
  __device__ __forceinline__ float4 quad(int64_t r, int64_t k, int64_t end) const {
    float4 q = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (r >= rows || k >= end) return q;
    const float* p = values + (kAlong ? r * stride + k : k * stride + r);
    const int64_t left = kAlong ? end - k : rows - r;
    if (quads && left >= 4) return *reinterpret_cast<const float4*>(p);
    q.x = p[0];
    if (left > 1) q.y = p[1];
    if (left > 2) q.z = p[2];
    if (left > 3) q.w = p[3];
    return q;
  }
};

/// Gradients that the ReLU let through: those whose output is positive.
template <bool kAlong>
struct MaskedOperand {
  static constexpr bool kAlongDepth = kAlong;
  Operand<kAlong> gradients, outputs;  // outputs.values NULL: all

  __device__ __forceinline__ float4 quad(int64_t r, int64_t k, int64_t end) const {
    float4 g = gradients.quad(r, k, end);
    if (outputs.values == nullptr) return g;
    const float4 y = outputs.quad(r, k, end);
    g.x = y.x > 0.0f ? g.x : 0.0f;
    g.y = y.y > 0.0f ? g.y : 0.0f;
    g.z = y.z > 0.0f ? g.z : 0.0f;
    g.w = y.w > 0.0f ? g.w : 0.0f;
    return g;
  }
};

/// A slice of an operand on its way to shared memory: kRows x kTileDepth, some quads a thread.
template <class Source, int kRows, int kThreads>
struct Slice {
  static constexpr int kQuads = kRows * kTileDepth / 4 / kThreads;
  static constexpr int kStride = kRows + kTilePadding;
  static constexpr int kFloats = kTileDepth * kStride;
  static_assert(kQuads * 4 * kThreads == kRows * kTileDepth, "no thread is idle");
  float4 quads[kQuads];

  static __device__ __forceinline__ int row_of(int q) {
    const int i = q * kThreads + static_cast<int>(threadIdx.x);
    return Source::kAlongDepth ? i / (kTileDepth / 4) : 4 * (i % (kRows / 4));
  }
  static __device__ __forceinline__ int depth_of(int q) {
    const int i = q * kThreads + static_cast<int>(threadIdx.x);
    return Source::kAlongDepth ? 4 * (i % (kTileDepth / 4)) : i / (kRows / 4);
  }

  __device__ __forceinline__ void load(const Source& source, int64_t row, int64_t k, int64_t end) {
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      quads[q] = source.quad(row + row_of(q), k + depth_of(q), end);
    }
  }

  __device__ __forceinline__ void store(float* shared) const {  // [kTileDepth][kStride]
#pragma unroll
    for (int q = 0; q < kQuads; ++q) {
      float* p = shared + depth_of(q) * kStride + row_of(q);
      if (Source::kAlongDepth) {
        p[0] = quads[q].x;
        p[kStride] = quads[q].y;
        p[2 * kStride] = quads[q].z;
        p[3 * kStride] = quads[q].w;
      } else {
        *reinterpret_cast<float4*>(p) = quads[q];
      }
    }
  }
};

/// A block's tile of the product a b^T: kRows of a, kColumns of b. kPairs: a warp has 4 x 8 threads of the tile's, lanes 1
/// apart the same rows, lanes 2 apart the same columns. Then 16 bytes for each lane take shared memory two cycles, which
/// without such pairs are four; but small kernels take more registers.
template <class A, class B, int kRows, int kColumns, bool kPairs = false>
struct Product {
  static constexpr int kThreads = kRows * kColumns / (kThreadTile * kThreadTile);
  using SliceA = Slice<A, kRows, kThreads>;
  using SliceB = Slice<B, kColumns, kThreads>;
  static constexpr int kSharedFloats = 2 * (SliceA::kFloats + SliceB::kFloats);

  /// The row, or column, of the tile that is the thread's i-th: two groups of four.
  static __device__ __forceinline__ int row_of(int i) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
    const int y = kPairs ? thread / 32 / kWarps * 4 + ((lane >> 1 & 1) | (lane >> 3 & 2))
                         : thread / (kColumns / kThreadTile);
    return i / 4 * (kRows / 2) + 4 * y + i % 4;
  }
  static __device__ __forceinline__ int column_of(int j) {
    const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
    const int x = kPairs ? thread / 32 % kWarps * 8 + ((lane & 1) | (lane >> 1 & 6))
                         : thread % (kColumns / kThreadTile);
    return j / 4 * (kColumns / 2) + 4 * x + j % 4;
  }

  static __device__ __forceinline__ void clear(float (&sums)[kThreadTile][kThreadTile]) {
#pragma unroll
    for (int i = 0; i < kThreadTile; ++i) {
#pragma unroll
      for (int j = 0; j < kThreadTile; ++j) sums[i][j] = 0.0f;
    }
  }

  /// Adds the products of one slice: a's, and b's behind it.
  static __device__ __forceinline__ void add_slice(const float* slice,
                                                   float (&sums)[kThreadTile][kThreadTile]) {
    add(slice + row_of(0), slice + SliceA::kFloats + column_of(0), sums);
  }

  /// sums[i][j]: the sum over depths [begin, end) for rows row + row_of(i) and column + column_of(j); 0 outside of
  /// the operands. All threads of the block together; shared: [kSharedFloats], 16-byte aligned, synchronised before use.
  static __device__ __forceinline__ void run(const A& a, const B& b, int64_t row, int64_t column,
                                             int64_t begin, int64_t end, float* shared,
                                             float (&sums)[kThreadTile][kThreadTile]) {
    clear(sums);
    SliceA next_a;
    SliceB next_b;
    next_a.load(a, row, begin, end);
    next_b.load(b, column, begin, end);
    constexpr int kBuffer = SliceA::kFloats + SliceB::kFloats;
    float* buffer = shared;
    __syncthreads();  // whoever used the memory before
    for (int64_t k = begin; k < end; k += kTileDepth) {
      next_a.store(buffer);
      next_b.store(buffer + SliceA::kFloats);
      __syncthreads();
      if (k + kTileDepth < end) {
        next_a.load(a, row, k + kTileDepth, end);
        next_b.load(b, column, k + kTileDepth, end);
      }
      add_slice(buffer, sums);
      buffer = buffer == shared ? shared + kBuffer : shared;
    }
  }

 private:
  static constexpr int kWarps = kColumns / kThreadTile / 8;  // beside each other
  static_assert(!kPairs || (kRows / kThreadTile % 4 == 0 && kWarps * 8 * kThreadTile == kColumns),
                "whole warps");

  static __device__ __forceinline__ void add(const float* a, const float* b,
                                             float (&sums)[kThreadTile][kThreadTile]) {
#pragma unroll
    for (int k = 0; k < kTileDepth; ++k) {
      float rows[kThreadTile], columns[kThreadTile];
      take(a + k * SliceA::kStride, kRows / 2, rows);
      take(b + k * SliceB::kStride, kColumns / 2, columns);
#pragma unroll
      for (int i = 0; i < kThreadTile; ++i) {
#pragma unroll
        for (int j = 0; j < kThreadTile; ++j) {
          sums[i][j] = __fmaf_rn(rows[i], columns[j], sums[i][j]);
        }
      }
    }
  }

  static __device__ __forceinline__ void take(const float* p, int second,
                                              float (&values)[kThreadTile]) {
    const float4 low = *reinterpret_cast<const float4*>(p);
    const float4 high = *reinterpret_cast<const float4*>(p + second);
    values[0] = low.x;
    values[1] = low.y;
    values[2] = low.z;
    values[3] = low.w;
    values[4] = high.x;
    values[5] = high.y;
    values[6] = high.z;
    values[7] = high.w;
  }
};

}  // namespace tt::cuda
