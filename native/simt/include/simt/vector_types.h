// CUDA's vector types, with the alignment that makes one access of 8 or 16 bytes of them.
#pragma once

#include "simt/keywords.h"

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned vx = 1, unsigned vy = 1, unsigned vz = 1) : x(vx), y(vy), z(vz) {}
  constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
};

#define SIMT_VECTOR_TYPES(type, name, align1, align2, align4)     \
  struct name##1 {                                                \
    type x;                                                       \
  };                                                              \
  struct __align__(align2) name##2 {                              \
    type x, y;                                                    \
  };                                                              \
  struct __align__(align4) name##4 {                              \
    type x, y, z, w;                                              \
  };                                                              \
  inline name##1 make_##name##1(type x) {                         \
    return {x};                                                   \
  }                                                               \
  inline name##2 make_##name##2(type x, type y) {                 \
    return {x, y};                                                \
  }                                                               \
  inline name##4 make_##name##4(type x, type y, type z, type w) { \
    return {x, y, z, w};                                          \
  }

SIMT_VECTOR_TYPES(signed char, char, 1, 2, 4)
SIMT_VECTOR_TYPES(unsigned char, uchar, 1, 2, 4)
SIMT_VECTOR_TYPES(short, short, 2, 4, 8)
SIMT_VECTOR_TYPES(unsigned short, ushort, 2, 4, 8)
SIMT_VECTOR_TYPES(int, int, 4, 8, 16)
SIMT_VECTOR_TYPES(unsigned, uint, 4, 8, 16)
SIMT_VECTOR_TYPES(float, float, 4, 8, 16)
SIMT_VECTOR_TYPES(long long, longlong, 8, 16, 16)
SIMT_VECTOR_TYPES(unsigned long long, ulonglong, 8, 16, 16)
SIMT_VECTOR_TYPES(double, double, 8, 16, 16)
#undef SIMT_VECTOR_TYPES

struct float3 {
  float x, y, z;
};
struct int3 {
  int x, y, z;
};
inline float3 make_float3(float x, float y, float z) {
  return {x, y, z};
}
inline int3 make_int3(int x, int y, int z) {
  return {x, y, z};
}
inline uint3 make_uint3(unsigned x, unsigned y, unsigned z) {
  return {x, y, z};
}
