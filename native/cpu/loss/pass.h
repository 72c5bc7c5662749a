// One sweep over the n x m scores in blocks of rows.
#ifndef TWINTAIL_CPU_LOSS_PASS_H
#define TWINTAIL_CPU_LOSS_PASS_H

#include <atomic>
#include <cstdint>

#include "arena.h"
#include "kernels.h"
#include "masks.h"
#include "plan.h"
#include "pool.h"

namespace tt::cpu::loss {

/// Queries or candidates, and their unit vectors in the layouts that the products want of columns. Those of
/// rows are packed block by block.
struct View {
  const float* source;  // [count][d]
  int64_t count;
  float scale;                    // on unit vectors that scores are of
  float* inverse_norm = nullptr;  // [count], written with either layout
  void* panels = nullptr;         // [panels][depth][panel_columns], scaled
  void* rows = nullptr;           // the operand of row_products: [columns or pairs][stride]
};

/// What a pass reads, beyond the plan.
struct PassInput {
  Epilogue epilogue;
  const View* queries;
  const View* candidates;
  const float* bias;                 // [columns], as in ScoreArgs
  const float* row_shift = nullptr;  // [rows]
  const float* row_factor = nullptr;
  const float* column_shift = nullptr;  // [columns]
  const float* column_factor = nullptr;
  const int32_t* positives = nullptr;  // NULL: pos(i) = i
  const Duplicates* duplicates = nullptr;
  bool row_products = false;  // U is wanted
  float* v = nullptr;         // [strands][columns][width], overwritten: column_products are wanted
  double* column_sums = nullptr;  // [strands][columns], zeroed: sum_columns
};

/// A block of rows in one worker's memory, as the row stage sees it.
struct Block {
  int64_t first_row;
  int count;            // real rows
  const float* sums;    // [row][lanes]
  const float* maxima;  // [row][lanes], online only
  float* u;             // [row][width]
  float* scale;         // [row], out: factor on the unit query for column_products
};

class Pass {
 public:
  Pass(Pool& pool, ArenaScope& scope, const Problem& problem, const Plan& plan,
       const Kernels& kernels, bool round);

  /// Runs all blocks. rows_done(const Block&) is called for each when its sums, and U if wanted, are
  /// complete; afterwards the V and the column sums of its strand are added to in the order of blocks.
  template <class F>
  void run(const PassInput& input, F&& rows_done) {
    start(input);
    pool_.run(plan_.blocks, [&](int64_t, int thread) {
      const int64_t block = claim(thread);
      Worker& worker = worker_[plan_.blocks < pool_.threads() ? block : thread];
      const Block view = score(input, block, worker);
      rows_done(view);
      add_columns(input, block, worker);
    });
  }

 private:
  struct alignas(64) Turn {
    std::atomic<int64_t> next;
  };
  struct Worker {
    void* queries;  // [rows][stride], scaled
    void* weights;  // [panels or chunk][rows][panel_columns]
    void* pairs;    // [panels][rows / 2][panel_columns]
    float *u, *sums, *maxima, *scale, *column_sums;
    void* scaled;  // [rows or pairs][stride]
    uint32_t* dropped;
    uint8_t* marked;
  };

  void start(const PassInput& input);
  int64_t claim(int thread);
  void make_room(const PassInput& input, Worker& worker);
  Block score(const PassInput& input, int64_t block, Worker& worker);
  void pack(const View& queries, int64_t first_row, int tiles, Worker& worker);
  void mark(const PassInput& input, int64_t first_row, int count, int tiles, Worker& worker);
  void add_columns(const PassInput& input, int64_t block, Worker& worker);
  static void wait_for_turn(const Turn& turn, int64_t block);

  Pool& pool_;
  ArenaScope& scope_;
  const Problem& problem_;
  const Plan& plan_;
  const Kernels& kernels_;
  bool round_;
  int workers_;  // fewer than threads where there are fewer blocks
  Worker* worker_;
  int64_t turns_;    // of a strand
  Turn* turn_;       // [strands][turns]: the block whose turn it is
  Turn* unclaimed_;  // [strands]: the first block that no thread has
};

}  // namespace tt::cpu::loss
#endif
