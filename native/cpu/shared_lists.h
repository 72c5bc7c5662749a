// Lists that name the same catalogue rows: each distinct row is pooled once, and a list is a sum of these.
//
// Users' histories name the same items. One value at a time, a batch of users reads each value of an item
// as often as the item is named, and backward sorts as many gradients. With shared lists backward goes the
// same way back: gradients of lists are summed for each distinct row, and only these sums are sorted.
#ifndef TWINTAIL_CPU_SHARED_LISTS_H
#define TWINTAIL_CPU_SHARED_LISTS_H

#include <cstdint>

#include "gather_kernels.h"
#include "lookups.h"

namespace tt::cpu {

/// What the lists of one view keep. A slot is a distinct catalogue row, in ascending order.
struct SharedLists {
  PlannedView planned;
  uint64_t features;  // those that are read through the lists
  int64_t rows;
  int64_t* begins;  // [rows + 1]: of each row's slots
  int32_t* slots;   // [begins[rows]], and kReadAhead more that may be read
  uint64_t* masks;  // [rows]: features masked as a whole
  float* scales;    // [rows, TT_MAX_FEATURES of the table]: 0 where a row has the feature's default
  int64_t scale_ld;
  int64_t slot_count;
  int32_t* slot_rows;  // [slot_count]
};

/// NULL where sharing does not pay or the group's views keep single values: then each value is looked up.
/// Checks the rows of the group. The answer follows from the arguments alone, not from the threads.
const SharedLists* share_lists(Context& context, ArenaScope& scope, const Table& table,
                               const ViewGroup& group);

/// Calls use(f) for every feature of a set, ascending.
template <class Use>
void for_each_feature(uint64_t features, Use use) {
  for (; features != 0; features &= features - 1) use(lowest_bit(features));
}

/// view.vectors += the lists' part: for every row and shared feature the pooled sums [slot_count, width] of its
/// slots, or the default embedding.
void pool_lists(Context& context, ArenaScope& scope, const Table& table,
                const tt_embedding* embeddings, const int64_t* columns, int64_t width,
                const GatherKernels& kernels, const SharedLists& lists, const float* sums);

/// The gradients of the slots [slot_count, width], in the columns of the shared features.
float* slot_gradients(Context& context, ArenaScope& scope, const Table& table,
                      const tt_embedding* embeddings, const int64_t* columns, int64_t width,
                      const GatherKernels& kernels, const SharedLists& lists);

}  // namespace tt::cpu
#endif
