// Groups of lanes that work on one row together, and how they share its columns.
#pragma once

#include <cstdint>

#include "device.h"

namespace tt::cuda {

/// Neighbouring lanes of a warp, a power of two of them. Groups of one warp go their own ways; all lanes
/// of a group call its functions together.
class Lanes {
 public:
  __device__ __forceinline__ explicit Lanes(int width)
      : width_(width), lane_(static_cast<int>(threadIdx.x) & (width - 1)) {
    first_ = (static_cast<int>(threadIdx.x) & 31) - lane_;
    mask_ = (width == 32 ? 0xFFFFFFFFu : (1u << width) - 1u) << first_;
  }

  __device__ __forceinline__ int width() const { return width_; }
  __device__ __forceinline__ int lane() const { return lane_; }

  /// Bit j: the predicate of lane j.
  __device__ __forceinline__ unsigned ballot(bool predicate) const {
    return __ballot_sync(mask_, predicate ? 1 : 0) >> first_;
  }
  /// The value of another lane of the group.
  template <class T>
  __device__ __forceinline__ T from(T value, int lane) const {
    return __shfl_sync(mask_, value, lane, width_);
  }
  __device__ __forceinline__ void sync() const { __syncwarp(mask_); }

  /// The sum over the lanes up to and with this one.
  __device__ __forceinline__ int inclusive_sum(int value) const {
    for (int step = 1; step < width_; step *= 2) {
      const int before = __shfl_up_sync(mask_, value, static_cast<unsigned>(step), width_);
      if (lane_ >= step) value += before;
    }
    return value;
  }
  /// The sum over all lanes, the same in each, in an order that depends on the width alone.
  __device__ __forceinline__ float sum(float value) const {
    for (int step = 1; step < width_; step *= 2) {
      value = __fadd_rn(value, __shfl_xor_sync(mask_, value, step, width_));
    }
    return value;
  }

 private:
  int width_, lane_, first_;
  unsigned mask_;
};

/// A row's columns in fours. A lane has kLaneQuads of them at a time; lane j of a group has quads j,
/// j + width, ... behind the first one of the pass. Aligned or not, a column belongs to the same lane.
constexpr int kLaneQuads = 2;

/// Lanes for a row of `dim` columns: as few as hold it in one pass, and 4 to have several rows in flight.
inline int lanes_for(int32_t dim) {
  const int64_t wanted = (int64_t{dim} + 4 * kLaneQuads - 1) / (4 * kLaneQuads);
  int lanes = 4;
  while (lanes < wanted && lanes < 32) lanes *= 2;
  return lanes;
}

/// The first of the four columns of the lane's quad q in the pass that begins at column `first`.
__device__ __forceinline__ int quad_column(const Lanes& lanes, int first, int q) {
  return first + 4 * (q * lanes.width() + lanes.lane());
}
__device__ __forceinline__ int pass_columns(const Lanes& lanes) {
  return 4 * kLaneQuads * lanes.width();
}

__device__ __forceinline__ float widen(uint16_t half) {
  return __uint_as_float(static_cast<unsigned>(half) << 16);
}

/// Columns [column, column + 4) of a row; those behind dim are 0. kAligned: the row begins at a multiple of
/// four elements and dim is one.
template <bool kAligned>
__device__ __forceinline__ float4 load_quad(const float* row, int column, int dim) {
  float4 quad = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (kAligned) {
    if (column < dim) quad = *reinterpret_cast<const float4*>(row + column);
    return quad;
  }
  if (column < dim) quad.x = row[column];
  if (column + 1 < dim) quad.y = row[column + 1];
  if (column + 2 < dim) quad.z = row[column + 2];
  if (column + 3 < dim) quad.w = row[column + 3];
  return quad;
}

template <bool kAligned>
__device__ __forceinline__ float4 load_quad(const uint16_t* row, int column, int dim) {
  float4 quad = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  if (kAligned) {
    if (column >= dim) return quad;
    const uint2 bits = *reinterpret_cast<const uint2*>(row + column);
    quad.x = __uint_as_float(bits.x << 16);
    quad.y = __uint_as_float(bits.x & 0xFFFF0000u);
    quad.z = __uint_as_float(bits.y << 16);
    quad.w = __uint_as_float(bits.y & 0xFFFF0000u);
    return quad;
  }
  if (column < dim) quad.x = widen(row[column]);
  if (column + 1 < dim) quad.y = widen(row[column + 1]);
  if (column + 2 < dim) quad.z = widen(row[column + 2]);
  if (column + 3 < dim) quad.w = widen(row[column + 3]);
  return quad;
}

template <bool kAligned>
__device__ __forceinline__ void store_quad(float4 quad, float* row, int column, int dim) {
  if (kAligned) {
    if (column < dim) *reinterpret_cast<float4*>(row + column) = quad;
    return;
  }
  if (column < dim) row[column] = quad.x;
  if (column + 1 < dim) row[column + 1] = quad.y;
  if (column + 2 < dim) row[column + 2] = quad.z;
  if (column + 3 < dim) row[column + 3] = quad.w;
}

/// Sums and products that are rounded each: the same bits wherever they are inlined.
__device__ __forceinline__ float4 operator+(float4 a, float4 b) {
  return make_float4(__fadd_rn(a.x, b.x), __fadd_rn(a.y, b.y), __fadd_rn(a.z, b.z),
                     __fadd_rn(a.w, b.w));
}
__device__ __forceinline__ float4 operator*(float scale, float4 a) {
  return make_float4(__fmul_rn(scale, a.x), __fmul_rn(scale, a.y), __fmul_rn(scale, a.z),
                     __fmul_rn(scale, a.w));
}

}  // namespace tt::cuda
