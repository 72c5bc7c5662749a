// Sixteen stationary rows a block, sixteen moving rows a turn, one thread a pair; nothing clever.
#include "loss/plain.h"

#include "loss/begin.cuh"

namespace tt::cuda::loss::plain {
namespace {

constexpr int kTile = 16;
constexpr int kDepth = 32;
constexpr int kThreads = kTile * kTile;

struct Packer {
  Rows side;
  bool bfloat16;
  float* packed;

  __host__ __device__ int64_t rows() const { return side.count; }
  __device__ void operator()(int64_t row) const {
    const float inverse = side.note_inverse(row);
    for (int k = static_cast<int>(ptx::lane_id()); k < side.d; k += 32) {
      const float unit = side.at(row)[k] * inverse;
      packed[row * side.d + k] = bfloat16 ? __bfloat162float(__float2bfloat16(unit)) : unit;
    }
  }
};

struct Tiles {  // a slice of both sides; the odd stride keeps rows in different banks
  float x[kTile][kDepth + 1];
  float y[kTile][kDepth + 1];
};

// The cosine of this thread's pair: row threadIdx / 16 of x, row threadIdx % 16 of y.
__device__ float cosine(Tiles& tiles, const Pass& p, int d, int first_x, int first_y) {
  const int thread = static_cast<int>(threadIdx.x), r = thread / kTile, c = thread % kTile;
  const float* x = static_cast<const float*>(p.x);
  const float* y = static_cast<const float*>(p.y);
  float sum = 0.0f;
  for (int begin = 0; begin < d; begin += kDepth) {
    for (int i = thread; i < kTile * kDepth; i += kThreads) {
      const int row = i / kDepth, k = i % kDepth;
      const bool inside = begin + k < d;
      const int64_t from_x = first_x + row, from_y = first_y + row;
      tiles.x[row][k] = inside && from_x < p.nx ? x[from_x * d + begin + k] : 0.0f;
      tiles.y[row][k] = inside && from_y < p.ny ? y[from_y * d + begin + k] : 0.0f;
    }
    __syncthreads();
    float part = 0.0f;  // short chains of roundings
    for (int k = 0; k < kDepth; k++) part = fmaf(tiles.x[r][k], tiles.y[c][k], part);
    sum += part;
    __syncthreads();
  }
  return sum;
}

// The largest value, or the sum, over the sixteen threads of a row.
__device__ float row_maximum(float v) {
  for (int step = kTile / 2; step > 0; step /= 2)
    v = fmaxf(v, __shfl_xor_sync(0xffffffffu, v, step));
  return v;
}
__device__ float row_sum(float v) {
  for (int step = kTile / 2; step > 0; step /= 2) v += __shfl_xor_sync(0xffffffffu, v, step);
  return v;
}

// Grid: (stationary tiles, splits).
template <Mode kMode>
__global__ void __launch_bounds__(kThreads) plain_pass(Pass p, int d) {
  constexpr bool kSums = kMode == Mode::kSum || kMode == Mode::kOnline;
  TT_SHARED(Tiles, tiles, );
  TT_SHARED(float, weights, [kTile][kTile + 1]);
  if (!p.condition.holds()) return;
  const int r = static_cast<int>(threadIdx.x) / kTile, c = static_cast<int>(threadIdx.x) % kTile;
  const int first_x = static_cast<int>(blockIdx.x) * kTile, i = first_x + r;
  const bool row_exists = i < p.nx;
  const int x = row_exists ? i : p.nx - 1;
  const int64_t turns = (static_cast<int64_t>(p.ny) + kTile - 1) / kTile;
  const int begin = static_cast<int>(turns * blockIdx.y / gridDim.y);
  const int end = static_cast<int>(turns * (blockIdx.y + 1) / gridDim.y);
  const int64_t out = static_cast<int64_t>(blockIdx.y) * p.nx + x;

  const float scale = *p.scale;
  float sum = 0.0f, most = -INFINITY;
  for (int turn = begin; turn < end; turn++) {
    const int first_y = turn * kTile, j = first_y + c;
    const bool exists = j < p.ny;
    const int y = exists ? j : p.ny - 1;
    const float scaled = scale * cosine(tiles, p, d, first_x, first_y);
    const bool kept = exists && p.key_x[x] != p.key_y[y];
    float e = 0.0f, decay = 1.0f;
    if (kMode == Mode::kSum) {
      e = kept ? exp2f(scaled + p.addend_y[y]) : 0.0f;
    } else if (kMode == Mode::kOnline) {
      const float v = kept ? scaled + p.addend_y[y] : -INFINITY;
      const float before = most;
      most = fmaxf(most, row_maximum(v));
      const float shift = most == -INFINITY ? 0.0f : most;
      decay = exp2f(before - shift);
      e = exp2f(v - shift);
    } else if (kept) {
      if (kMode == Mode::kGiven) {
        e = exp2f(scaled + p.addend_y[y] + p.addend_x[x]) * p.factor_y[y];
      } else if (kMode == Mode::kGivenSum) {
        e = exp2f(scaled + p.addend_y[y]) * (p.factor_x[x] + p.factor_y[y]);
      } else {
        e = exp2f(scaled + p.addend_x[x]) * p.factor_x[x] +
            exp2f(scaled + p.addend_y[y]) * p.factor_y[y];
      }
    } else if (exists && p.position_y[y] == i) {
      e = p.positive_y[y];
    }
    if (kSums) sum = sum * decay + e;
    if (p.products == nullptr) continue;
    weights[r][c] = e;
    __syncthreads();
    // Each product belongs to one thread, from the first turn to the last.
    const int columns = p.ny - first_y < kTile ? p.ny - first_y : kTile;
    const float* moving = static_cast<const float*>(p.y) + static_cast<int64_t>(first_y) * d;
    for (int k = c; row_exists && k < d; k += kTile) {
      float product = 0.0f;
      for (int column = 0; column < columns; column++)
        product = fmaf(weights[r][column], moving[static_cast<int64_t>(column) * d + k], product);
      float& total = p.products[out * d + k];
      total = turn == begin ? product : total * decay + product;
    }
    // The next turn's weights come after the barriers of its cosines.
  }
  if (!kSums) return;
  sum = row_sum(sum);
  if (!row_exists || c != 0) return;
  p.sums[out] = sum;
  if (kMode == Mode::kOnline) p.maxima[out] = most;
}

template <Mode kMode>
cudaError_t run_mode(const Pass& p, int d, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((static_cast<int64_t>(p.nx) + kTile - 1) / kTile),
                  static_cast<unsigned>(p.splits));
  return TT_LAUNCH((plain_pass<kMode>), grid, dim3(kThreads), 0, stream, p, d);
}

}  // namespace

int splits_for(int64_t nx, int64_t ny, int multiprocessors) {
  const int64_t blocks = (nx + kTile - 1) / kTile, turns = (ny + kTile - 1) / kTile;
  const int64_t wanted = 8 * static_cast<int64_t>(multiprocessors) / blocks;
  const int64_t most = (turns + 7) / 8;
  const int64_t splits = wanted < most ? wanted : most;
  return static_cast<int>(splits < 1 ? 1 : splits);
}

cudaError_t begin(const Problem& p, const Side& q, const Side& c, Facts* facts,
                  cudaStream_t stream) {
  const auto packer = [&](const float* rows, int64_t count, const Side& side) {
    return Packer{Rows{rows, count, p.d, side.inverse_norm}, p.bfloat16,
                  static_cast<float*>(side.packed)};
  };
  return begin_with(packer(p.queries, p.n, q), packer(p.candidates, p.m, c), p, facts, stream);
}

cudaError_t run(const Pass& pass, Mode mode, int d, cudaStream_t stream) {
  switch (mode) {
    case Mode::kSum:
      return run_mode<Mode::kSum>(pass, d, stream);
    case Mode::kOnline:
      return run_mode<Mode::kOnline>(pass, d, stream);
    case Mode::kGiven:
      return run_mode<Mode::kGiven>(pass, d, stream);
    case Mode::kGivenSum:
      return run_mode<Mode::kGivenSum>(pass, d, stream);
    case Mode::kGivenBoth:
      return run_mode<Mode::kGivenBoth>(pass, d, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace tt::cuda::loss::plain
