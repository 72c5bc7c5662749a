// Included by draw_kernels_<isa>.cpp only.
#include "draw_kernels.h"
#include "vec16.h"

namespace tt::cpu {
namespace TT_ISA_NAMESPACE {
namespace {

constexpr int kLanes = 16;

/// Sixteen unsigned words, in registers where the set has them.
#if defined(__AVX512F__)
struct Words {
  __m512i v;

  static Words all(uint32_t x) { return {_mm512_set1_epi32(static_cast<int>(x))}; }
  static Words from(uint32_t first) {
    const __m512i steps = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    return {_mm512_add_epi32(all(first).v, steps)};
  }
  void store(uint32_t* p) const { _mm512_storeu_si512(p, v); }
};
inline Words exclusive(Words a, Words b, uint32_t key) {
  return {_mm512_ternarylogic_epi32(a.v, b.v, Words::all(key).v, 0x96)};
}
/// The high and low halves of the products with m, lane by lane.
inline void multiply(Words a, uint32_t m, Words& high, Words& low) {
  const __m512i mm = Words::all(m).v;
  const __m512i odd_lanes = _mm512_maskz_shuffle_epi32(kAllLanes, a.v, _MM_PERM_DDBB);
  const __m512i even = _mm512_maskz_mul_epu32(0xFF, a.v, mm);
  const __m512i odd = _mm512_maskz_mul_epu32(0xFF, odd_lanes, mm);
  high.v = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB);
  low.v = _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CCAA);
}
/// Sets `bit` in the lanes of `found` where u <= highest.
inline void mark(Words u, uint32_t highest, uint32_t bit, Words& found) {
  const __mmask16 hit = _mm512_cmple_epu32_mask(u.v, Words::all(highest).v);
  found.v = _mm512_mask_or_epi32(found.v, hit, found.v, Words::all(bit).v);
}
#elif defined(__AVX2__)
struct Words {
  __m256i lo, hi;

  static Words all(uint32_t x) {
    const __m256i v = _mm256_set1_epi32(static_cast<int>(x));
    return {v, v};
  }
  static Words from(uint32_t first) {
    const Words base = all(first);
    return {_mm256_add_epi32(base.lo, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
            _mm256_add_epi32(base.hi, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
  }
  void store(uint32_t* p) const {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), lo);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), hi);
  }
};
inline Words exclusive(Words a, Words b, uint32_t key) {
  const __m256i k = _mm256_set1_epi32(static_cast<int>(key));
  return {_mm256_xor_si256(_mm256_xor_si256(a.lo, b.lo), k),
          _mm256_xor_si256(_mm256_xor_si256(a.hi, b.hi), k)};
}
inline void multiply(__m256i a, __m256i m, __m256i& high, __m256i& low) {
  const __m256i even = _mm256_mul_epu32(a, m);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), m);
  high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
  low = _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}
/// The high and low halves of the products with m, lane by lane.
inline void multiply(Words a, uint32_t m, Words& high, Words& low) {
  const __m256i mm = _mm256_set1_epi32(static_cast<int>(m));
  multiply(a.lo, mm, high.lo, low.lo);
  multiply(a.hi, mm, high.hi, low.hi);
}
inline __m256i marked(__m256i u, __m256i highest, __m256i bit) {
  return _mm256_and_si256(_mm256_cmpeq_epi32(_mm256_min_epu32(u, highest), u), bit);
}
/// Sets `bit` in the lanes of `found` where u <= highest.
inline void mark(Words u, uint32_t highest, uint32_t bit, Words& found) {
  const Words limit = Words::all(highest), bits = Words::all(bit);
  found.lo = _mm256_or_si256(found.lo, marked(u.lo, limit.lo, bits.lo));
  found.hi = _mm256_or_si256(found.hi, marked(u.hi, limit.hi, bits.hi));
}
#else
struct Words {
  uint32_t w[kLanes];

  static Words all(uint32_t x) {
    Words r;
    for (uint32_t& w : r.w) w = x;
    return r;
  }
  static Words from(uint32_t first) {
    Words r;
    for (int i = 0; i < kLanes; ++i) r.w[i] = first + static_cast<uint32_t>(i);
    return r;
  }
  void store(uint32_t* p) const { memcpy(p, w, sizeof w); }
};
inline Words exclusive(const Words& a, const Words& b, uint32_t key) {
  Words r;
  for (int i = 0; i < kLanes; ++i) r.w[i] = a.w[i] ^ b.w[i] ^ key;
  return r;
}
/// The high and low halves of the products with m, lane by lane.
inline void multiply(const Words& a, uint32_t m, Words& high, Words& low) {
  for (int i = 0; i < kLanes; ++i) {
    const uint64_t product = static_cast<uint64_t>(a.w[i]) * m;
    high.w[i] = static_cast<uint32_t>(product >> 32);
    low.w[i] = static_cast<uint32_t>(product);
  }
}
/// Sets `bit` in the lanes of `found` where u <= highest.
inline void mark(const Words& u, uint32_t highest, uint32_t bit, Words& found) {
  for (int i = 0; i < kLanes; ++i) found.w[i] |= u.w[i] <= highest ? bit : 0u;
}
#endif

struct Blocks {
  Words v[4];
};

/// Philox4x32-10 in every lane; the same rounds as tt::philox.
inline void philox_lanes(Blocks& c, PhiloxKey key) {
  TT_UNROLL for (int round = 0; round < 10; ++round) {
    Words high0, low0, high1, low1;
    multiply(c.v[0], 0xD2511F53u, high0, low0);
    multiply(c.v[2], 0xCD9E8D57u, high1, low1);
    c.v[0] = exclusive(high1, c.v[1], key.v[0]);
    c.v[2] = exclusive(high0, c.v[3], key.v[1]);
    c.v[1] = low1;
    c.v[3] = low0;
    key.v[0] += 0x9E3779B9u;
    key.v[1] += 0xBB67AE85u;
  }
}

inline Blocks draw(const DrawJob& job, int32_t position, int first) {
  Blocks c;
  c.v[0] = Words::all(job.first_position + static_cast<uint32_t>(position));
  c.v[1] = Words::from(job.first_row + static_cast<uint32_t>(first));
  c.v[2] = Words::all(job.step_low);
  c.v[3] = Words::all(job.last);
  philox_lanes(c, job.key);
  return c;
}

void events(const DrawJob& job, uint64_t bound, uint32_t* bits) {
  const auto highest = static_cast<uint32_t>(bound - 1);
  for (int first = 0; first < job.rows; first += kLanes) {
    Words found = Words::all(0);
    for (int32_t p = 0; p < job.positions; ++p) {
      const Blocks u = draw(job, p, first);
      for (int o = 0; o < 4; ++o) mark(u.v[o], highest, 1u << (4 * p + o), found);
    }
    uint32_t words[kLanes];
    found.store(words);
    const int count = job.rows - first < kLanes ? job.rows - first : kLanes;
    memcpy(bits + first, words, static_cast<size_t>(count) * sizeof(uint32_t));
  }
}

void pairs(const DrawJob& job, uint32_t* low, uint32_t* high) {
  for (int32_t p = 0; p < job.positions; ++p) {
    for (int first = 0; first < job.rows; first += kLanes) {
      const Blocks u = draw(job, p, first);
      u.v[0].store(low + p * kDrawRows + first);
      u.v[1].store(high + p * kDrawRows + first);
    }
  }
}

}  // namespace
}  // namespace TT_ISA_NAMESPACE
}  // namespace tt::cpu
