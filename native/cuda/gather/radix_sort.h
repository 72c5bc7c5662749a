// A stable radix sort of 32-bit keys with 32-bit values.
#pragma once

#include "gather/extent.h"
#include "gather/zeroed.h"

namespace tt::cuda {

struct KeysAndValues {
  uint32_t* keys;
  uint32_t* values;
};

/// Sorts count < 2^32 pairs by the low `bits` of the keys; equal keys stay in their order. Returns where the
/// result lies: in `pairs` or in `spare`, both [count].
KeysAndValues radix_sort(Context& context, Scope& scope, Zeroed& zeroed, KeysAndValues pairs,
                         KeysAndValues spare, const Extent& count, int bits);

}  // namespace tt::cuda
