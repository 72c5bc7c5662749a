// The words that CUDA adds to C++, for a plain C++ compiler.
//
// Every standard header that uses such a word itself is included first (libstdc++ spells an attribute
// __noinline__; that is also why __noinline__ is not defined here).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __constant__ static
#define __align__(n) __attribute__((aligned(n)))

// A bare __shared__ could only become a static variable: without poison, bounds or a size limit.
#define __shared__ \
  _Pragma("GCC error \"declare shared memory by TT_SHARED or TT_DYN_SHARED\"") static
