// Included by merge_kernels_<isa>.cpp only.
#include "merge_kernels.h"
#include "row_updates.inl"
#include "twintail.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__) || defined(__AVX2__)
constexpr int kMostVectors = 4;
#else
constexpr int kMostVectors = 2;
#endif

const float* gradient_of(const GradientRows& rows, Lookup lookup) {
  const auto bag = static_cast<uint32_t>(lookup);
  const int64_t row = bag >> rows.slot_bits;
  // Added, not branched on: nobody can predict which of two views a lookup belongs to.
  const GradientPiece* piece = rows.pieces + (row >= rows.second_begin ? 1 : 0);
  while (row >= piece->end) ++piece;
  return piece->first + (row - piece->begin) * piece->ld +
         rows.columns[bag & ((1u << rows.slot_bits) - 1)];
}

TT_PREFETCHES void prefetch_lookup(const MergeJob& job, Lookup lookup) {
  prefetch_bytes_far(gradient_of(job.rows, lookup), static_cast<size_t>(job.dim) * sizeof(float));
  if (job.rows.scales != nullptr) prefetch(job.rows.scales + static_cast<uint32_t>(lookup));
}

/// Some columns of a run's sum.
struct SumPart {
  const MergeJob& job;
  const Lookup* lookups;
  int64_t count;
  int64_t column;
  int tail;    // columns in the last vector, where it is not full
  float* out;  // of `column`
};

/// Lookups that are added up before their sum is added to the total, which keeps long sums accurate.
constexpr int64_t kSumBlock = 32;

/// Ahead: rows are prefetched here; otherwise the caller did.
template <int V, bool Tail, bool Scaled, bool Ahead>
void sum_columns(const SumPart& part) {
  const GradientRows& rows = part.job.rows;
  const auto load = [&](const float* p, int v) {
    return Tail && v == V - 1 ? Vec16::load(p + 16 * v, part.tail) : Vec16::load(p + 16 * v);
  };
  const auto term = [&](Lookup lookup, Vec16* g) {
    const float* p = gradient_of(rows, lookup) + part.column;
    TT_UNROLL for (int s = 0; s < V; ++s) {
      const int v = scattered<V>(s);
      g[v] = load(p, v);
      keep_order<V>();
    }
    if constexpr (Scaled) {
      const Vec16 scale = Vec16::all(rows.scales[static_cast<uint32_t>(lookup)]);
      TT_UNROLL for (int v = 0; v < V; ++v) g[v] = g[v] * scale;
    }
  };
  for (int64_t begin = 0; begin < part.count; begin += kSumBlock) {
    const int64_t end = begin + kSumBlock < part.count ? begin + kSumBlock : part.count;
    Vec16 sums[V];
    term(part.lookups[begin], sums);
    for (int64_t i = begin + 1; i < end; ++i) {
      if constexpr (Ahead) {
        if (i + kLookupReadAhead < part.count) {
          prefetch_lookup(part.job, part.lookups[i + kLookupReadAhead]);
        }
      }
      Vec16 g[V];
      term(part.lookups[i], g);
      TT_UNROLL for (int v = 0; v < V; ++v) sums[v] = sums[v] + g[v];
    }
    TT_UNROLL for (int v = 0; v < V; ++v) {
      if (begin > 0) sums[v] = load(part.out, v) + sums[v];
      if (Tail && v == V - 1) {
        sums[v].store(part.out + 16 * v, part.tail);
      } else {
        sums[v].store(part.out + 16 * v);
      }
    }
  }
}

template <int V, bool Scaled, bool Ahead>
void sum_vectors(const SumPart& part, int vectors) {
  if (vectors < V) {
    if constexpr (V > 1) sum_vectors<V - 1, Scaled, Ahead>(part, vectors);
  } else if (part.tail == 0) {
    sum_columns<V, false, Scaled, Ahead>(part);
  } else {
    sum_columns<V, true, Scaled, Ahead>(part);
  }
}

template <bool Ahead>
void sum_run(const MergeJob& job, const Lookup* lookups, int64_t count, float* out) {
  for (int64_t column = 0; column < job.dim; column += kMostVectors * 16) {
    const int64_t left = job.dim - column;
    const int width = static_cast<int>(left < kMostVectors * 16 ? left : kMostVectors * 16);
    const SumPart part{job, lookups, count, column, width % 16, out + column};
    if (job.rows.scales != nullptr) {
      sum_vectors<kMostVectors, true, Ahead>(part, (width + 15) / 16);
    } else {
      sum_vectors<kMostVectors, false, Ahead>(part, (width + 15) / 16);
    }
  }
}

void finish(const MergeJob& job, int32_t id, int64_t run, const float* gradient) {
  const MergeTarget& t = job.target;
  const int64_t dim = job.dim;
  if (t.ids != nullptr) {
    t.ids[run] = id;
    memcpy(t.values + run * dim, gradient, static_cast<size_t>(dim) * sizeof(float));
  } else if (t.dtype == TT_BFLOAT16) {
    auto* w = static_cast<uint16_t*>(t.weights) + id * dim;
    update_row(t, Bfloat16Row{w, t.plan.step, id}, dim, id, gradient);
  } else {
    update_row(t, Float32Row{static_cast<float*>(t.weights) + id * dim}, dim, id, gradient);
  }
}

TT_PREFETCHES void prefetch_target(const MergeJob& job, int32_t id) {
  const MergeTarget& t = job.target;
  if (t.ids != nullptr) return;
  const size_t row = static_cast<size_t>(job.dim);
  const size_t at = static_cast<size_t>(id) * row;
  const size_t weight_size = t.dtype == TT_BFLOAT16 ? 2 : 4;
  prefetch_bytes_far(static_cast<const char*>(t.weights) + at * weight_size, row * weight_size);
  if (t.plan.kind == TT_ROWWISE_ADAGRAD) {
    prefetch(t.state1 + id);
  } else if (t.plan.kind != TT_SGD) {
    prefetch_bytes(t.state1 + at, row * 4);
    if (t.plan.kind == TT_ADAM) prefetch_bytes(t.state2 + at, row * 4);
  }
}

void sum_segment(const MergeJob& job, const Lookup* lookups, int64_t count, float* out) {
  sum_run<true>(job, lookups, count, out);
}

/// Calls f(id, first lookup, count) for each run of one id, and asks for what the runs behind it need.
template <class F>
void for_runs(const MergeJob& job, const Lookup* lookups, int64_t count, F&& f) {
  int64_t ahead = 0;
  int32_t asked = -1;
  for (int64_t begin = 0; begin < count;) {
    const int32_t id = lookup_id(lookups[begin]);
    int64_t end = begin + 1;
    while (end < count && lookup_id(lookups[end]) == id) ++end;
    const int64_t wanted = end + kLookupReadAhead < count ? end + kLookupReadAhead : count;
    for (; ahead < wanted; ++ahead) {
      prefetch_lookup(job, lookups[ahead]);
      if (lookup_id(lookups[ahead]) == asked) continue;
      asked = lookup_id(lookups[ahead]);
      prefetch_target(job, asked);
    }
    f(id, lookups + begin, end - begin);
    begin = end;
  }
}

// Inlined before the compiler decides what lives in registers: else keep_order() would keep these arrays in memory.
#define TT_IN_REGISTERS __attribute__((always_inline)) inline

template <int V, bool Scaled>
TT_IN_REGISTERS void load_gradient(const GradientRows& rows, Lookup lookup, Vec16* g) {
  const float* p = gradient_of(rows, lookup);
  TT_UNROLL for (int s = 0; s < V; ++s) {
    const int v = scattered<V>(s);
    g[v] = Vec16::load(p + 16 * v);
    keep_order<V>();
  }
  if constexpr (Scaled) {
    const Vec16 scale = Vec16::all(rows.scales[static_cast<uint32_t>(lookup)]);
    TT_UNROLL for (int v = 0; v < V; ++v) g[v] = g[v] * scale;
  }
}

/// One step of a row of V vectors; `gradient` is used up.
template <int V>
TT_IN_REGISTERS void step_rowwise(const OptimizerPlan& plan, Vec16* gradient, float* row,
                                  float* state) {
  Vec16 w[V];
  Vec16 squares = Vec16::zero();
  TT_UNROLL for (int s = 0; s < V; ++s) {
    const int v = scattered<V>(s);
    w[v] = Vec16::load(row + 16 * v);
    keep_order<V>();
  }
  TT_UNROLL for (int v = 0; v < V; ++v) {
    gradient[v] = decayed_gradient(plan, w[v], gradient[v]);
    squares = squares + gradient[v] * gradient[v];
  }
  *state = *state + sum(squares) / static_cast<float>(16 * V);
  const float now = *state;
  TT_UNROLL for (int v = 0; v < V; ++v) {
    rowwise_adagrad_step(plan, w[v], gradient[v], now);
    w[v].store(row + 16 * v);
  }
}

/// merge() into float32 weights of V whole vectors by row-wise Adagrad: a short run's sum never leaves the registers.
/// The operations and their order are those of sum_run() and update_row(). Per lookup read one is asked for, its row again
/// and again where an id repeats: so a run has only one branch that nobody can predict, whether it goes on.
template <int V, bool Scaled>
void merge_rowwise(const MergeJob& job, const Lookup* lookups, int64_t count, float* scratch) {
  const OptimizerPlan plan = job.target.plan;
  auto* weights = static_cast<float*>(job.target.weights);
  float* states = job.target.state1;
  const auto ask = [&](int64_t i) __attribute__((always_inline)) {
    const Lookup ahead = lookups[i < count ? i : count - 1];
    prefetch_lookup(job, ahead);
    prefetch_bytes_far(weights + int64_t{lookup_id(ahead)} * (16 * V), 64 * V);
    prefetch_far(states + lookup_id(ahead));
  };
  for (int64_t i = 0; i < kLookupReadAhead && i < count; ++i) ask(i);
  for (int64_t i = 0; i < count;) {
    const int32_t id = lookup_id(lookups[i]);
    if (i + kSumBlock < count && lookup_id(lookups[i + kSumBlock]) == id) {
      const int64_t begin = i;
      while (i < count && lookup_id(lookups[i]) == id) ++i;
      if (i - begin <= kSegment) {
        sum_run<true>(job, lookups + begin, i - begin, scratch);
        finish(job, id, 0, scratch);
      }
      for (int64_t k = i; k < i + kLookupReadAhead && k < count; ++k) ask(k);
      continue;
    }
    ask(i + kLookupReadAhead);
    Vec16 sums[V];
    load_gradient<V, Scaled>(job.rows, lookups[i++], sums);
    while (i < count && lookup_id(lookups[i]) == id) {
      ask(i + kLookupReadAhead);
      Vec16 g[V];
      load_gradient<V, Scaled>(job.rows, lookups[i++], g);
      TT_UNROLL for (int v = 0; v < V; ++v) sums[v] = sums[v] + g[v];
    }
    step_rowwise<V>(plan, sums, weights + int64_t{id} * (16 * V), states + id);
  }
}

/// False where the job is not one of merge_rowwise().
template <int V>
bool try_merge_rowwise(const MergeJob& job, const Lookup* lookups, int64_t count, float* scratch) {
  if (job.dim != 16 * V) {
    if constexpr (V > 1) return try_merge_rowwise<V - 1>(job, lookups, count, scratch);
    return false;
  }
  if (job.rows.scales != nullptr) {
    merge_rowwise<V, true>(job, lookups, count, scratch);
  } else {
    merge_rowwise<V, false>(job, lookups, count, scratch);
  }
  return true;
}

void merge(const MergeJob& job, const Lookup* lookups, int64_t count, int64_t first_run,
           float* scratch) {
  const MergeTarget& t = job.target;
  const bool rowwise =
      t.ids == nullptr && t.plan.kind == TT_ROWWISE_ADAGRAD && t.dtype == TT_FLOAT32;
  if (rowwise && try_merge_rowwise<kMostVectors>(job, lookups, count, scratch)) return;
  int64_t number = first_run;
  for_runs(job, lookups, count, [&](int32_t id, const Lookup* run, int64_t length) {
    if (length <= kSegment) {
      sum_run<false>(job, run, length, scratch);
      finish(job, id, number, scratch);
    }
    ++number;
  });
}

struct AddRows {
  const float* rows;
  int64_t stride, count;
  float* total;

  template <bool Tail>
  void operator()(int64_t c, int n) const {
    Vec16 s = load_part<Tail>(rows + c, n);
    for (int64_t i = 1; i < count; ++i) s = s + load_part<Tail>(rows + i * stride + c, n);
    store_part<Tail>(s, total + c, n);
  }
};

void add_rows(const float* rows, int64_t stride, int64_t count, int32_t dim, float* total) {
  for_vectors(dim, AddRows{rows, stride, count, total});
}

void dense(const DenseJob& job) {
  const Float32Row row{job.parameters};
  switch (job.plan.kind) {
    case TT_SGD:
      return for_vectors(job.count, SgdUpdate<Float32Row>{job.plan, row, job.gradients});
    case TT_ADAGRAD:
      return for_vectors(job.count,
                         AdagradUpdate<Float32Row>{job.plan, row, job.gradients, job.state1});
    case TT_ADAM:
      return for_vectors(
          job.count, AdamUpdate<Float32Row>{job.plan, row, job.gradients, job.state1, job.state2});
  }
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
