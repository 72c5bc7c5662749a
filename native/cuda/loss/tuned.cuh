// The tensor-core pass of the fused losses for sm_80 and up: mma.sync m16n8k16, ldmatrix, cp.async.
//
// Stationary tile X of kRows rows, moving tiles Y of kColumns rows, double buffered. A warp owns
// 16 kRowTiles rows of X: S = X Y^T, e = exp2 of it, products += E Y, where E goes from the accumulators
// of the first product to the A operand of the second without leaving registers (the layouts agree,
// ptx.h). The same kernel does both gradients: queries stationary, candidates moving for U; the other way
// round for the candidates. Nothing of size n m is stored and nothing is added atomically.
//
// Constant bound. Unit rows bound v, so a shift that centres its range replaces the running maximum as
// long as 2 / tau + range(log q) stays below 208 log 2 = 144 (then all of 2^v and their sums over 2^20
// columns are floats); beyond that kOnline keeps a maximum. Masks are a compare and a select on the
// score; a masked pair is never added and never subtracted. The positive is masked, too: whoever finishes
// the row adds its term, so that 1 - p(positive) is exact where p is near 1, and the gradient passes put
// the positive's whole weight, minus that of all negatives, in its place (Pass::positive_y).
//
// Precision. parts = 1: operands and E in bfloat16. parts = 3: every float is the sum of three bfloat16
// numbers (24 bits), a product is the six products of parts a, b with a + b < 3, error about 2^-24;
// that is as fast as tf32 in three terms, and ldmatrix and the register hand-over work as they are.
// Two parts (2^-17) would miss the float32 tests at small tau.
//
// Work of a pair of rows: 4 d flops (times 6) and one exp2. Of one warp, per 16 columns of S and k = 16:
// 2 kRowTiles mma of 2 clocks of a multiprocessor (A100: 1024 FMA a clock) against one ldmatrix.x4 of Y, 4
// clocks of shared memory, and kRowTiles of X for all columns of the tile; the second product has one of Y for as much.
// With kRowTiles = 1 shared memory is as busy as the tensor cores, with 2 half as much and what X takes; hence 2 wherever
// registers allow, X kept in registers at width 64, and many columns in a tile above. Registers of a thread: accumulators
// kRowTiles width / 2, scores kRowTiles kColumns / 2, kept rows of X kRowTiles width / 4, operands about 40 (registers as
// compiled for sm_90 in mode kSum):
//
//   parts width  rows x columns  accumulators + scores + X   shared memory  blocks a multiprocessor (164 KB)
//     1     32      128 x 64           32 + 64                   23 KiB      3 (168 registers)
//     1     64      128 x 64           64 + 64 + 32              39 KiB      2 (230)
//     1     96      128 x 64           96 + 64                   55 KiB      2 (255)
//     1    128      128 x 48          128 + 48                   61 KiB      2 (255)
//     1    256       64 x 32          128 + 16                   67 KiB      2 (241)
//     3     32      128 x 32           32 + 32                   46 KiB      2 (219)
//     3     64      128 x 16           64 + 16                   68 KiB      2 (227)
//     3     96       64 x 16           48 +  8                   59 KiB      2 (192)
//     3    128       64 x 16           64 +  8                   77 KiB      2 (239)
//     3    256       64 x 16          128 +  8                  149 KiB      1
//
// Prediction: mma.sync reaches about 60-65 % of a Hopper's dense rate and nearly all of an Ampere's; at
// width 64 the exponentials (16 a clock) take 0.37 of the tensor time of one pass and overlap only
// between warps. So about 45 % of the 8 n m d floor on H200 and 70 % on A100. No GPU has confirmed it.
#pragma once

#include "loss/epilogue.cuh"
#include "loss/tuned.h"

namespace tt::cuda::loss::tuned {

constexpr int kWarps = 4;
constexpr int kThreads = 32 * kWarps;

// kMostColumns: fewer where a mode has no registers for more.
template <int kWidth, int kParts, int kMostColumns = 64>
struct Shape {
  static constexpr int kRowTiles = kWidth <= (kParts == 1 ? 128 : 64) ? 2 : 1;
  static constexpr int kRows = 16 * kRowTiles * kWarps;
  static constexpr int kWanted = kParts == 1 ? (kWidth <= 96    ? 64
                                                : kWidth <= 128 ? 48
                                                                : 32)
                                             : (kWidth <= 32 ? 32 : 16);
  static constexpr int kColumns = kWanted < kMostColumns ? kWanted : kMostColumns;
  static constexpr int kStride = kWidth + 8;  // an odd number of 16 bytes: no bank conflicts
  static constexpr int kElementsX = kParts * kRows * kStride;
  static constexpr int kElementsY = kParts * kColumns * kStride;
  static constexpr int kBytes = 2 * (kElementsX + 2 * kElementsY) + 2 * 5 * 4 * kColumns;
};

template <int kWidth, Mode kMode>
constexpr int kMostColumns = kWidth == 128 && kMode == Mode::kGivenBoth ? 32 : 64;

// Whether a warp keeps its rows of X in registers over all tiles. kGivenBoth has none left on sm_80; at width 32 they would
// cost the third block of a multiprocessor.
template <int kWidth, int kParts, Mode kMode>
constexpr bool kKeepsX = kParts == 1 && kWidth == 64 && kMode != Mode::kGivenBoth;

// A warp's rows of X as operands, of one part.
template <int kWidth, int kParts>
struct OperandX {
  uint32_t a[Shape<kWidth, kParts>::kRowTiles][kWidth / 16][4];

  // x: the warp's first row, in shared memory.
  __device__ __forceinline__ void load(const __nv_bfloat16* x) {
    using S = Shape<kWidth, kParts>;
    const int lane = static_cast<int>(ptx::lane_id());
    const __nv_bfloat16* from = x + lane % 16 * S::kStride + lane / 16 * 8;
#pragma unroll
    for (int k = 0; k < kWidth; k += 16) {
#pragma unroll
      for (int r = 0; r < S::kRowTiles; r++)
        ptx::ldmatrix_x4(a[r][k / 16], from + r * 16 * S::kStride + k);
    }
  }
};

// Rows [first, first + kTileRows) of packed [rows, kParts, kWidth], one plane a part; zeros beyond rows.
template <int kWidth, int kParts, int kTileRows>
__device__ __forceinline__ void load_tile(__nv_bfloat16* tile, const __nv_bfloat16* packed,
                                          int first, int rows) {
  constexpr int kChunks = kWidth / 8, kRowChunks = kParts * kChunks;  // of 16 bytes
  constexpr int kAll = kTileRows * kRowChunks;
  const auto load = [&](int row, int chunk) {
    const int part = chunk / kChunks, k = chunk % kChunks * 8;
    const bool valid = first + row < rows;
    const size_t from = static_cast<size_t>(valid ? first + row : 0) * (kParts * kWidth) +
                        static_cast<size_t>(chunk * 8);
    ptx::cp_async<16>(tile + (part * kTileRows + row) * (kWidth + 8) + k, packed + from, valid);
  };
  const int thread = static_cast<int>(threadIdx.x);
  // The compiler has to see that all threads go round equally often: it makes no good of a loop from threadIdx.x to kAll.
  if constexpr (kThreads % kRowChunks == 0 && kAll % kThreads == 0) {
#pragma unroll
    for (int i = 0; i < kAll / kThreads; i++)
      load(thread / kRowChunks + i * (kThreads / kRowChunks), thread % kRowChunks);
  } else {
#pragma unroll
    for (int i = 0; i < (kAll + kThreads - 1) / kThreads; i++) {
      const int all = thread + i * kThreads;
      if (kAll % kThreads == 0 || all < kAll) load(all / kRowChunks, all % kRowChunks);
    }
  }
}

template <Mode kMode, int kColumns>
__device__ __forceinline__ void load_columns(ColumnData<kColumns>* data, const Pass& p, int first) {
  static_assert(kColumns <= kThreads);
  if (const int i = static_cast<int>(threadIdx.x); i < kColumns) {
    const bool valid = first + i < p.ny;
    const int j = valid ? first + i : 0;
    ptx::cp_async<4>(&data->addend[i], p.addend_y + j, valid);
    ptx::cp_async<4>(&data->key[i], p.key_y + j, valid);
    if constexpr (kGradient<kMode>) {
      ptx::cp_async<4>(&data->factor[i], p.factor_y + j, valid);
      ptx::cp_async<4>(&data->position[i], p.position_y + j, valid);
      ptx::cp_async<4>(&data->positive[i], p.positive_y + j, valid);
    }
  }
}

// s = X Y^T for the rows of a warp, x in shared memory, or kept where kKept. Products of lower parts are summed apart: every
// sum of tensor cores rounds (on a GPU: cuts), and beside the large products five of six roundings would be for nothing.
template <int kWidth, int kParts, bool kKept, int kEights>
__device__ __forceinline__ void multiply_scores(
    float (&s)[Shape<kWidth, kParts>::kRowTiles][kEights][4], const __nv_bfloat16* x,
    const OperandX<kWidth, kParts>& kept, const __nv_bfloat16* y) {
  using S = Shape<kWidth, kParts>;
  const int lane = static_cast<int>(ptx::lane_id());
  const __nv_bfloat16* from_x = x + lane % 16 * S::kStride + lane / 16 * 8;
  const __nv_bfloat16* from_y = y + (lane % 8 + lane / 16 * 8) * S::kStride + lane / 8 % 2 * 8;
  float low[S::kRowTiles][kEights][4] = {};
#pragma unroll
  for (int k = 0; k < kWidth; k += 16) {
    uint32_t a[S::kRowTiles][kParts][4];
#pragma unroll
    for (int r = 0; r < S::kRowTiles; r++) {
#pragma unroll
      for (int part = 0; part < kParts; part++) {
        if constexpr (kKept) {
#pragma unroll
          for (int i = 0; i < 4; i++) a[r][part][i] = kept.a[r][k / 16][i];
        } else {
          ptx::ldmatrix_x4(a[r][part], from_x + (part * S::kRows + r * 16) * S::kStride + k);
        }
      }
    }
#pragma unroll
    for (int j = 0; j < kEights; j += 2) {
#pragma unroll
      for (int part = 0; part < kParts; part++) {
        uint32_t b[4];
        ptx::ldmatrix_x4(b, from_y + (part * 8 * kEights + j * 8) * S::kStride + k);
#pragma unroll
        for (int r = 0; r < S::kRowTiles; r++) {
#pragma unroll
          for (int other = 0; other < kParts - part; other++) {
            auto& sum = part + other == 0 ? s : low;
            ptx::mma_m16n8k16_bf16(sum[r][j], a[r][other], {b[0], b[1]});
            ptx::mma_m16n8k16_bf16(sum[r][j + 1], a[r][other], {b[2], b[3]});
          }
        }
      }
    }
  }
  if constexpr (kParts > 1) {
#pragma unroll
    for (int r = 0; r < S::kRowTiles; r++) {
#pragma unroll
      for (int j = 0; j < kEights; j++) {
#pragma unroll
        for (int i = 0; i < 4; i++) s[r][j][i] += low[r][j][i];
      }
    }
  }
}

// Parts of two neighbours of a row, the largest first.
template <int kParts>
__device__ __forceinline__ void split_pair(uint32_t (&a)[kParts][4], int index, float low,
                                           float high) {
#pragma unroll
  for (int part = 0; part < kParts; part++) {
    const uint32_t bits = ptx::pack_bf16(low, high);
    a[part][index] = bits;
    low -= __uint_as_float(bits << 16);
    high -= __uint_as_float(bits & 0xffff0000u);
  }
}

// 16 rows of 8 or 16 columns as B operands. from: row lane % 16, for 16 columns its second half for lanes 16 and up.
__device__ __forceinline__ void load_groups(uint32_t (&b)[2][2], const __nv_bfloat16* from) {
  uint32_t four[4];
  ptx::ldmatrix_x4_trans(four, from);
  b[0][0] = four[0];
  b[0][1] = four[1];
  b[1][0] = four[2];
  b[1][1] = four[3];
}
__device__ __forceinline__ void load_groups(uint32_t (&b)[1][2], const __nv_bfloat16* from) {
  ptx::ldmatrix_x2_trans(b[0], from);
}

// u += E Y: the accumulators of the scores are laid out as the A operand already. Tensor cores cut sums towards zero
// (simt/src/matrix.cpp), which always errs in one direction: six products for each of 2^16 / 16 steps by some 2^-12 of
// what is exact to 2^-24. So float32's running sums are rounded additions.
template <int kWidth, int kParts, int kEights>
__device__ __forceinline__ void accumulate(
    float (&u)[Shape<kWidth, kParts>::kRowTiles][kWidth / 8][4],
    const float (&e)[Shape<kWidth, kParts>::kRowTiles][kEights][4], const __nv_bfloat16* y) {
  using S = Shape<kWidth, kParts>;
  constexpr int kGroups = kParts > 1 && kWidth > 128 ? 1 : 2;  // of 8 columns: registers are few
  const int lane = static_cast<int>(ptx::lane_id());
  const __nv_bfloat16* from = y + lane % 16 * S::kStride + lane / 16 * 8;
#pragma unroll
  for (int j = 0; j < kEights; j += 2) {
    uint32_t a[S::kRowTiles][kParts][4];
#pragma unroll
    for (int r = 0; r < S::kRowTiles; r++) {
#pragma unroll
      for (int i = 0; i < 4; i++)
        split_pair<kParts>(a[r], i, e[r][j + i / 2][i % 2 * 2], e[r][j + i / 2][i % 2 * 2 + 1]);
    }
#pragma unroll
    for (int k = 0; k < kWidth / 8; k += kGroups) {
      float step[S::kRowTiles][kGroups][4] = {};
#pragma unroll
      for (int part = kParts - 1; part >= 0; part--) {  // the largest products last
        uint32_t b[kGroups][2];
        load_groups(b, from + (part * 8 * kEights + j * 8) * S::kStride + k * 8);
#pragma unroll
        for (int r = 0; r < S::kRowTiles; r++) {
#pragma unroll
          for (int other = kParts - 1 - part; other >= 0; other--) {
#pragma unroll
            for (int i = 0; i < kGroups; i++)
              ptx::mma_m16n8k16_bf16(kParts > 1 ? step[r][i] : u[r][k + i], a[r][other], b[i]);
          }
        }
      }
      if constexpr (kParts > 1) {
#pragma unroll
        for (int r = 0; r < S::kRowTiles; r++) {
#pragma unroll
          for (int i = 0; i < 4 * kGroups; i++) u[r][k + i / 4][i % 4] += step[r][i / 4][i % 4];
        }
      }
    }
  }
}

// Grid: (stationary tiles, splits).
// Two blocks: aiming at three, the compiler spills where the score tile is small.
template <int kWidth, int kParts, Mode kMode>
__global__ void __launch_bounds__(kThreads, 2) tuned_pass(Pass p) {
#if TT_ARCH == 0 || TT_ARCH >= 800  // no bfloat16 products below
  if (!p.condition.holds()) return;
  using S = Shape<kWidth, kParts, kMostColumns<kWidth, kMode>>;
  using Columns = ColumnData<S::kColumns>;
  TT_DYN_SHARED(__nv_bfloat16, x);
  __nv_bfloat16* y = x + S::kElementsX;
  Columns* columns = reinterpret_cast<Columns*>(y + 2 * S::kElementsY);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(ptx::lane_id());
  const int block_row = static_cast<int>(blockIdx.x) * S::kRows,
            warp_row = warp * 16 * S::kRowTiles;
  const int thread_row = block_row + warp_row + lane / 4;
  const int tiles = (p.ny + S::kColumns - 1) / S::kColumns;
  const int begin = static_cast<int>(static_cast<int64_t>(tiles) * blockIdx.y / gridDim.y);
  const int end = static_cast<int>(static_cast<int64_t>(tiles) * (blockIdx.y + 1) / gridDim.y);

  const auto load = [&](int tile) {
    const int buffer = tile % 2, first = tile * S::kColumns;
    load_tile<kWidth, kParts, S::kColumns>(y + buffer * S::kElementsY, packed(p.y), first, p.ny);
    load_columns<kMode>(columns + buffer, p, first);
  };
  load_tile<kWidth, kParts, S::kRows>(x, packed(p.x), block_row, p.nx);
  if (begin < end) load(begin);
  ptx::cp_async_commit();
  RowData<S::kRowTiles> rows;
  load_rows<kMode>(rows, p, thread_row);
  const bool shifted = is_shifted<kMode>(p);
  const float scale = *p.scale;

  float u[S::kRowTiles][kWidth / 8][4] = {};
  constexpr bool kKept = kKeepsX<kWidth, kParts, kMode>;
  const __nv_bfloat16* own_x = x + warp_row * S::kStride;
  OperandX<kWidth, kParts> kept;
  if constexpr (kKept) {
    ptx::cp_async_wait<0>();
    __syncthreads();
    kept.load(own_x);
  }
  for (int tile = begin; tile < end; tile++) {
    ptx::cp_async_wait<0>();
    __syncthreads();  // the tile is there, and nobody reads the one before any more
    if (tile + 1 < end) load(tile + 1);
    ptx::cp_async_commit();
    const __nv_bfloat16* moving = y + tile % 2 * S::kElementsY;
    float s[S::kRowTiles][S::kColumns / 8][4] = {};
    multiply_scores<kWidth, kParts, kKept>(s, own_x, kept, moving);
    const Columns& data = columns[tile % 2];
    weigh<kMode>(s, rows, data, rules_of<kMode>(rows, data, thread_row), scale,
                 p.ny - tile * S::kColumns, thread_row, shifted);
    if constexpr (kMode == Mode::kOnline) {
      follow_maximum<S::kRowTiles, S::kColumns, kWidth>(s, u, rows);
      add_sums<S::kRowTiles, S::kColumns>(rows, s);
    }
    if (p.products != nullptr) accumulate<kWidth, kParts>(u, s, moving);
  }
  ptx::cp_async_wait<0>();
  store<kMode, S::kRowTiles, kWidth>(p, rows, u, thread_row);
#endif
}

template <int kWidth, int kParts, Mode kMode>
cudaError_t run_shape(const Pass& p, cudaStream_t stream) {
  using S = Shape<kWidth, kParts, kMostColumns<kWidth, kMode>>;
  const dim3 grid(static_cast<unsigned>((p.nx + S::kRows - 1) / S::kRows),
                  static_cast<unsigned>(p.splits));
  return TT_LAUNCH((tuned_pass<kWidth, kParts, kMode>), grid, dim3(kThreads), S::kBytes, stream, p);
}

template <int kWidth, int kParts>
cudaError_t run_mode(const Pass& p, Mode mode, cudaStream_t stream) {
  switch (mode) {
    case Mode::kSum:
      return run_shape<kWidth, kParts, Mode::kSum>(p, stream);
    case Mode::kOnline:
      return run_shape<kWidth, kParts, Mode::kOnline>(p, stream);
    case Mode::kGiven:
      return run_shape<kWidth, kParts, Mode::kGiven>(p, stream);
    case Mode::kGivenSum:
      return run_shape<kWidth, kParts, Mode::kGivenSum>(p, stream);
    case Mode::kGivenBoth:
      return run_shape<kWidth, kParts, Mode::kGivenBoth>(p, stream);
  }
  return cudaErrorInvalidValue;
}

// One source file a width, so that they compile side by side.
template <int kWidth>
cudaError_t run_width(const Pass& pass, Mode mode, int parts, cudaStream_t stream);
#define TT_TUNED_WIDTH(kWidth)                                                                 \
  template <>                                                                                  \
  cudaError_t run_width<kWidth>(const Pass& pass, Mode mode, int parts, cudaStream_t stream) { \
    return parts == 1   ? run_mode<kWidth, 1>(pass, mode, stream)                              \
           : parts == 3 ? run_mode<kWidth, 3>(pass, mode, stream)                              \
                        : cudaErrorInvalidValue;                                               \
  }
template <>
cudaError_t run_width<32>(const Pass& pass, Mode mode, int parts, cudaStream_t stream);
template <>
cudaError_t run_width<64>(const Pass& pass, Mode mode, int parts, cudaStream_t stream);
template <>
cudaError_t run_width<96>(const Pass& pass, Mode mode, int parts, cudaStream_t stream);
template <>
cudaError_t run_width<128>(const Pass& pass, Mode mode, int parts, cudaStream_t stream);
template <>
cudaError_t run_width<256>(const Pass& pass, Mode mode, int parts, cudaStream_t stream);

}  // namespace tt::cuda::loss::tuned
