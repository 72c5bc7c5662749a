// What top_k and rank share: norms, exclusions, and the cut into tasks.
#ifndef TWINTAIL_CPU_RETRIEVAL_H
#define TWINTAIL_CPU_RETRIEVAL_H

#include <cstdint>

#include "context.h"
#include "retrieval_kernels.h"

namespace tt::cpu {

/// 1 / |row|, 0 for rows with |row| < 1e-12; NULL where the similarity needs no norms.
const float* inverse_norms(Context& context, ArenaScope& scope, const RetrievalKernels& kernels,
                           int32_t similarity, const float* rows, int64_t count, int32_t d);

/// Offsets [n + 1] of lists: they must start at 0 and not fall.
void check_list_offsets(const char* name, const int64_t* offsets, int64_t n);
/// Entries of a list must be in [0, m).
void check_list_items(Context& context, const char* name, const int32_t* items, int64_t count,
                      int64_t m);

/// A sorted copy of the exclusions of every query.
struct Exclusions {
  const int64_t* offsets = nullptr;  // NULL: none
  const int32_t* items = nullptr;

  static Exclusions make(Context& context, ArenaScope& scope, const tt_retrieval_args& args);

  const int32_t* begin(int64_t query) const {
    return offsets != nullptr ? items + offsets[query] : nullptr;
  }
  int64_t count(int64_t query) const {
    return offsets != nullptr ? offsets[query + 1] - offsets[query] : 0;
  }
};

/// Blocks of queries times slices of items. Results do not depend on the cut, so it may depend on the
/// number of threads.
struct RetrievalTasks {
  int64_t query_block;
  int64_t query_blocks;
  int64_t slices;
  int64_t slice_items;

  static RetrievalTasks make(const tt_retrieval_args& args, int threads, int64_t most_queries);

  int64_t count() const { return query_blocks * slices; }
};

/// The scratch of one worker: packed queries and a panel of items.
struct RetrievalScratch {
  float* queries;
  float* panel;

  static RetrievalScratch make(ArenaScope& scope, const RetrievalKernels& kernels, int64_t queries,
                               int32_t d);
};

}  // namespace tt::cpu
#endif
