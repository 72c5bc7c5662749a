// The lookups of a reading: the values that a view keeps, bag by bag. Masked and emptied bags look up the
// default, 0; all else that is masked or dropped is left out.
#pragma once

#include "gather/gather_call.h"

namespace tt::cuda {

constexpr int kLookupThreads = 256;

/// A view whose lookups are wanted.
struct LookupView {
  Reading<1> reading;
  int64_t end;  // of its rows among those of all views
};

/// What is read: the features of all views. Both arrays: device.
struct LookupJob {
  const LookupView* views;
  const GatherFeature*
      features;  // with `blocks` blocks of kLookupThreads for the rows of all views
  int feature_count;
  int64_t rows;  // of all views
  uint32_t blocks;
};

/// Where lookups go. A bag is numbered feature.first_bag + its row among those of all views.
struct LookupOutput {
  const int64_t* offsets;  // of each bag's first lookup; NULL: bag b has lookup b alone
  uint32_t* keys;          // feature.first_key + value
  uint32_t* bags;          // or NULL
  float* scales;           // [bags]: what the bag's sum is multiplied with; or NULL
};

/// Lanes that read a bag of the feature.
int lookup_lanes(const GatherFeature& feature);

/// counts [bags]: how many lookups each bag has.
void count_lookups(Context& context, const LookupJob& job, int64_t* counts);

void write_lookups(Context& context, const LookupJob& job, const LookupOutput& output);

}  // namespace tt::cuda
