// How a problem is cut up. Everything here depends on sizes and the instruction set alone, never on
// the number of threads: that is what makes results the same for any number of them.
#ifndef TWINTAIL_CPU_LOSS_PLAN_H
#define TWINTAIL_CPU_LOSS_PLAN_H

#include <algorithm>
#include <cstdint>

#include "kernels.h"
#include "problem.h"

namespace tt::cpu::loss {

struct Plan {
  Plan(const Problem& problem, const Kernels& kernels);

  int width;       // d rounded up to whole vectors
  int64_t stride;  // of operand rows, in elements
  int depth;       // operand elements along d
  int64_t row_tiles, panels;
  int64_t rows, columns;  // padded

  int64_t blocks;
  int64_t single_blocks;  // the last ones, of one tile each
  int strands;            // sums over blocks, added up in the end: block b is of strand b % strands
  int most_tiles;         // of a block
  int64_t most_rows;      // of a block
  int chunk_panels;       // scored together, then multiplied while hot
  int turn_panels;        // granularity at which blocks follow each other through V

  /// Blocks with a tile more than others come first, so that threads which take turns end together.
  int64_t first_tile(int64_t block) const {
    const int64_t shared_blocks = blocks - single_blocks, shared_tiles = row_tiles - single_blocks;
    if (block >= shared_blocks) return shared_tiles + (block - shared_blocks);
    return block * (shared_tiles / shared_blocks) + std::min(block, shared_tiles % shared_blocks);
  }
};

/// Exponents are kept in units of log 2, shifted by a constant where float's range allows it.
///
/// Unit vectors bound every logit, |cos| <= 1, so e = 2^(t + shift) cannot overflow and no running
/// maximum is needed; the range is centred on 0 because a shift near the end of the range costs
/// four times the error.
struct Range {
  explicit Range(const Problem& problem);

  double scale;  // log2(e) * inverse_temperature
  double shift;
  bool wide;  // the range is too wide for a constant: rows need their own maximum
};

}  // namespace tt::cpu::loss
#endif
