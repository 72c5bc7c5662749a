// For which exponents one constant shift serves a whole softmax in float32, for host and device.
#ifndef TWINTAIL_CORE_EXPONENT_RANGE_H
#define TWINTAIL_CORE_EXPONENT_RANGE_H

#include <stdint.h>

#include "philox.h"  // TT_HD

namespace tt {

/// The widest range of exponents, in units of log 2, that may be centred on 0: 2^104 leaves room for sums over 2^20
/// columns, and 2^20 / sum is a normal float then. Twice as many columns take one of either end.
TT_HD double widest_exponent_range(int64_t columns) {
  double range = 208.0;
  for (int64_t room = int64_t{1} << 20; room < columns && range > 0.0; room *= 2) range -= 2.0;
  return range;
}

}  // namespace tt
#endif
