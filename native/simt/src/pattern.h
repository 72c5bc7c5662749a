// What lies around every variable and allocation: compared afterwards, so that writes are found, and NaN
// in every floating-point type (16, 32 and 64 bits), so that what is read there spoils a result.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

inline unsigned char pattern_at(const unsigned char* p) {
  return reinterpret_cast<std::uintptr_t>(p) % 2 == 0 ? 0xf5 : 0xff;
}

inline void pattern_fill(unsigned char* from, const unsigned char* to) {
  for (unsigned char* p = from; p < to; p++) *p = pattern_at(p);
}

// Distance of the first byte that is not the pattern, or -1.
inline std::ptrdiff_t pattern_damage(const unsigned char* from, const unsigned char* to) {
  for (const unsigned char* p = from; p < to; p++)
    if (*p != pattern_at(p)) return p - from;
  return -1;
}

}  // namespace simt
