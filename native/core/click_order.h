// The order of an epoch's clicks: a permutation of which every number is found by itself, so that no order is drawn
// ahead, stored or sent to a device (twintail.h, tt_sample_clicks). Host and device.
//
// A cipher over numbers of b bits, walked until it falls below the count: Black and Rogaway, "Ciphers with arbitrary finite domains",
// CT-RSA 2002; as a shuffle on GPUs: Mitchell, Stokes, Frank and Holmes, "Bandwidth-optimal random shuffling for GPUs", 2022.
#ifndef TWINTAIL_CORE_CLICK_ORDER_H
#define TWINTAIL_CORE_CLICK_ORDER_H

#include "philox.h"
#include "twintail.h"

namespace tt {

struct ClickOrder {
  // Orders of up to six clicks and pairs in longer ones are as frequent as in random orders from 8 rounds on; with 4 they are
  // not, nor with halves of 2 bits and any number of rounds (native/tests/sample_clicks_test.cpp).
  static constexpr int kRounds = 12;
  static constexpr int kLeastBits = 6;

  uint64_t count;
  int low_bits, high_bits;
  uint32_t keys[kRounds];

  /// MurmurHash3's finalizer (Austin Appleby, public domain): every bit of the result depends on every bit of h.
  TT_HD static constexpr uint32_t mix(uint32_t h) {
    h = (h ^ (h >> 16)) * 0x85EBCA6Bu;
    h = (h ^ (h >> 13)) * 0xC2B2AE35u;
    return h ^ (h >> 16);
  }

  /// Which click stands at place i < count.
  TT_HD constexpr uint64_t at(uint64_t i) const {
    const uint32_t low_mask = (uint32_t{1} << low_bits) - 1;
    const uint32_t high_mask = (uint32_t{1} << high_bits) - 1;
    do {
      uint32_t low = static_cast<uint32_t>(i) & low_mask;
      uint32_t high = static_cast<uint32_t>(i >> low_bits);
      for (int r = 0; r < kRounds; r += 2) {
        low ^= mix(high + keys[r]) & low_mask;
        high ^= mix(low + keys[r + 1]) & high_mask;
      }
      i = static_cast<uint64_t>(high) << low_bits | low;
    } while (i >= count);
    return i;
  }
};

/// 1 <= count <= 2^62.
inline ClickOrder click_order(uint64_t seed, uint32_t purpose, int64_t epoch, int64_t count) {
  ClickOrder order{};
  order.count = static_cast<uint64_t>(count);
  int bits = ClickOrder::kLeastBits;
  while ((order.count - 1) >> bits != 0) ++bits;
  order.low_bits = bits / 2;
  order.high_bits = bits - order.low_bits;
  for (int r = 0; r < ClickOrder::kRounds; ++r) {
    const PhiloxBlock u =
        philox(philox_counter(static_cast<uint32_t>(r / 4), 0, epoch, 0, 0, TT_DRAW_ORDER),
               philox_key(seed, purpose));
    order.keys[r] = u.v[r % 4];
  }
  return order;
}

}  // namespace tt
#endif
