// The lookups of a reading: the values that a view keeps, bag by bag. Masked and emptied bags look up the
// default, 0; all else that is masked or dropped is left out.
#pragma once

#include "gather/gather_call.h"

namespace tt::cuda {

constexpr int kLookupThreads = 256;

/// Where lookups go. A bag is numbered feature.first_bag + first_row + row.
struct LookupOutput {
  const int64_t* offsets;  // of each bag's first lookup; NULL: bag b has lookup b alone
  uint32_t* keys;          // feature.first_key + value
  uint32_t* bags;          // or NULL
  float* scales;           // [bags]: what the bag's sum is multiplied with; or NULL
  int64_t first_row;
};

/// Lanes that read a bag of the feature.
int lookup_lanes(const GatherFeature& feature);

/// counts [bags]: how many lookups each bag has. features: device, with `blocks` blocks of kLookupThreads.
void count_lookups(Context& context, const Reading<1>& reading, const GatherFeature* features,
                   int feature_count, uint32_t blocks, int64_t first_row, int64_t* counts);

void write_lookups(Context& context, const Reading<1>& reading, const GatherFeature* features,
                   int feature_count, uint32_t blocks, const LookupOutput& output);

}  // namespace tt::cuda
