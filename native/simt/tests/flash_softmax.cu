#include "flash_softmax.h"

namespace flash {

namespace {

constexpr int kTile = 64;      // queries of a block, candidates of a step
constexpr int kThreads = 128;  // four warps of 16 queries
constexpr float kLog2E = 1.4426950408889634f;

template <int kDim>
struct Layout {
  static constexpr int kStride = kDim + 8;  // 16 bytes of padding: ldmatrix without bank conflicts
  static constexpr int kTileElements = kTile * kStride;
  // queries, two buffers of candidates, two of log2 q
  static constexpr int kBytes = 3 * kTileElements * 2 + 2 * kTile * 4;
};

// Rows first .. first + kTile of a [rows, kDim] matrix; beyond its end zeros.
template <int kDim>
__device__ void load_tile(__nv_bfloat16* tile, const __nv_bfloat16* matrix, int first, int rows) {
  constexpr int kChunks = kDim / 8;  // of 16 bytes in a row
  for (int i = threadIdx.x; i < kTile * kChunks; i += kThreads) {
    const int row = i / kChunks, chunk = i % kChunks;
    const bool valid = first + row < rows;
    const __nv_bfloat16* from =
        matrix + static_cast<size_t>(valid ? first + row : 0) * kDim + chunk * 8;
    ptx::cp_async<16>(tile + row * Layout<kDim>::kStride + chunk * 8, from, valid);
  }
}

// The bias of a candidate in base 2; one that does not exist gets weight 0.
__device__ void load_bias(float* bias, const float* log_q, int first, int m) {
  for (int i = threadIdx.x; i < kTile; i += kThreads)
    bias[i] = first + i < m ? -kLog2E * log_q[first + i] : -INFINITY;
}

// S = Q C^T for a warp's 16 queries and a tile of candidates.
template <int kDim>
__device__ void multiply_scores(float (&s)[kTile / 8][4], const uint32_t (&q)[kDim / 16][4],
                                const __nv_bfloat16* tile) {
  const int lane = ptx::lane_id();
  const int row = lane % 8 + lane / 16 * 8, col = lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < kDim / 16; k++) {
#pragma unroll
    for (int j = 0; j < kTile / 8; j += 2) {
      uint32_t b[4];
      ptx::ldmatrix_x4(b, tile + (j * 8 + row) * Layout<kDim>::kStride + k * 16 + col);
      ptx::mma_m16n8k16_bf16(s[j], q[k], {b[0], b[1]});
      ptx::mma_m16n8k16_bf16(s[j + 1], q[k], {b[2], b[3]});
    }
  }
}

// U += E C: the accumulators of S are laid out as the A operand already.
template <int kDim>
__device__ void accumulate(float (&u)[kDim / 8][4], const float (&e)[kTile / 8][4],
                           const __nv_bfloat16* tile) {
  const int lane = ptx::lane_id();
#pragma unroll
  for (int j = 0; j < kTile / 16; j++) {
    const uint32_t a[4] = {ptx::pack_bf16(e[2 * j][0], e[2 * j][1]),
                           ptx::pack_bf16(e[2 * j][2], e[2 * j][3]),
                           ptx::pack_bf16(e[2 * j + 1][0], e[2 * j + 1][1]),
                           ptx::pack_bf16(e[2 * j + 1][2], e[2 * j + 1][3])};
#pragma unroll
    for (int d = 0; d < kDim / 8; d += 2) {
      uint32_t b[4];
      ptx::ldmatrix_x4_trans(
          b, tile + (j * 16 + lane % 16) * Layout<kDim>::kStride + d * 8 + lane / 16 * 8);
      ptx::mma_m16n8k16_bf16(u[d], a, {b[0], b[1]});
      ptx::mma_m16n8k16_bf16(u[d + 1], a, {b[2], b[3]});
    }
  }
}

template <int kDim, Bug kBug>
__global__ void __launch_bounds__(kThreads) flash_softmax(Problem p) {
  TT_DYN_SHARED(__nv_bfloat16, queries);
  __nv_bfloat16* candidates = queries + Layout<kDim>::kTileElements;
  float* bias = reinterpret_cast<float*>(queries + 3 * Layout<kDim>::kTileElements);
  const int lane = ptx::lane_id(), warp = threadIdx.x / 32, first_row = blockIdx.x * kTile;
  // Unit rows bound the scores, so a constant takes the place of the running maximum.
  const float scale = p.inverse_temperature * kLog2E;

  load_tile<kDim>(queries, p.queries, first_row, p.n);
  load_tile<kDim>(candidates, p.candidates, 0, p.m);
  load_bias(bias, p.log_q, 0, p.m);
  ptx::cp_async_commit();

  float u[kDim / 8][4] = {}, z[2] = {0.0f, 0.0f};
  uint32_t q[kDim / 16][4];
  const int steps = (p.m + kTile - 1) / kTile;
  for (int step = 0; step < steps; step++) {
    const int buffer = step % 2, next = 1 - buffer;
    if (step + 1 < steps) {
      load_tile<kDim>(candidates + next * Layout<kDim>::kTileElements, p.candidates,
                      (step + 1) * kTile, p.m);
      load_bias(bias + next * kTile, p.log_q, (step + 1) * kTile, p.m);
    }
    ptx::cp_async_commit();
    ptx::cp_async_wait<kBug == Bug::kNoCopyWait ? 2 : 1>();
    if (kBug != Bug::kNoBarrierAfterCopy) __syncthreads();

    if (step == 0) {
#pragma unroll
      for (int k = 0; k < kDim / 16; k++)
        ptx::ldmatrix_x4(q[k], queries + (warp * 16 + lane % 16) * Layout<kDim>::kStride + k * 16 +
                                   lane / 16 * 8);
    }
    const __nv_bfloat16* tile = candidates + buffer * Layout<kDim>::kTileElements;
    float s[kTile / 8][4] = {};
    multiply_scores<kDim>(s, q, tile);
#pragma unroll
    for (int j = 0; j < kTile / 8; j++) {
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int column = j * 8 + lane % 4 * 2 + i % 2;
        s[j][i] = ptx::exp2_approx(fmaf(s[j][i], scale, bias[buffer * kTile + column] - scale));
        z[i / 2] += s[j][i];
      }
    }
    accumulate<kDim>(u, s, tile);
    if (kBug != Bug::kNoBarrierBeforeReuse) __syncthreads();
  }
  ptx::cp_async_wait<0>();

#pragma unroll
  for (int half = 0; half < 2; half++) {
    z[half] += __shfl_xor_sync(0xffffffffu, z[half], 1);
    z[half] += __shfl_xor_sync(0xffffffffu, z[half], 2);
    const int row = first_row + warp * 16 + lane / 4 + 8 * half;
    if (row >= p.n + (kBug == Bug::kRowTooMany ? 1 : 0)) continue;
    if (lane % 4 == 0) p.log_sum[row] = (log2f(z[half]) + scale) / kLog2E;
#pragma unroll
    for (int d = 0; d < kDim / 8; d++) {
      float* out = p.mean + static_cast<size_t>(row) * kDim + d * 8 + lane % 4 * 2;
      *reinterpret_cast<float2*>(out) =
          make_float2(u[d][2 * half] / z[half], u[d][2 * half + 1] / z[half]);
    }
  }
}

template <int kDim, Bug kBug>
cudaError_t launch(const Problem& p, cudaStream_t stream) {
  return TT_LAUNCH((flash_softmax<kDim, kBug>), (p.n + kTile - 1) / kTile, kThreads,
                   Layout<kDim>::kBytes, stream, p);
}

template <int kDim>
cudaError_t launch(const Problem& p, Bug bug, cudaStream_t stream) {
  switch (bug) {
    case Bug::kNone:
      return launch<kDim, Bug::kNone>(p, stream);
#if TT_SIMT  // nobody plants bugs on a GPU
    case Bug::kNoCopyWait:
      return launch<kDim, Bug::kNoCopyWait>(p, stream);
    case Bug::kNoBarrierAfterCopy:
      return launch<kDim, Bug::kNoBarrierAfterCopy>(p, stream);
    case Bug::kNoBarrierBeforeReuse:
      return launch<kDim, Bug::kNoBarrierBeforeReuse>(p, stream);
    case Bug::kRowTooMany:
      return launch<kDim, Bug::kRowTooMany>(p, stream);
#endif
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace

cudaError_t run(const Problem& p, Bug bug, cudaStream_t stream) {
  if (p.n <= 0 || p.m <= 0) return cudaErrorInvalidValue;
  return p.d == 64    ? launch<64>(p, bug, stream)
         : p.d == 128 ? launch<128>(p, bug, stream)
                      : cudaErrorInvalidValue;
}

}  // namespace flash
