// Runs of equal keys in sorted lookups, and how they fall to embedding tables.
#pragma once

#include "gather/extent.h"
#include "gather/zeroed.h"

namespace tt::cuda {

/// Lookups in the order of their keys. The keys of table t are [first_keys[t], first_keys[t + 1]).
struct SortedLookups {
  const uint32_t* keys;
  const uint32_t* bags;
  const uint32_t* starts;      // [runs + 1]: of each run
  const uint32_t* table_runs;  // [tables + 1]: the first run of each table
};

/// first_keys: device [tables + 1]; counts: device [tables], where the number of each table's runs goes, NULL
/// entries: nowhere; or NULL. count: lookups, < 2^32.
SortedLookups find_runs(Context& context, Scope& scope, Zeroed& zeroed, const uint32_t* keys,
                        const uint32_t* bags, const Extent& count, const int64_t* first_keys,
                        int32_t tables, int64_t* const* counts);

}  // namespace tt::cuda
