// A small generator for schedules (SplitMix64, Steele et al., OOPSLA 2014).
#pragma once

#include <cstdint>

namespace simt {

class Random {
 public:
  explicit Random(std::uint64_t seed = 0) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  // In [0, bound), with a bias below 2^-32 that no schedule cares about.
  unsigned below(unsigned bound) {
    return static_cast<unsigned>((next() >> 32) * static_cast<std::uint64_t>(bound) >> 32);
  }

 private:
  std::uint64_t state_;
};

}  // namespace simt
