#include "plan.h"

#include <algorithm>

#include "exponent_range.h"

namespace tt::cpu::loss {
namespace {

constexpr double kLog2E = 1.4426950408889634;

// Tuned on Zen 5 (d = 64 and 128, n = m from 1024 to 16384), see docs/performance.md.
constexpr int64_t kBlockRows = 84;  // V is read and written once a block
// Of exponentials for each float of the width, while that leaves enough rows: more of them in a block
// stream the candidates less often, but should stay in L3 themselves. With fewer rows, streaming candidates costs
// more than exponentials that leave it.
constexpr int64_t kBlockBytes = 64 << 10;
constexpr int64_t kLeastBlockRows = 56;
constexpr int64_t kChunkColumns = 512;  // exponentials stay in L2 until row_products read them
constexpr int64_t kTurnColumns = 128;
constexpr int64_t kSingleBlocks = 24;
constexpr int64_t kBlockMultiple = 4;  // so that few threads share the blocks evenly
// V of one core is slow to add to for another, above all where they share no cache, so threads keep to strands of their
// own. Each costs columns * width floats.
constexpr int64_t kStrands = 4;
constexpr int64_t kLeastBlocks = 4;  // of a strand

int64_t round_up(int64_t x, int64_t to) {
  return (x + to - 1) / to * to;
}

}  // namespace

Plan::Plan(const Problem& problem, const Kernels& kernels) {
  width = static_cast<int>(round_up(problem.d, 16));
  stride = width;
  // Products read slices of many rows. An odd number of cache lines from row to row spreads them over
  // all sets of the L1 cache; without it, d = 256 would use a quarter of them.
  if (width >= 128 && width / 16 % 2 == 0) stride += 16;
  depth = kernels.pairs ? (problem.d + 1) / 2 : problem.d;
  row_tiles = (problem.n + kernels.tile_rows - 1) / kernels.tile_rows;
  panels = (problem.m + kernels.panel_columns - 1) / kernels.panel_columns;
  rows = row_tiles * kernels.tile_rows;
  columns = panels * kernels.panel_columns;

  const int64_t fitting = kBlockBytes * width / (static_cast<int64_t>(sizeof(float)) * columns);
  const int64_t block_rows = std::clamp(fitting, kLeastBlockRows, kBlockRows);
  const int64_t block_tiles = std::max<int64_t>(1, block_rows / kernels.tile_rows);
  // Where nothing is summed block by block, they end with small ones: threads that lag behind, since they had to
  // wake up, leave those to others.
  const bool sums_blocks = wants_gradient(problem) || problem.symmetric;
  single_blocks = sums_blocks ? 0 : std::min(row_tiles / 8, kSingleBlocks);
  const int64_t tiles = row_tiles - single_blocks;
  const int64_t shared = round_up((tiles + block_tiles - 1) / block_tiles, kBlockMultiple);
  blocks = std::min(tiles, shared) + single_blocks;
  strands =
      sums_blocks ? static_cast<int>(std::clamp<int64_t>(blocks / kLeastBlocks, 1, kStrands)) : 1;
  most_tiles = static_cast<int>(first_tile(1));
  most_rows = static_cast<int64_t>(most_tiles) * kernels.tile_rows;
  chunk_panels = static_cast<int>(kChunkColumns / kernels.panel_columns);
  turn_panels = static_cast<int>(kTurnColumns / kernels.panel_columns);
}

Range::Range(const Problem& problem) {
  scale = kLog2E * problem.inverse_temperature;
  const double most = scale - kLog2E * problem.least_log_q;
  const double least = -scale - kLog2E * problem.most_log_q;
  wide = most - least > widest_exponent_range(problem.m);
  shift = wide ? 0.0 : -0.5 * (most + least);
}

}  // namespace tt::cpu::loss
