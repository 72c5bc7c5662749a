// Philox4x32-10: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
// and how Twintail fills its key and counter (twintail.h, "Randomness"). Host and device.
#ifndef TWINTAIL_CORE_PHILOX_H
#define TWINTAIL_CORE_PHILOX_H

#include <stdint.h>

#if defined(__CUDACC__)
#define TT_HD __host__ __device__ __forceinline__
#else
#define TT_HD inline
#endif

namespace tt {

struct PhiloxKey {
  uint32_t v[2];
};

struct PhiloxBlock {  // a counter, or the four outputs of one
  uint32_t v[4];
};

TT_HD constexpr uint32_t mul_hi(uint32_t a, uint32_t b) {
  return static_cast<uint32_t>((static_cast<uint64_t>(a) * b) >> 32);
}

TT_HD constexpr PhiloxBlock philox_round(PhiloxBlock c, PhiloxKey k) {
  constexpr uint32_t m0 = 0xD2511F53u;
  constexpr uint32_t m1 = 0xCD9E8D57u;
  return PhiloxBlock{{mul_hi(m1, c.v[2]) ^ c.v[1] ^ k.v[0], m1 * c.v[2],
                      mul_hi(m0, c.v[0]) ^ c.v[3] ^ k.v[1], m0 * c.v[0]}};
}

TT_HD constexpr PhiloxBlock philox(PhiloxBlock counter, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    if (round > 0) key = PhiloxKey{{key.v[0] + 0x9E3779B9u, key.v[1] + 0xBB67AE85u}};
    counter = philox_round(counter, key);
  }
  return counter;
}

TT_HD constexpr PhiloxKey philox_key(uint64_t seed, uint32_t purpose) {
  return PhiloxKey{
      {static_cast<uint32_t>(seed) ^ (purpose * 0x9E3779B9u), static_cast<uint32_t>(seed >> 32)}};
}

TT_HD constexpr PhiloxBlock philox_counter(uint32_t position, uint32_t row, int64_t step,
                                           uint32_t feature, uint32_t view, uint32_t draw) {
  return PhiloxBlock{
      {position, row, static_cast<uint32_t>(static_cast<uint64_t>(step)),
       feature | (view << 8) | (draw << 12) |
           (static_cast<uint32_t>((static_cast<uint64_t>(step) >> 32) & 0xFFFFu) << 16)}};
}

/// An integer in [0, bound): the high half of a 64-bit draw times bound.
TT_HD uint64_t philox_below(uint32_t low, uint32_t high, uint64_t bound) {
  const uint64_t draw = (static_cast<uint64_t>(high) << 32) | low;
#if defined(__CUDA_ARCH__)
  return __umul64hi(draw, bound);
#else
  return static_cast<uint64_t>((static_cast<unsigned __int128>(draw) * bound) >> 64);
#endif
}

/// u in [0, 1) with 24 bits.
TT_HD float philox_unit(uint32_t u) {
  return static_cast<float>(u >> 8) * (1.0f / 16777216.0f);
}

}  // namespace tt
#endif
