// Philox for consecutive batch rows at once, compiled once per instruction set. Integers only, so every
// set gives what augmentation.h defines.
#ifndef TWINTAIL_CPU_DRAW_KERNELS_H
#define TWINTAIL_CPU_DRAW_KERNELS_H

#include <stdint.h>

#include "philox.h"

namespace tt::cpu {

constexpr int kDrawRows = 64;      // rows of one call at most
constexpr int kDrawPositions = 8;  // positions of one call at most: four events each fill 32 bits

/// Counters (first_position + p, first_row + i, step_low, last) for p < positions, i < rows.
struct DrawJob {
  PhiloxKey key;
  uint32_t first_row;
  uint32_t step_low;
  uint32_t last;  // the counter's fourth word
  int32_t rows;
  uint32_t first_position;
  int32_t positions;
};

struct DrawKernels {
  /// bits [rows]: bit 4 p + o of row i is whether output o at position p is below `bound` (1 .. 2^32).
  void (*events)(const DrawJob& job, uint64_t bound, uint32_t* bits);
  /// Outputs 0 and 1, each [positions, kDrawRows].
  void (*pairs)(const DrawJob& job, uint32_t* low, uint32_t* high);
};

extern const DrawKernels kDrawPortable;
extern const DrawKernels kDrawAvx2;
extern const DrawKernels kDrawAvx512;

}  // namespace tt::cpu
#endif
