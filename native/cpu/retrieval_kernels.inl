// Included by retrieval_kernels_<isa>.cpp only.
#include "retrieval_kernels.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kTileQueries = 12;  // 24 accumulators, 2 items, 1 query
constexpr int kTileVectors = 2;
#elif defined(__AVX2__)
constexpr int kTileQueries = 6;  // 12 accumulators of 8, 2 items, 1 query
constexpr int kTileVectors = 1;
#else
constexpr int kTileQueries = 2;  // 8 accumulators of 4
constexpr int kTileVectors = 1;
#endif
constexpr int kPanelVectors = kPanelItems / 16;
static_assert(kTileQueries <= kMostTileQueries);

// Comparisons as 16 bits, one for each lane. not_at_most: greater, or either is NaN.
#if defined(__AVX512F__)
uint32_t not_at_most(Vec16 a, Vec16 b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_NLE_UQ);
}
uint32_t greater(Vec16 a, Vec16 b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ);
}
uint32_t equal(Vec16 a, Vec16 b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ);
}
uint32_t unordered(Vec16 a, Vec16 b) {
  return _mm512_cmp_ps_mask(a.v, b.v, _CMP_UNORD_Q);
}
#elif defined(__AVX2__)
uint32_t lanes(__m256 lo, __m256 hi) {
  return static_cast<uint32_t>(_mm256_movemask_ps(lo)) |
         static_cast<uint32_t>(_mm256_movemask_ps(hi)) << 8;
}
uint32_t not_at_most(Vec16 a, Vec16 b) {
  return lanes(_mm256_cmp_ps(a.lo, b.lo, _CMP_NLE_UQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_NLE_UQ));
}
uint32_t greater(Vec16 a, Vec16 b) {
  return lanes(_mm256_cmp_ps(a.lo, b.lo, _CMP_GT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_GT_OQ));
}
uint32_t equal(Vec16 a, Vec16 b) {
  return lanes(_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ));
}
uint32_t unordered(Vec16 a, Vec16 b) {
  return lanes(_mm256_cmp_ps(a.lo, b.lo, _CMP_UNORD_Q), _mm256_cmp_ps(a.hi, b.hi, _CMP_UNORD_Q));
}
#else
template <class Compare>
uint32_t lanes(Vec16 a, Vec16 b, Compare compare) {
  uint32_t mask = 0;
  for (int i = 0; i < 16; ++i) {
    mask |= (compare(a.q[i / 4][i % 4], b.q[i / 4][i % 4]) ? 1u : 0u) << i;
  }
  return mask;
}
uint32_t not_at_most(Vec16 a, Vec16 b) {
  return lanes(a, b, [](float x, float y) { return !(x <= y); });
}
uint32_t greater(Vec16 a, Vec16 b) {
  return lanes(a, b, [](float x, float y) { return x > y; });
}
uint32_t equal(Vec16 a, Vec16 b) {
  return lanes(a, b, [](float x, float y) { return x == y; });
}
uint32_t unordered(Vec16 a, Vec16 b) {
  return lanes(a, b, [](float x, float y) { return x != x || y != y; });
}
#endif

/// scores [Queries][kPanelItems] of packed queries [d][stride] and a panel [d][kPanelItems].
template <int Queries>
void score_tile(const float* queries, int stride, const float* panel, int32_t d, float* scores) {
  for (int first = 0; first < kPanelVectors; first += kTileVectors) {
    Vec16 sums[Queries][kTileVectors];
    TT_UNROLL for (int q = 0; q < Queries; ++q) {
      TT_UNROLL for (int v = 0; v < kTileVectors; ++v) sums[q][v] = Vec16::zero();
    }
    const float* x = panel + 16 * first;
    const float* y = queries;
    for (int32_t c = 0; c < d; ++c) {
      Vec16 item[kTileVectors];
      TT_UNROLL for (int v = 0; v < kTileVectors; ++v) item[v] = Vec16::load(x + 16 * v);
      TT_UNROLL for (int q = 0; q < Queries; ++q) {
        const Vec16 one = Vec16::all(y[q]);
        TT_UNROLL for (int v = 0; v < kTileVectors; ++v) sums[q][v] = fma(one, item[v], sums[q][v]);
      }
      x += kPanelItems;
      y += stride;
    }
    TT_UNROLL for (int q = 0; q < Queries; ++q) {
      TT_UNROLL for (int v = 0; v < kTileVectors; ++v) {
        sums[q][v].store(scores + q * kPanelItems + 16 * (first + v));
      }
    }
  }
}

/// panel [d][kPanelItems] from item_of(0 .. count - 1), the rest 0.
template <class ItemOf>
void pack_panel(const ScanJob& job, int count, ItemOf item_of) {
  const int32_t d = job.d;
  for (int i = 0; i < count; ++i) {
    const int64_t item = item_of(i);
    const float* row = job.items + item * d;
    const float scale = job.inverse_norms != nullptr ? job.inverse_norms[item] : 1.0f;
    for (int32_t c = 0; c < d; ++c) job.panel[c * kPanelItems + i] = row[c] * scale;
  }
  for (int i = count; i < kPanelItems; ++i) {
    for (int32_t c = 0; c < d; ++c) job.panel[c * kPanelItems + i] = 0.0f;
  }
}

/// Calls use(query, first item of the panel, items in it, scores [kPanelItems]) for all.
template <class Use>
void scan(const ScanJob& job, Use use) {
  alignas(64) float scores[kTileQueries * kPanelItems];
  for (int64_t base = job.item_begin; base < job.item_end; base += kPanelItems) {
    const int64_t left = job.item_end - base;
    const int count = static_cast<int>(left < kPanelItems ? left : kPanelItems);
    pack_panel(job, count, [base](int i) { return base + i; });
    const float* queries = job.queries;
    for (int32_t q = 0; q < job.query_count; q += kTileQueries) {
      score_tile<kTileQueries>(queries, kTileQueries, job.panel, job.d, scores);
      queries += static_cast<int64_t>(job.d) * kTileQueries;
      const int here = job.query_count - q < kTileQueries ? job.query_count - q : kTileQueries;
      for (int i = 0; i < here; ++i) use(q + i, base, count, scores + i * kPanelItems);
    }
  }
}

void pack_queries(const float* queries, const float* inverse_norms, int32_t count, int32_t d,
                  float* packed) {
  for (int32_t first = 0; first < count; first += kTileQueries) {
    for (int q = 0; q < kTileQueries; ++q) {
      const int32_t query = first + q;
      if (query >= count) {
        for (int32_t c = 0; c < d; ++c) packed[c * kTileQueries + q] = 0.0f;
        continue;
      }
      const float* row = queries + static_cast<int64_t>(query) * d;
      const float scale = inverse_norms != nullptr ? inverse_norms[query] : 1.0f;
      for (int32_t c = 0; c < d; ++c) packed[c * kTileQueries + q] = row[c] * scale;
    }
    packed += static_cast<int64_t>(d) * kTileQueries;
  }
}

uint32_t lanes_below(int n) {
  return n >= 32 ? ~0u : n <= 0 ? 0u : (1u << n) - 1;
}

/// Bit i: item base + i is excluded. Bases ascend from call to call: the list is gone through once.
uint32_t excluded_lanes(BestItems& best, int64_t base) {
  while (best.excluded != best.excluded_end && *best.excluded < base) ++best.excluded;
  uint32_t lanes = 0;
  for (const int32_t* e = best.excluded; e != best.excluded_end && *e < base + kPanelItems; ++e) {
    lanes |= 1u << (*e - base);
  }
  return lanes;
}

void inverse_norms(const float* rows, int64_t count, int32_t d, float* inverse) {
  for (int64_t i = 0; i < count; ++i) {
    const float* row = rows + i * d;
    Vec16 squares = Vec16::zero();
    int32_t c = 0;
    for (; c + 16 <= d; c += 16) {
      const Vec16 x = Vec16::load(row + c);
      squares = fma(x, x, squares);
    }
    if (c < d) {
      const Vec16 x = Vec16::load(row + c, d - c);
      squares = fma(x, x, squares);
    }
    double total = static_cast<double>(sum(squares));
    if (!(total > 1e-20 && total < 1e30)) {  // squares near the ends of float32's range
      total = 0;
      for (int32_t j = 0; j < d; ++j) {
        total += static_cast<double>(row[j]) * static_cast<double>(row[j]);
      }
    }
    const double norm = __builtin_sqrt(total);
    inverse[i] = norm < 1e-12 ? 0.0f : static_cast<float>(1.0 / norm);
  }
}

void top_k(const TopKJob& job) {
  scan(job.scan, [&job](int32_t q, int64_t base, int count, const float* scores) {
    // Items come in ascending order of their ids, so one that only equals the threshold loses. NaN
    // passes here and is judged by its key; a threshold of NaN lets everything pass.
    const Vec16 threshold = Vec16::all(job.thresholds[q]);
    uint32_t candidates = 0;
    for (int v = 0; v < kPanelVectors; ++v) {
      candidates |= not_at_most(Vec16::load(scores + 16 * v), threshold) << (16 * v);
    }
    if (candidates == 0) return;
    BestItems& best = job.best[q];
    candidates &= lanes_below(count) & ~excluded_lanes(best, base);
    for (; candidates != 0; candidates &= candidates - 1) {
      const int i = __builtin_ctz(candidates);
      best.keys[best.count] = rank_key(scores[i], static_cast<int32_t>(base + i));
      if (++best.count == best.capacity) job.thresholds[q] = job.compact(best, job.k);
    }
  });
}

/// How many of the scores come before the target.
int64_t count_before(const float* scores, int64_t base, int count, const RankTarget& target) {
  const Vec16 own = Vec16::all(target.score);
  const bool is_nan = target.score != target.score;
  const int64_t below = target.id - base;
  const uint32_t lower_ids =
      below > 32 ? ~0u : lanes_below(static_cast<int>(below < 0 ? 0 : below));
  uint32_t before = 0;
  for (int v = 0; v < kPanelVectors; ++v) {
    const Vec16 s = Vec16::load(scores + 16 * v);
    const uint32_t lower = lower_ids >> (16 * v) & 0xFFFFu;
    const uint32_t here =
        is_nan ? (~unordered(s, s) & 0xFFFFu) | lower : greater(s, own) | (equal(s, own) & lower);
    before |= here << (16 * v);
  }
  return __builtin_popcount(before & lanes_below(count));
}

void rank(const RankJob& job) {
  scan(job.scan, [&job](int32_t q, int64_t base, int count, const float* scores) {
    for (int64_t t = job.target_begin[q]; t < job.target_begin[q + 1]; ++t) {
      job.targets[t].before += count_before(scores, base, count, job.targets[t]);
    }
  });
}

void score(const ScanJob& job, int32_t query, const int32_t* ids, int64_t count, float* scores) {
  alignas(64) float tile[kPanelItems];
  const float* packed = job.queries +
                        static_cast<int64_t>(query / kTileQueries) * job.d * kTileQueries +
                        query % kTileQueries;
  for (int64_t first = 0; first < count; first += kPanelItems) {
    const int64_t left = count - first;
    const int here = static_cast<int>(left < kPanelItems ? left : kPanelItems);
    pack_panel(job, here, [&](int i) { return static_cast<int64_t>(ids[first + i]); });
    score_tile<1>(packed, kTileQueries, job.panel, job.d, tile);
    for (int i = 0; i < here; ++i) scores[first + i] = tile[i];
  }
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
