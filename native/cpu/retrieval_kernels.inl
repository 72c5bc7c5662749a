// Included by retrieval_kernels_<isa>.cpp only.
#include "retrieval_kernels.h"
#include "transpose.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kTileQueries = 12;  // 24 accumulators, 2 items, 1 query
constexpr int kTileVectors = 2;
constexpr bool kComparesInRegisters = true;
#elif defined(__AVX2__)
constexpr int kTileQueries = 6;  // 12 accumulators of 8, 2 items, 1 query
constexpr int kTileVectors = 1;
constexpr bool kComparesInRegisters = true;
#else
constexpr int kTileQueries = 2;  // 8 accumulators of 4
constexpr int kTileVectors = 1;
constexpr bool kComparesInRegisters = false;  // else g++ keeps the accumulators in memory
#endif
constexpr int kPanelVectors = kPanelItems / 16;
static_assert(kTileQueries <= kMostTileQueries);

// Comparisons as bits, one for each lane. not_at_most: greater, or either is NaN; of one query's part of a tile.
#if defined(__AVX512F__)
uint32_t not_at_most(const Vec16 (&a)[2], Vec16 b) {
  return _mm512_kunpackw(_mm512_cmp_ps_mask(a[1].v, b.v, _CMP_NLE_UQ),
                         _mm512_cmp_ps_mask(a[0].v, b.v, _CMP_NLE_UQ));
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
uint32_t not_at_most(const Vec16 (&a)[1], Vec16 b) {
  return lanes(_mm256_cmp_ps(a[0].lo, b.lo, _CMP_NLE_UQ),
               _mm256_cmp_ps(a[0].hi, b.hi, _CMP_NLE_UQ));
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
  QuadBits all = {};
  TT_UNROLL for (uint32_t i = 0; i < 4; ++i) {
    const QuadBits bits = {1, 2, 4, 8};
    all |= (QuadBits)compare(a.q[i], b.q[i]) & (bits << (4 * i));
  }
  return (all[0] | all[1]) | (all[2] | all[3]);
}
uint32_t not_at_most(const Vec16 (&a)[1], Vec16 b) {
  return lanes(a[0], b, [](Quad x, Quad y) { return ~(x <= y); });
}
uint32_t greater(Vec16 a, Vec16 b) {
  return lanes(a, b, [](Quad x, Quad y) { return x > y; });
}
uint32_t equal(Vec16 a, Vec16 b) {
  return lanes(a, b, [](Quad x, Quad y) { return x == y; });
}
uint32_t unordered(Vec16 a, Vec16 b) {
  return lanes(a, b, [](Quad x, Quad y) { return (x != x) | (y != y); });
}
#endif

/// Products of packed queries [d][stride] and a panel [d][kPanelItems]. Calls finish(query, first vector of the panel,
/// scores) while they are in registers.
template <int Queries, class Finish>
void score_tile(const float* queries, int stride, const float* panel, int32_t d, Finish finish) {
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
    TT_UNROLL for (int q = 0; q < Queries; ++q) finish(q, first, sums[q]);
  }
}

/// For score_tile: keeps the scores [Queries][kPanelItems].
struct StoreScores {
  float* scores;

  void operator()(int q, int first, const Vec16 (&sums)[kTileVectors]) const {
    TT_UNROLL for (int v = 0; v < kTileVectors; ++v) {
      sums[v].store(scores + q * kPanelItems + 16 * (first + v));
    }
  }
};

/// panel [d][kPanelItems] from item_of(0 .. count - 1), the rest 0.
template <class ItemOf>
void pack_panel(const ScanJob& job, int count, ItemOf item_of) {
  constexpr int kStage = 64;  // columns at a time
  alignas(64) float stage[kPanelItems * kStage];
  for (int32_t first = 0; first < job.d; first += kStage) {
    const int32_t columns = job.d - first < kStage ? job.d - first : kStage;
    for (int i = 0; i < kPanelItems; ++i) {
      const int64_t item = i < count ? item_of(i) : 0;
      const float scale = i >= count                     ? 0.0f
                          : job.inverse_norms != nullptr ? job.inverse_norms[item]
                                                         : 1.0f;
      const float* row = job.items + item * job.d + first;
      for (int32_t c = 0; c < columns; c += 16) {
        const Vec16 x = i >= count          ? Vec16::zero()
                        : columns - c >= 16 ? Vec16::load(row + c)
                                            : Vec16::load(row + c, columns - c);
        (x * Vec16::all(scale)).store(stage + i * kStage + c);
      }
    }
    transpose(job.panel + static_cast<int64_t>(first) * kPanelItems, kPanelItems, stage, kStage,
              columns);
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
      score_tile<kTileQueries>(queries, kTileQueries, job.panel, job.d, StoreScores{scores});
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

uint32_t not_at_most(const float* scores, float threshold) {
  uint32_t lanes = 0;
  for (int first = 0; first < kPanelVectors; first += kTileVectors) {
    Vec16 part[kTileVectors];
    for (int v = 0; v < kTileVectors; ++v) part[v] = Vec16::load(scores + 16 * (first + v));
    lanes |= not_at_most(part, Vec16::all(threshold)) << (16 * first);
  }
  return lanes;
}

/// The scores of a tile [kTileQueries][kPanelItems], and which are not at most their query's threshold.
void score_and_compare(const ScanJob& job, const float* queries, const float* thresholds,
                       float* scores, uint32_t* lanes) {
  if constexpr (kComparesInRegisters) {
    score_tile<kTileQueries>(queries, kTileQueries, job.panel, job.d,
                             [&](int q, int v, const Vec16(&sums)[kTileVectors]) {
                               StoreScores{scores}(q, v, sums);
                               const uint32_t here = not_at_most(sums, Vec16::all(thresholds[q]))
                                                     << (16 * v);
                               lanes[q] = v == 0 ? here : lanes[q] | here;
                             });
  } else {
    score_tile<kTileQueries>(queries, kTileQueries, job.panel, job.d, StoreScores{scores});
    for (int q = 0; q < kTileQueries; ++q) {
      lanes[q] = not_at_most(scores + q * kPanelItems, thresholds[q]);
    }
  }
}

/// Items of a panel that may be among the best of a query.
struct Passed {
  int32_t query;
  uint32_t lanes;
};

/// Scores of some tiles of queries with one panel, and who passed.
struct TileGroup {
  static constexpr int kTiles = 8;  // the scores stay in the first-level cache
  static constexpr int kQueries = kTiles * kTileQueries;

  alignas(64) float scores[kQueries * kPanelItems];
  Passed passed[kQueries];
  int passed_count;

  /// Queries first .. first + count - 1. A query without candidates costs no branch: most have none, but which have
  /// some cannot be foretold.
  void fill(const TopKJob& job, int32_t first, int32_t count) {
    passed_count = 0;
    for (int32_t done = 0; done < count; done += kTileQueries) {
      const float* thresholds = job.thresholds + first + done;
      float* tile = scores + done * kPanelItems;
      const float* queries = job.scan.queries + static_cast<int64_t>(first + done) * job.scan.d;
      uint32_t lanes[kTileQueries];
      score_and_compare(job.scan, queries, thresholds, tile, lanes);
      const int here = count - done < kTileQueries ? count - done : kTileQueries;
      for (int q = 0; q < here; ++q) {
        passed[passed_count] = Passed{first + done + q, lanes[q]};
        passed_count += lanes[q] != 0 ? 1 : 0;
      }
    }
  }
};

/// Items come in ascending order of their ids, so one that only equals the threshold loses. NaN passes and is judged by
/// its key; a threshold of NaN lets everything pass.
void take_candidates(const TopKJob& job, int32_t query, uint32_t lanes, int64_t base,
                     const float* scores) {
  BestItems& best = job.best[query];
  for (lanes &= ~excluded_lanes(best, base); lanes != 0; lanes &= lanes - 1) {
    const int i = __builtin_ctz(lanes);
    best.keys[best.count] = rank_key(scores[i], static_cast<int32_t>(base + i));
    if (++best.count == best.capacity) job.thresholds[query] = job.compact(best, job.k);
  }
}

/// Asks for the rows of the next panel while this one is multiplied, an even share in each of some turns.
class NextPanel {
 public:
  NextPanel(const ScanJob& job, int64_t begin, int turns) {
    const int64_t left = job.item_end - begin;
    const int64_t rows = left < 0 ? 0 : left < kPanelItems ? left : kPanelItems;
    at_ = reinterpret_cast<const char*>(job.items + begin * job.d);
    end_ = at_ + rows * job.d * static_cast<int64_t>(sizeof(float));
    lines_ = (end_ - at_ + 64 * turns - 1) / (64 * turns);
  }

  TT_PREFETCHES void ask() {
    for (int64_t i = 0; i < lines_ && at_ < end_; ++i, at_ += 64) prefetch_far(at_);
  }

 private:
  const char* at_;
  const char* end_;
  int64_t lines_;
};

void top_k(const TopKJob& job) {
  TileGroup group;
  const int groups = (job.scan.query_count + TileGroup::kQueries - 1) / TileGroup::kQueries;
  for (int64_t base = job.scan.item_begin; base < job.scan.item_end; base += kPanelItems) {
    const int64_t left = job.scan.item_end - base;
    const int count = static_cast<int>(left < kPanelItems ? left : kPanelItems);
    pack_panel(job.scan, count, [base](int i) { return base + i; });
    NextPanel next(job.scan, base + kPanelItems, groups);
    for (int32_t first = 0; first < job.scan.query_count; first += TileGroup::kQueries) {
      next.ask();
      const int32_t queries = job.scan.query_count - first;
      group.fill(job, first, queries < TileGroup::kQueries ? queries : TileGroup::kQueries);
      for (int p = 0; p < group.passed_count; ++p) {
        const Passed& passed = group.passed[p];
        take_candidates(job, passed.query, passed.lanes & lanes_below(count), base,
                        group.scores + (passed.query - first) * kPanelItems);
      }
    }
  }
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
    score_tile<1>(packed, kTileQueries, job.panel, job.d, StoreScores{tile});
    for (int i = 0; i < here; ++i) scores[first + i] = tile[i];
  }
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
