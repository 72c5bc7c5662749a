// Around the tensor-core pass: packing and the choice of the shape.
#include "loss/begin.cuh"
#include "loss/tuned.cuh"

namespace tt::cuda::loss::tuned {
namespace {

struct Packer {
  Rows side;
  int width, parts;
  __nv_bfloat16* packed;

  __host__ __device__ int64_t rows() const { return side.count; }
  __device__ void operator()(int64_t row) const {
    const float inverse = side.note_inverse(row);
    __nv_bfloat16* to = packed + row * parts * width;
    for (int k = static_cast<int>(ptx::lane_id()); k < width; k += 32) {
      float rest = k < side.d ? side.at(row)[k] * inverse : 0.0f;
      for (int part = 0; part < parts; part++) {
        const __nv_bfloat16 rounded = __float2bfloat16(rest);
        to[part * width + k] = rounded;
        rest -= __bfloat162float(rounded);
      }
    }
  }
};

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
  const int64_t most = (ny + 8 * shape.columns - 1) / (8 * shape.columns);
  return balanced_splits(blocks, 2 * static_cast<int64_t>(multiprocessors), most);
}

cudaError_t begin(const Problem& p, const Side& q, const Side& c, int width, int parts,
                  Facts* facts, cudaStream_t stream) {
  const auto packer = [&](const float* rows, int64_t count, const Side& side) {
    return Packer{Rows{rows, count, p.d, side.inverse_norm}, width, parts,
                  static_cast<__nv_bfloat16*>(side.packed)};
  };
  return begin_with(packer(p.queries, p.n, q), packer(p.candidates, p.m, c), p, facts, stream);
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

}  // namespace tt::cuda::loss::tuned
