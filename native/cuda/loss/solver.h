// Both losses from device pointers to device results; see native/include/twintail.h for the formulas. No
// allocation, no synchronisation: all work is put on the stream.
//
// Work of a loss with both gradients, in flops of products: 8 n m d, for the symmetric form 12 n m d.
//   directed   4  sums of the rows, and the queries' products with e in the same pass: all of a row has one factor
//              4  the candidates' products, scores taken anew
//   symmetric  2 + 2  sums of the rows, sums of the columns: a pass each
//              4 + 4  both sides' products: the weight of a pair needs its row's sum and its column's
// One pass for both sums would leave 10. It is not done because a column's sum goes across all blocks of rows: with atomic
// additions bits would depend on the schedule, and partial sums of every block are n m / 128 floats, not O((n + m) d).
// Blocks that stay and keep m partial sums each would be O(m), for a reduction across the warps of every tile and n m / 128
// additions to global memory; and where rows keep maxima, columns would have to as well. Whether that pays is open.
#pragma once

#include "device.h"

namespace tt::cuda::loss {

// Pointers are device memory as in tt_sampled_softmax_args.
struct Problem {
  int64_t n, m;
  int d;
  const float* queries;
  const float* candidates;
  const float* log_q;        // or NULL
  const int32_t* positives;  // or NULL: i
  const int32_t* ids;        // [m] or NULL
  const float* weights;      // or NULL
  double scale;              // w_i = scale * weights[i], or scale where weights is NULL
  float inverse_temperature;
  const float* log_inverse_temperature;  // or NULL; else in place of inverse_temperature
  bool symmetric;  // n == m, no log_q, no positives: the mean of both directions
  bool bfloat16;   // operands in bfloat16, else float32
  float* loss;     // each output or NULL
  float* log_sum_exp;
  double* total;
  float* grad_queries;
  float* grad_candidates;
  float* grad_inverse_temperature;
  float* grad_log_inverse_temperature;
};

// What runs the passes: plain.h, tuned.h or hopper.h.
enum class Engine { kPlain, kTensorCores, kHopper };

// The fastest up to `most` that a device can run: compute capability times 10, shared memory that a block may ask for.
Engine best_engine(const Problem& problem, Engine most, int capability, int shared_bytes_per_block);

// Rows are counted in int.
constexpr int64_t kMostRows = (int64_t{1} << 31) - 1024;

// Device memory that solve wants, 256-byte aligned: O((n + m) d).
int64_t workspace_bytes(const Problem& problem, Engine engine, int multiprocessors);

// multiprocessors decides how columns are split: same number, same bits.
cudaError_t solve(const Problem& problem, Engine engine, int multiprocessors, void* workspace,
                  cudaStream_t stream);

}  // namespace tt::cuda::loss
