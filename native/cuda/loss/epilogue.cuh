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
      rows.key[r][half] = p.key_x[x];
      rows.sum[r][half] = 0.0f;
      rows.most[r][half] = -INFINITY;
      rows.addend[r][half] = rows.factor[r][half] = 0.0f;
      if constexpr (kMode == Mode::kGiven || kMode == Mode::kGivenBoth)
        rows.addend[r][half] = p.addend_x[x];
      if constexpr (kMode == Mode::kGivenSum || kMode == Mode::kGivenBoth)
        rows.factor[r][half] = p.factor_x[x];
    }
  }
}

// How weights are taken: what need not be looked at costs nothing.
enum class Way {
  kAll,      // every pair counts; kGiven: addend_y are zero
  kMasked,   // pairs of equal keys are left out; kGiven: addend_y are zero
  kGeneral,  // columns may be missing, too
};

// What a warp has to look for in a tile. Without ids, keys are positions: all tiles but those on the diagonal are spared
// a compare and a select for each pair, a third of the work beside the exponentials.
struct Rules {
  bool masked;     // a pair may be left out
  bool positives;  // a row meets its positive
};

template <Mode kMode, int kRowTiles, int kColumns>
__device__ __forceinline__ Rules rules_of(const RowData<kRowTiles>& rows,
                                          const ColumnData<kColumns>& data, int first_row) {
  constexpr unsigned kAll = 0xffffffffu;
  const int lane = static_cast<int>(ptx::lane_id()), warp_row = first_row - lane / 4;
  int least = 0x7fffffff, most = -0x7fffffff - 1;
  bool positive = false;
#pragma unroll
  for (int begin = 0; begin < kColumns; begin += 32) {
    const int column = begin + lane;
    if (kColumns % 32 != 0 && column >= kColumns) continue;
    const int key = data.key[column];
    least = key < least ? key : least;
    most = key > most ? key : most;
    if constexpr (kGradient<kMode>) {
      const int row = data.position[column] - warp_row;
      positive |= row >= 0 && row < 16 * kRowTiles;
    }
  }
  least = ptx::warp_min(least);
  most = ptx::warp_max(most);
  bool masked = false;
#pragma unroll
  for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
    for (int half = 0; half < 2; half++)
      masked |= rows.key[r][half] >= least && rows.key[r][half] <= most;
  }
  return Rules{__any_sync(kAll, masked) != 0, kGradient<kMode> && __any_sync(kAll, positive) != 0};
}

// Two neighbours of shared memory by one load, which the compiler does not dare.
template <class T>
__device__ __forceinline__ void load_two(T (&to)[2], const T* from) {
  const auto both = *reinterpret_cast<const uint2*>(from);
  memcpy(to, &both, sizeof both);
}

// Scores to weights e, but for kOnline: there to v. A pair that is left out: 0, or -infinity. kSum adds them up while they
// come: a tile's sum first, then the running one, in short chains of roundings.
template <Mode kMode, Way kWay, int kRowTiles, int kColumns>
__device__ __forceinline__ void take_weights(float (&s)[kRowTiles][kColumns / 8][4],
                                             RowData<kRowTiles>& rows,
                                             const ColumnData<kColumns>& data, float scale,
                                             int columns) {
  constexpr bool kAddends = kMode != Mode::kGiven || kWay == Way::kGeneral;
  const int t2 = static_cast<int>(ptx::lane_id()) % 4 * 2;
  float sums[kRowTiles][2][2] = {};  // of even and of odd columns
#pragma unroll
  for (int j = 0; j < kColumns / 8; j++) {
    const int first = j * 8 + t2;
    float addends[2] = {}, factors[2] = {};
    int keys[2] = {};
    if constexpr (kAddends) load_two(addends, &data.addend[first]);
    if constexpr (kGradient<kMode>) load_two(factors, &data.factor[first]);
    if constexpr (kWay != Way::kAll) load_two(keys, &data.key[first]);
#pragma unroll
    for (int i = 0; i < 2; i++) {
#pragma unroll
      for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float& e = s[r][j][2 * half + i];
          float v = fmaf(e, scale, kAddends ? addends[i] : rows.addend[r][half]);
          if constexpr (kMode == Mode::kOnline) {
            e = v;
          } else if constexpr (kMode == Mode::kSum) {
            e = ptx::exp2_approx(v);
          } else if constexpr (kMode == Mode::kGiven) {
            if constexpr (kAddends) v += rows.addend[r][half];
            e = ptx::exp2_approx(v) * factors[i];
          } else if constexpr (kMode == Mode::kGivenSum) {
            e = ptx::exp2_approx(v) * (rows.factor[r][half] + factors[i]);
          } else {
            const float by_x = fmaf(e, scale, rows.addend[r][half]);
            e = ptx::exp2_approx(by_x) * rows.factor[r][half] + ptx::exp2_approx(v) * factors[i];
          }
          if constexpr (kWay != Way::kAll) {
            const bool kept =
                (kWay != Way::kGeneral || first + i < columns) && keys[i] != rows.key[r][half];
            e = kept ? e : kMode == Mode::kOnline ? -INFINITY : 0.0f;
          }
          if constexpr (kMode == Mode::kSum) sums[r][half][i] += e;
        }
      }
    }
  }
  if constexpr (kMode == Mode::kSum) {
#pragma unroll
    for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
      for (int half = 0; half < 2; half++) rows.sum[r][half] += sums[r][half][0] + sums[r][half][1];
    }
  }
}

template <int kRowTiles, int kColumns>
__device__ __forceinline__ void put_positives(float (&s)[kRowTiles][kColumns / 8][4],
                                              const ColumnData<kColumns>& data, int columns,
                                              int first_row) {
  const int t2 = static_cast<int>(ptx::lane_id()) % 4 * 2;
#pragma unroll
  for (int j = 0; j < kColumns / 8; j++) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int column = j * 8 + t2 + i;
      const int row = column < columns ? data.position[column] - first_row : -1;
#pragma unroll
      for (int r = 0; r < kRowTiles; r++) {
#pragma unroll
        for (int half = 0; half < 2; half++)
          if (row == r * 16 + half * 8) s[r][j][2 * half + i] = data.positive[column];
      }
    }
  }
}

// Whether addend_y of kGiven are more than zeros.
template <Mode kMode>
__device__ __forceinline__ bool is_shifted(const Pass& p) {
  return kMode == Mode::kGiven && (p.shifted == nullptr || *p.shifted != 0);
}

// Scores to weights e, but for kOnline: there to v, -infinity where left out. columns: how many exist; first_row: the
// first of this thread's rows; shifted: is_shifted, the same in all tiles; rules: rules_of the tile.
template <Mode kMode, int kRowTiles, int kColumns>
__device__ __forceinline__ void weigh(float (&s)[kRowTiles][kColumns / 8][4],
                                      RowData<kRowTiles>& rows, const ColumnData<kColumns>& data,
                                      const Rules& rules, float scale, int columns, int first_row,
                                      bool shifted) {
  if (shifted || columns < kColumns) {
    take_weights<kMode, Way::kGeneral>(s, rows, data, scale, columns);
  } else if (rules.masked) {
    take_weights<kMode, Way::kMasked>(s, rows, data, scale, columns);
  } else {
    take_weights<kMode, Way::kAll>(s, rows, data, scale, columns);
  }
  if constexpr (kGradient<kMode>)
    if (rules.positives) put_positives(s, data, columns, first_row);
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

// Of kOnline, whose weights come only once the maximum is known; as kSum adds them.
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
