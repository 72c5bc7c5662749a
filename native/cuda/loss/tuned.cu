// Around the tensor-core pass: packing, the choice of the shape, the sum over splits.
#include "loss/tuned.cuh"

namespace tt::cuda::loss::tuned {
namespace {

constexpr int kPackThreads = 128;

// A warp a row. Lengths in double: squares of long rows must not overflow, nor short ones vanish.
__global__ void __launch_bounds__(kPackThreads)
    pack_rows(const float* rows, int64_t count, int d, int width, int parts, __nv_bfloat16* packed,
              float* inverse_norm) {
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kPackThreads + threadIdx.x) / 32;
  if (row >= count) return;  // the whole warp
  const float* from = rows + row * d;
  double square = 0.0;
  for (int k = lane; k < d; k += 32) square += static_cast<double>(from[k]) * from[k];
#pragma unroll
  for (int step = 16; step > 0; step /= 2) square += __shfl_xor_sync(0xffffffffu, square, step);
  const double norm = sqrt(square);
  const float inverse = static_cast<float>(norm < 1e-12 ? 0.0 : 1.0 / norm);
  if (lane == 0 && inverse_norm != nullptr) inverse_norm[row] = inverse;
  __nv_bfloat16* to = packed + row * parts * width;
  for (int k = lane; k < width; k += 32) {
    float rest = k < d ? from[k] * inverse : 0.0f;
    for (int part = 0; part < parts; part++) {
      const __nv_bfloat16 rounded = __float2bfloat16(rest);
      to[part * width + k] = rounded;
      rest -= __bfloat162float(rounded);
    }
  }
}

constexpr int kCombineThreads = 128;

// A warp a row; splits are added in their order.
template <bool kOnline>
__global__ void __launch_bounds__(kCombineThreads) combine_splits(Pass p, int width) {
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t row = (static_cast<int64_t>(blockIdx.x) * kCombineThreads + threadIdx.x) / 32;
  if (row >= p.nx) return;
  const int64_t nx = p.nx;
  float most = -INFINITY;
  if (kOnline)
    for (int split = 0; split < p.splits; split++) most = fmaxf(most, p.maxima[split * nx + row]);
  const float shift = most == -INFINITY ? 0.0f : most;
  const auto factor = [&](int split) {
    return kOnline ? ptx::exp2_approx(p.maxima[split * nx + row] - shift) : 1.0f;
  };
  if (p.products != nullptr) {
    for (int k = lane; k < width; k += 32) {
      float total = 0.0f;
      for (int split = 0; split < p.splits; split++)
        total += factor(split) * p.products[(split * nx + row) * width + k];
      p.products[row * width + k] = total;
    }
  }
  float sum = 0.0f;
  if (p.sums != nullptr)
    for (int split = 0; split < p.splits; split++) sum += factor(split) * p.sums[split * nx + row];
  __syncwarp();  // all lanes have read what lane 0 replaces
  if (lane != 0) return;
  if (p.sums != nullptr) p.sums[row] = sum;
  if (kOnline) p.maxima[row] = most;
}

unsigned warps_of(int64_t rows, int threads) {
  return static_cast<unsigned>((rows * 32 + threads - 1) / threads);
}

struct Sizes {
  int rows, columns, bytes;
};
template <int kWidth>
Sizes sizes_of(int parts) {
  using One = Shape<kWidth, 1>;
  using Three = Shape<kWidth, 3>;
  return parts == 1 ? Sizes{One::kRows, One::kColumns, One::kBytes}
                    : Sizes{Three::kRows, Three::kColumns, Three::kBytes};
}
Sizes sizes(int width, int parts) {
  switch (width) {
    case 32:
      return sizes_of<32>(parts);
    case 64:
      return sizes_of<64>(parts);
    case 96:
      return sizes_of<96>(parts);
    case 128:
      return sizes_of<128>(parts);
    default:
      return sizes_of<256>(parts);
  }
}

}  // namespace

int padded_width(int d) {
  for (const int width : {32, 64, 96, 128, 256}) {
    if (d <= width) return width;
  }
  return 0;
}

bool fits(int width, int parts, int shared_bytes_per_block) {
  return width != 0 && sizes(width, parts).bytes <= shared_bytes_per_block;
}

int splits_for(int width, int parts, int64_t nx, int64_t ny, int multiprocessors) {
  const Sizes shape = sizes(width, parts);
  const int64_t blocks = (nx + shape.rows - 1) / shape.rows;
  // Two blocks a multiprocessor, each with at least eight tiles to hide its start and end.
  const int64_t wanted = 2 * static_cast<int64_t>(multiprocessors) / blocks;
  const int64_t most = (ny + 8 * shape.columns - 1) / (8 * shape.columns);
  const int64_t splits = wanted < most ? wanted : most;
  return static_cast<int>(splits < 1 ? 1 : splits);
}

cudaError_t pack(const float* rows, int64_t count, int d, int width, int parts,
                 __nv_bfloat16* packed, float* inverse_norm, cudaStream_t stream) {
  return TT_LAUNCH(pack_rows, dim3(warps_of(count, kPackThreads)), dim3(kPackThreads), 0, stream,
                   rows, count, d, width, parts, packed, inverse_norm);
}

cudaError_t run(const Pass& pass, Mode mode, int width, int parts, cudaStream_t stream) {
  switch (width) {
    case 32:
      return run_width<32>(pass, mode, parts, stream);
    case 64:
      return run_width<64>(pass, mode, parts, stream);
    case 96:
      return run_width<96>(pass, mode, parts, stream);
    case 128:
      return run_width<128>(pass, mode, parts, stream);
    case 256:
      return run_width<256>(pass, mode, parts, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

cudaError_t combine(const Pass& pass, bool online, int width, cudaStream_t stream) {
  if (pass.splits == 1) return cudaSuccess;
  const dim3 grid(warps_of(pass.nx, kCombineThreads));
  if (online) {
    return TT_LAUNCH(combine_splits<true>, grid, dim3(kCombineThreads), 0, stream, pass, width);
  }
  return TT_LAUNCH(combine_splits<false>, grid, dim3(kCombineThreads), 0, stream, pass, width);
}

}  // namespace tt::cuda::loss::tuned
