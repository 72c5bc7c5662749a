// The arithmetic of embedding_gather, compiled once per instruction set.
#ifndef TWINTAIL_CPU_GATHER_KERNELS_H
#define TWINTAIL_CPU_GATHER_KERNELS_H

#include <stdint.h>

namespace tt::cpu {

/// Ids may be read this far behind the last one of a job (any value that is a row of the table).
constexpr int kReadAhead = 64;

/// `count` ids that are summed into out [dim]. A bag may come in several parts.
struct Bag {
  float* out;
  int32_t count;
  float scale;    // of the whole sum; used where `last`
  uint8_t first;  // out holds nothing yet
  uint8_t last;
};

struct PoolJob {
  const void* weights;  // [rows, dim], `stride` elements from row to row
  int32_t dim;
  int64_t stride;
  int32_t dtype;       // tt_dtype
  const int32_t* ids;  // those of all bags, one after the other, and kReadAhead more
  const Bag* bags;
  int64_t bag_count;
  bool stream;  // results go past the caches where they are whole lines
};

struct GatherKernels {
  void (*pool)(const PoolJob& job);
};

extern const GatherKernels kGatherPortable;
extern const GatherKernels kGatherAvx2;
extern const GatherKernels kGatherAvx512;

}  // namespace tt::cpu
#endif
