// Included by gather_kernels_<isa>.cpp only.
#include "gather_kernels.h"
#include "twintail.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

// Accumulators that fit in registers beside what else is needed.
#if defined(__AVX512F__)
constexpr int kMostVectors = 8;
#elif defined(__AVX2__)
constexpr int kMostVectors = 4;
#else
constexpr int kMostVectors = 2;
#endif

constexpr int64_t kBagsAhead = 4;

struct Float32 {
  using Element = float;
  static Vec16 load(const float* p) { return Vec16::load(p); }
  static Vec16 load(const float* p, int n) { return Vec16::load(p, n); }
};

struct Bfloat16 {
  using Element = uint16_t;
  static Vec16 load(const uint16_t* p) { return Vec16::load_bf16(p); }
  static Vec16 load(const uint16_t* p, int n) { return Vec16::load_bf16(p, n); }
};

/// Columns [column, column + V * 16) of all bags; the last vector has `tail` columns where tail > 0.
template <class Type, int V, bool Tail>
void pool_columns(const PoolJob& job, int64_t column, int tail) {
  using Element = typename Type::Element;
  const int64_t stride = job.stride;
  const bool stream = job.stream;
  const auto* weights = static_cast<const Element*>(job.weights) + column;
  const size_t bytes =
      (static_cast<size_t>(V - (Tail ? 1 : 0)) * 16 + static_cast<size_t>(tail)) * sizeof(Element);
  const auto load = [&](const Element* p, int v) {
    return Tail && v == V - 1 ? Type::load(p + 16 * v, tail) : Type::load(p + 16 * v);
  };
  const int32_t* ids = job.ids;
  for (int i = 0; i < kReadAhead; ++i) prefetch_bytes_far(weights + ids[i] * stride, bytes);
  for (int64_t b = 0; b < job.bag_count; ++b) {
    const Bag& bag = job.bags[b];
    if (!stream && b + kBagsAhead < job.bag_count)
      prefetch_write(job.bags[b + kBagsAhead].out + column);
    float* out = bag.out + column;
    Vec16 sums[V];
    TT_UNROLL for (int v = 0; v < V; ++v) {
      if (bag.first) {
        sums[v] = Vec16::zero();
      } else {
        sums[v] = Tail && v == V - 1 ? Vec16::load(out + 16 * v, tail) : Vec16::load(out + 16 * v);
      }
    }
    const int32_t count = bag.count;
    for (int32_t i = 0; i < count; ++i) {
      prefetch_bytes_far(weights + ids[i + kReadAhead] * stride, bytes);
      const Element* row = weights + ids[i] * stride;
      TT_UNROLL for (int s = 0; s < V; ++s) {
        const int v = scattered<V>(s);
        sums[v] = sums[v] + load(row, v);
        keep_order<V>();
      }
    }
    ids += count;
    if (bag.last && bag.scale != 1.0f) {
      const Vec16 scale = Vec16::all(bag.scale);
      TT_UNROLL for (int v = 0; v < V; ++v) sums[v] = sums[v] * scale;
    }
    if (!Tail && stream && (reinterpret_cast<uintptr_t>(out) & 63) == 0) {
      TT_UNROLL for (int v = 0; v < V; ++v) sums[v].stream(out + 16 * v);
      continue;
    }
    TT_UNROLL for (int v = 0; v < V; ++v) {
      if (Tail && v == V - 1) {
        sums[v].store(out + 16 * v, tail);
      } else {
        sums[v].store(out + 16 * v);
      }
    }
  }
}

template <class Type, int V>
void pool_vectors(const PoolJob& job, int64_t column, int vectors, int tail) {
  if (vectors < V) {
    if constexpr (V > 1) pool_vectors<Type, V - 1>(job, column, vectors, tail);
  } else if (tail == 0) {
    pool_columns<Type, V, false>(job, column, 0);
  } else {
    pool_columns<Type, V, true>(job, column, tail);
  }
}

template <class Type>
void pool_typed(const PoolJob& job) {
  for (int64_t column = 0; column < job.dim; column += kMostVectors * 16) {
    const int64_t left = job.dim - column;
    const int width = static_cast<int>(left < kMostVectors * 16 ? left : kMostVectors * 16);
    pool_vectors<Type, kMostVectors>(job, column, (width + 15) / 16, width % 16);
  }
}

void pool(const PoolJob& job) {
  if (job.dtype == TT_BFLOAT16) {
    pool_typed<Bfloat16>(job);
  } else {
    pool_typed<Float32>(job);
  }
  if (job.stream) end_streams();
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
