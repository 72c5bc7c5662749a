// Scores of queries and items in register tiles, compiled once per instruction set.
//
// Every score is the same chain of multiply-adds over the columns wherever it stands in a tile, so equal
// vectors have equal scores, and top_k and rank agree to the bit.
#ifndef TWINTAIL_CPU_RETRIEVAL_KERNELS_H
#define TWINTAIL_CPU_RETRIEVAL_KERNELS_H

#include <stdint.h>

namespace tt::cpu {

/// Best first by score, then by lower id, as one unsigned number: larger is better. NaN is worst.
using RankKey = uint64_t;
inline RankKey rank_key(float score, int32_t id) {
  union {
    float f;
    uint32_t u;
  } bits;
  bits.f = score + 0.0f;  // -0 becomes +0
  uint32_t ordered = (bits.u & 0x80000000u) != 0 ? ~bits.u : bits.u | 0x80000000u;
  if (score != score) ordered = 0;
  return static_cast<uint64_t>(ordered) << 32 | (0xFFFFFFFFu - static_cast<uint32_t>(id));
}

/// The score of a key; -0 has become +0, and all NaN one.
inline float key_score(RankKey key) {
  const auto ordered = static_cast<uint32_t>(key >> 32);
  union {
    float f;
    uint32_t u;
  } bits;
  bits.u = (ordered & 0x80000000u) != 0 ? ordered & 0x7FFFFFFFu : ~ordered;
  if (ordered == 0) bits.u = 0x7FC00000u;
  return bits.f;
}
inline int32_t key_id(RankKey key) {
  return static_cast<int32_t>(0xFFFFFFFFu - static_cast<uint32_t>(key));
}

constexpr int kMostTileQueries = 12;
constexpr int kPanelItems = 32;

/// The best items of one query so far.
struct BestItems {
  RankKey* keys;
  int32_t count;
  int32_t capacity;
  const int32_t* excluded;  // ascending
  const int32_t* excluded_end;
};

/// Packed queries against a range of items.
struct ScanJob {
  const float* queries;  // [panels][d][tile_queries]
  int32_t query_count;
  int32_t d;
  const float* items;          // [m, d]
  const float* inverse_norms;  // [m] or NULL
  int64_t item_begin, item_end;
  float* panel;  // scratch [d, kPanelItems]
};

struct TopKJob {
  ScanJob scan;
  BestItems* best;  // [query_count]
  /// [query_count], readable to a whole tile: the score of the last of the best k, NaN while there are fewer.
  float* thresholds;
  /// Called when `count` reaches `capacity`: keeps the best k and returns the threshold.
  float (*compact)(BestItems& best, int32_t k);
  int32_t k;
};

/// A target of one query; the scan adds how many items come before it.
struct RankTarget {
  float score;
  int32_t id;
  int64_t before;
};

struct RankJob {
  ScanJob scan;
  RankTarget* targets;
  const int64_t* target_begin;  // [query_count + 1], into targets
};

struct RetrievalKernels {
  int32_t tile_queries;
  /// inverse [count] = 1 / |row|, 0 where |row| < 1e-12.
  void (*inverse_norms)(const float* rows, int64_t count, int32_t d, float* inverse);
  /// packed [ceil(count / tile_queries)][d][tile_queries], absent queries are 0.
  void (*pack_queries)(const float* queries, const float* inverse_norms, int32_t count, int32_t d,
                       float* packed);
  void (*top_k)(const TopKJob& job);
  void (*rank)(const RankJob& job);
  /// scores [count] of one packed query with the items `ids`.
  void (*score)(const ScanJob& job, int32_t query, const int32_t* ids, int64_t count,
                float* scores);
};

extern const RetrievalKernels kRetrievalPortable;
extern const RetrievalKernels kRetrievalAvx2;
extern const RetrievalKernels kRetrievalAvx512;

}  // namespace tt::cpu
#endif
