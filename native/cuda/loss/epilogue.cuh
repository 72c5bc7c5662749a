// What is done to scores while they are in registers, as accumulators of mma.m16n8: weights, sums, maxima, and
// where they and the products go. Both tensor-core engines share it.
#pragma once

#include "loss/pass.h"

namespace tt::cuda::loss {

__device__ __forceinline__ const __nv_bfloat16* packed(const void* rows) {
  return static_cast<const __nv_bfloat16*>(rows);
}

// What belongs to the columns of a moving tile.
template <int kColumns>
struct ColumnData {
  float addend[kColumns];
  float factor[kColumns];
  int key[kColumns];
  int position[kColumns];
  float positive[kColumns];
};

// What belongs to the rows g and g + 8 of each of a thread's row tiles.
template <int kRowTiles>
struct RowData {
  float addend[kRowTiles][2], factor[kRowTiles][2];
  int key[kRowTiles][2];
  float sum[kRowTiles][2], most[kRowTiles][2];
};

template <Mode kMode, int kRowTiles>
__device__ __forceinline__ void load_rows(RowData<kRowTiles>& rows, const Pass& p, int first) {
#pragma unroll
  for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = first + r * 16 + half * 8, x = row < p.nx ? row : p.nx - 1;
      rows.addend[r][half] = p.addend_x[x];
      rows.key[r][half] = p.key_x[x];
      rows.sum[r][half] = 0.0f;
      rows.most[r][half] = -INFINITY;
      rows.factor[r][half] = 0.0f;
      if constexpr (kMode == Mode::kGiven || kMode == Mode::kGivenBoth)
        rows.factor[r][half] = p.factor_x[x];
    }
  }
}

// The weight of a pair that is left out: not 0 for a row and its positive.
template <int kColumns>
__device__ __forceinline__ float left_out(const ColumnData<kColumns>& data, int column, bool exists,
                                          int row) {
  return exists && data.position[column] == row ? data.positive[column] : 0.0f;
}

// Scores to weights e, but for kOnline: there to v, -infinity where left out. columns: how many exist.
template <Mode kMode, int kRowTiles, int kColumns>
__device__ __forceinline__ void weigh(float (&s)[kRowTiles][kColumns / 8][4],
                                      RowData<kRowTiles>& rows, const ColumnData<kColumns>& data,
                                      float scale, int columns, int first_row) {
  const int t2 = static_cast<int>(ptx::lane_id()) % 4 * 2;
#pragma unroll
  for (int j = 0; j < kColumns / 8; j++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int column = j * 8 + t2 + i;
      const float addend = data.addend[column];
      const int key = data.key[column];
      const bool exists = column < columns;
#pragma unroll
      for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float& e = s[r][j][2 * half + i];
          const bool kept = exists && key != rows.key[r][half];
          if constexpr (kMode == Mode::kGivenBoth) {
            const float by_x = fmaf(e, scale, rows.addend[r][half]), by_y = fmaf(e, scale, addend);
            e = ptx::exp2_approx(by_x) * rows.factor[r][half] +
                ptx::exp2_approx(by_y) * data.factor[column];
            e = kept ? e : left_out(data, column, exists, first_row + r * 16 + half * 8);
          } else {
            const float v = fmaf(e, scale, addend) + rows.addend[r][half];
            if constexpr (kMode == Mode::kOnline) {
              e = kept ? v : -INFINITY;
            } else {
              e = kept ? ptx::exp2_approx(v) : 0.0f;
              if constexpr (kMode == Mode::kGiven) {
                e *= rows.factor[r][half] + data.factor[column];
                e = kept ? e : left_out(data, column, exists, first_row + r * 16 + half * 8);
              }
            }
          }
        }
      }
    }
  }
}

// Moves the maxima of the rows up to those of this tile, with what has been summed, and takes exp2.
template <int kRowTiles, int kColumns, int kWidth>
__device__ __forceinline__ void follow_maximum(float (&s)[kRowTiles][kColumns / 8][4],
                                               float (&u)[kRowTiles][kWidth / 8][4],
                                               RowData<kRowTiles>& rows) {
#pragma unroll
  for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float most = rows.most[r][half];
#pragma unroll
      for (int j = 0; j < kColumns / 8; j++)
        most = fmaxf(most, fmaxf(s[r][j][2 * half], s[r][j][2 * half + 1]));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 1));
      most = fmaxf(most, __shfl_xor_sync(0xffffffffu, most, 2));
      const float shift = most == -INFINITY ? 0.0f : most;
      const float factor = ptx::exp2_approx(rows.most[r][half] - shift);
      rows.most[r][half] = most;
      rows.sum[r][half] *= factor;
#pragma unroll
      for (int k = 0; k < kWidth / 8; k++) {
        u[r][k][2 * half] *= factor;
        u[r][k][2 * half + 1] *= factor;
      }
#pragma unroll
      for (int j = 0; j < kColumns / 8; j++) {
        s[r][j][2 * half] = ptx::exp2_approx(s[r][j][2 * half] - shift);
        s[r][j][2 * half + 1] = ptx::exp2_approx(s[r][j][2 * half + 1] - shift);
      }
    }
  }
}

// A tile's sum first, then the running one: short chains of roundings.
template <int kRowTiles, int kColumns>
__device__ __forceinline__ void add_sums(RowData<kRowTiles>& rows,
                                         const float (&e)[kRowTiles][kColumns / 8][4]) {
#pragma unroll
  for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float even = 0.0f, odd = 0.0f;
#pragma unroll
      for (int j = 0; j < kColumns / 8; j++) {
        even += e[r][j][2 * half];
        odd += e[r][j][2 * half + 1];
      }
      rows.sum[r][half] += even + odd;
    }
  }
}

template <Mode kMode, int kRowTiles, int kWidth>
__device__ __forceinline__ void store(const Pass& p, RowData<kRowTiles>& rows,
                                      const float (&u)[kRowTiles][kWidth / 8][4], int first) {
  const int t = static_cast<int>(ptx::lane_id()) % 4;
#pragma unroll
  for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float sum = rows.sum[r][half];
      sum += __shfl_xor_sync(0xffffffffu, sum, 1);
      sum += __shfl_xor_sync(0xffffffffu, sum, 2);
      const int row = first + r * 16 + half * 8;
      const size_t out = static_cast<size_t>(blockIdx.y) * p.nx + row;
      if (row < p.nx) {
        if constexpr (kMode == Mode::kSum || kMode == Mode::kOnline)
          if (t == 0) p.sums[out] = sum;
        if constexpr (kMode == Mode::kOnline)
          if (t == 0) p.maxima[out] = rows.most[r][half];
        if (p.products != nullptr) {
#pragma unroll
          for (int k = 0; k < kWidth / 8; k++)
            *reinterpret_cast<float2*>(p.products + out * kWidth + k * 8 + 2 * t) =
                make_float2(u[r][k][2 * half], u[r][k][2 * half + 1]);
        }
      }
    }
  }
}

}  // namespace tt::cuda::loss
