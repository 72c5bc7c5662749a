// Included by draw_kernels_<isa>.cpp only.
#include "draw_kernels.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

/// Sixteen unsigned words; the compiler maps them to the set's registers.
constexpr int kLanes = 16;
struct Words {
  uint32_t w[kLanes];
};

struct Blocks {
  Words v[4];
};

/// The high and low halves of the products with m, lane by lane.
inline void multiply(const Words& a, uint32_t m, Words& high, Words& low) {
#if defined(__AVX512F__)
  const __m512i x = _mm512_loadu_si512(a.w);
  const __m512i mm = _mm512_set1_epi32(static_cast<int>(m));
  const __m512i even = _mm512_maskz_mul_epu32(0xFF, x, mm);
  const __m512i odd = _mm512_maskz_mul_epu32(0xFF, _mm512_maskz_srli_epi64(0xFF, x, 32), mm);
  const __m512i even_high = _mm512_maskz_srli_epi64(0xFF, even, 32);
  _mm512_storeu_si512(high.w, _mm512_mask_blend_epi32(0xAAAA, even_high, odd));
  _mm512_storeu_si512(
      low.w, _mm512_mask_blend_epi32(0xAAAA, even, _mm512_maskz_slli_epi64(0xFF, odd, 32)));
#elif defined(__AVX2__)
  const __m256i mm = _mm256_set1_epi32(static_cast<int>(m));
  for (int i = 0; i < kLanes; i += 8) {
    const __m256i x = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(a.w + i));
    const __m256i even = _mm256_mul_epu32(x, mm);
    const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(x, 32), mm);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(high.w + i),
                        _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(low.w + i),
                        _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA));
  }
#else
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t product = static_cast<uint64_t>(a.w[i]) * m;
    high.w[i] = static_cast<uint32_t>(product >> 32);
    low.w[i] = static_cast<uint32_t>(product);
  }
#endif
}

/// Philox4x32-10 in every lane; the same rounds as tt::philox.
inline void philox_lanes(Blocks& c, PhiloxKey key) {
  for (int round = 0; round < 10; ++round) {
    Words high0, low0, high1, low1;
    multiply(c.v[0], 0xD2511F53u, high0, low0);
    multiply(c.v[2], 0xCD9E8D57u, high1, low1);
    for (int i = 0; i < kLanes; ++i) {
      c.v[0].w[i] = high1.w[i] ^ c.v[1].w[i] ^ key.v[0];
      c.v[2].w[i] = high0.w[i] ^ c.v[3].w[i] ^ key.v[1];
    }
    c.v[1] = low1;
    c.v[3] = low0;
    key.v[0] += 0x9E3779B9u;
    key.v[1] += 0xBB67AE85u;
  }
}

inline Blocks draw(const DrawJob& job, int32_t position, int first) {
  Blocks c;
  for (int i = 0; i < kLanes; ++i) {
    c.v[0].w[i] = job.first_position + static_cast<uint32_t>(position);
    c.v[1].w[i] = job.first_row + static_cast<uint32_t>(first + i);
    c.v[2].w[i] = job.step_low;
    c.v[3].w[i] = job.last;
  }
  philox_lanes(c, job.key);
  return c;
}

void events(const DrawJob& job, uint64_t bound, uint32_t* bits) {
  const auto highest = static_cast<uint32_t>(bound - 1);
  for (int first = 0; first < job.rows; first += kLanes) {
    Words found = {};
    for (int32_t p = 0; p < job.positions; ++p) {
      const Blocks u = draw(job, p, first);
      for (int o = 0; o < 4; ++o) {
        for (int i = 0; i < kLanes; ++i) {
          found.w[i] |= (u.v[o].w[i] <= highest ? 1u : 0u) << (4 * p + o);
        }
      }
    }
    const int count = job.rows - first < kLanes ? job.rows - first : kLanes;
    memcpy(bits + first, found.w, static_cast<size_t>(count) * sizeof(uint32_t));
  }
}

void pairs(const DrawJob& job, uint32_t* low, uint32_t* high) {
  for (int32_t p = 0; p < job.positions; ++p) {
    for (int first = 0; first < job.rows; first += kLanes) {
      const Blocks u = draw(job, p, first);
      memcpy(low + p * kDrawRows + first, u.v[0].w, sizeof u.v[0].w);
      memcpy(high + p * kDrawRows + first, u.v[1].w, sizeof u.v[1].w);
    }
  }
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
