#include "loss/stages.h"

#include <cmath>

#include "loss/hopper.h"
#include "loss/rows.cuh"

namespace tt::cuda::loss {
namespace {

constexpr int kThreads = 256;
constexpr int kRows = kThreads / 32;  // of a block that gives each a warp
constexpr int kTermRows = 8;          // of a warp: logarithms take a lane each, and long
constexpr double kLn2 = 0.69314718055994531;
// Row sums reach 2^124; what is divided by them is lifted so that the quotient stays a normal float.
constexpr double kLift = 1 << 20;

__device__ int64_t positive_of(const Problem& p, int64_t i) {
  return p.positives != nullptr ? p.positives[i] : i;
}

__device__ double weight_of(const Problem& p, int64_t i) {
  return p.weights != nullptr ? p.scale * p.weights[i] : p.scale;
}

// hopper.h reads what lies behind the last row, though it does not use it.
__device__ void clear(const Side& side, int64_t i) {
  side.key[i] = 0;
  side.zero[i] = side.addend[i] = side.factor[i] = 0.0f;
}

// Keys, biases and what starts as zero. A thread an index of either side.
__global__ void __launch_bounds__(kThreads) prepare_kernel(Problem p, Memory memory) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= p.n && i < hopper::padded_rows(p.n)) {
    clear(memory.q, i);
    memory.position[i] = 0;
    memory.coefficient[i] = 0.0f;
  }
  if (i >= p.m && i < hopper::padded_rows(p.m)) {
    clear(memory.c, i);
    memory.bias[i] = 0.0f;
  }
  if (i < p.n) {
    const int pos = static_cast<int>(positive_of(p, i));
    memory.position[i] = pos;
    memory.q.key[i] = p.ids != nullptr ? p.ids[pos] : pos;
    memory.q.zero[i] = 0.0f;
  }
  if (i < p.m) {
    memory.c.key[i] = p.ids != nullptr ? p.ids[i] : static_cast<int>(i);
    memory.c.zero[i] = 0.0f;
    const double correction = p.log_q != nullptr ? kLog2E * p.log_q[i] : 0.0;
    memory.bias[i] = static_cast<float>(memory.facts->shift - correction);
  }
}

struct Term {
  double loss;   // log(1 + negatives / positive): exact also where it is tiny
  double share;  // 1 - p(positive)
};
__device__ Term term_of(double log2_negatives, double log2_positive) {
  const double delta = (log2_negatives - log2_positive) * kLn2;
  const double small = exp(-fabs(delta));
  return Term{(delta > 0 ? delta : 0.0) + log1p(small), (delta > 0 ? 1.0 : small) / (1.0 + small)};
}

// Adds up a number of each warp, its lane 0's, over the grid in a fixed order: those of a block, then those of all
// blocks by the one that comes last, whose thread 0 gets the sum.
template <class Use>
__device__ void sum_over_grid(double value, double* blocks, unsigned* done, Use use) {
  TT_SHARED(double, warps, [kRows]);
  TT_SHARED(bool, last, );
  const int thread = static_cast<int>(threadIdx.x);
  const auto sum_of_warps = [&] {  // in thread 0
    __syncthreads();               // warps may still be read
    if (thread % 32 == 0) warps[thread / 32] = value;
    __syncthreads();
    double sum = 0.0;
    for (int w = 0; thread == 0 && w < kRows; w++) sum += warps[w];
    return sum;
  };
  const double own = sum_of_warps();
  if (thread == 0) {
    blocks[blockIdx.x] = own;
    __threadfence();
    last = atomicAdd(done, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last) return;
  __threadfence();
  value = 0.0;
#pragma unroll 8
  for (unsigned b = threadIdx.x; b < gridDim.x; b += kThreads) value += __ldcg(blocks + b);
  value = warp_sum(value);
  const double sum = sum_of_warps();
  if (thread == 0) use(sum);
}

// What split s of a row's outputs counts, where each is relative to its own maximum.
struct SplitFactors {
  const float* maxima;  // [splits, count] at the row; NULL: 1
  int64_t count;
  float shift = 0.0f;  // the maximum over all splits, 0 where nothing is left
  float most = -INFINITY;

  __device__ SplitFactors(const float* row_maxima, int64_t rows, int splits)
      : maxima(row_maxima), count(rows) {
    if (maxima == nullptr) return;
    for (int s = 0; s < splits; s++) most = fmaxf(most, maxima[s * count]);
    if (most != -INFINITY) shift = most;
  }
  __device__ float operator()(int split) const {
    return maxima != nullptr ? ptx::exp2_approx(maxima[split * count] - shift) : 1.0f;
  }
};

// Sum and maximum of a row's negatives, as log2; the maximum is 0 where it is not kept or nothing is left.
struct Negatives {
  double sum, most, log2;
};
__device__ Negatives negatives_of(const Side& side, int64_t i, int64_t count, bool wide) {
  const SplitFactors factors(wide ? side.maxima + i : nullptr, count, side.splits);
  float sum = 0.0f;
  for (int s = 0; s < side.splits; s++) sum += factors(s) * side.sums[s * count + i];
  Negatives r;
  r.sum = sum;
  r.most = wide && sum != 0.0f ? static_cast<double>(factors.most) : 0.0;
  r.log2 = r.sum == 0.0 ? -static_cast<double>(INFINITY) : log2(r.sum) + r.most;
  return r;
}

// q . c of a row and its positive, by a warp; the same in each lane.
__device__ __forceinline__ double dot_with_positive(const Problem& p, int64_t i) {
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t pos = positive_of(p, i);
  double dot = 0.0;
  for (int k = lane; k < p.d; k += 32)
    dot += static_cast<double>(p.queries[i * p.d + k]) * p.candidates[pos * p.d + k];
  return warp_sum(dot);
}

// Loss, log-sum-exp, and the factors of both gradients of a row, by a thread. Returns the loss.
__device__ double finish_term(const Problem& p, const Memory& memory, int64_t i, double dot) {
  const int64_t pos = positive_of(p, i);
  const Facts& facts = *memory.facts;
  const bool wide = facts.wide != 0;
  const double cosine = dot * memory.q.inverse_norm[i] * memory.c.inverse_norm[pos];
  const double correction = p.log_q != nullptr ? kLog2E * p.log_q[pos] : 0.0;
  const double log2_positive = facts.scale * cosine + facts.shift - correction;
  const Negatives row = negatives_of(memory.q, i, p.n, wide);
  const Term by_row = term_of(row.log2, log2_positive);
  const double relative = facts.largest > 0 ? weight_of(p, i) * (kLift / facts.largest) : 0.0;
  double loss = by_row.loss, coefficient = relative * by_row.share;
  if (p.symmetric) {
    const Negatives column = negatives_of(memory.c, i, p.m, wide);
    const Term by_column = term_of(column.log2, log2_positive);
    loss = 0.5 * (by_row.loss + by_column.loss);
    coefficient = 0.5 * relative * (by_row.share + by_column.share);
    memory.c.addend[i] = static_cast<float>(-column.most);
    memory.c.factor[i] = column.sum == 0.0
                             ? 0.0f
                             : static_cast<float>(0.5 * relative * by_column.share / column.sum);
  }
  const double half = p.symmetric ? 0.5 : 1.0;
  const float factor =
      row.sum == 0.0 ? 0.0f : static_cast<float>(half * relative * by_row.share / row.sum);
  memory.q.addend[i] = static_cast<float>(-row.most);
  memory.q.factor[i] = factor;
  memory.coefficient[i] = static_cast<float>(-coefficient);
  if (p.loss != nullptr) p.loss[i] = static_cast<float>(loss);
  if (p.log_sum_exp != nullptr)
    p.log_sum_exp[i] = static_cast<float>((facts.scale * cosine - correction) * kLn2 + loss);
  return loss;
}

// A warp kTermRows rows, a lane each once their dot products are there.
__global__ void __launch_bounds__(kThreads) terms_kernel(Problem p, Memory memory) {
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t first =
      (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32 * kTermRows;
  double own = 0.0;
#pragma unroll 2
  for (int r = 0; r < kTermRows && first + r < p.n; r++) {
    const double dot = dot_with_positive(p, first + r);
    if (lane == r) own = dot;
  }
  const int64_t i = first + lane;
  const bool there = lane < kTermRows && i < p.n;
  double loss = there ? finish_term(p, memory, i, own) : 0.0;
  if (p.total == nullptr) return;
  const double weight = there ? weight_of(p, i) : 0.0;
  loss = weight != 0.0 ? weight * loss : 0.0;  // which may be infinite
  sum_over_grid(warp_sum(loss), memory.losses, &memory.facts->terms_done,
                [&](double sum) { *p.total = sum; });
}

// Row i's gradient, by a warp. Returns g . u.
__device__ double project_row(const Projection& p, const Facts& facts, int d, int width,
                              int64_t i) {
  const int lane = static_cast<int>(ptx::lane_id());
  float* products = p.products + i * width;
  if (p.splits > 1) {
    const bool relative = p.maxima != nullptr && facts.wide != 0;
    const SplitFactors factors(relative ? p.maxima + i : nullptr, p.count, p.splits);
    for (int k = lane; k < d; k += 32) {
      float total = 0.0f;
      for (int s = 0; s < p.splits; s++) total += factors(s) * products[s * p.count * width + k];
      products[k] = total;
    }
  }
  const float inverse = p.inverse_norm[i];
  const auto gradient = [&](int k) {
    float g = products[k];
    if (p.factor != nullptr) {
      const int64_t pos = p.position[i];
      g = p.factor[i] * g + p.coefficient[i] * (p.positive_norm[pos] * p.positives[pos * d + k]);
    }
    return g;
  };
  double along = 0.0;
  for (int k = lane; k < d; k += 32)
    along += static_cast<double>(gradient(k)) * (inverse * p.x[i * d + k]);
  along = warp_sum(along);
  if (p.out == nullptr) return along;
  const double factor = facts.largest / kLift * facts.inverse_temperature * inverse;
  for (int k = lane; k < d; k += 32) {
    const double unit = static_cast<double>(inverse) * p.x[i * d + k];
    p.out[i * d + k] = static_cast<float>(factor * (gradient(k) - along * unit));
  }
  return along;
}

__device__ void set_temperature_gradient(const Problem& p, const Facts& facts, double alongs) {
  const double gradient = alongs * (facts.largest / kLift);
  if (p.grad_inverse_temperature != nullptr)
    *p.grad_inverse_temperature = static_cast<float>(gradient);
  if (p.grad_log_inverse_temperature != nullptr)
    *p.grad_log_inverse_temperature = static_cast<float>(gradient * facts.inverse_temperature);
}

// A warp a row: of the queries, then of the candidates.
__global__ void __launch_bounds__(kThreads)
    project_kernel(Problem p, Memory memory, Projections projections) {
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  const int64_t queries = projections.queries_and_candidates[0].count;
  const int64_t row = i < queries ? i : i - queries;
  const Projection& side = projections.queries_and_candidates[i < queries ? 0 : 1];
  double along = 0.0;
  if (row < side.count) {
    along = project_row(side, *memory.facts, p.d, projections.width, row);
    if (!side.along) along = 0.0;
  }
  if (p.grad_inverse_temperature == nullptr && p.grad_log_inverse_temperature == nullptr) return;
  sum_over_grid(along, memory.alongs, &memory.facts->projections_done,
                [&](double sum) { set_temperature_gradient(p, *memory.facts, sum); });
}

unsigned blocks_for(int64_t threads) {
  return static_cast<unsigned>((threads + kThreads - 1) / kThreads);
}

}  // namespace

int64_t most_block_sums(int64_t rows) {
  return blocks_for(32 * rows);
}

cudaError_t prepare(const Problem& problem, const Memory& memory, cudaStream_t stream) {
  const int64_t longest = hopper::padded_rows(problem.n > problem.m ? problem.n : problem.m);
  return TT_LAUNCH(prepare_kernel, dim3(blocks_for(longest)), dim3(kThreads), 0, stream, problem,
                   memory);
}

cudaError_t finish_terms(const Problem& problem, const Memory& memory, cudaStream_t stream) {
  const int64_t warps = (problem.n + kTermRows - 1) / kTermRows;
  return TT_LAUNCH(terms_kernel, dim3(blocks_for(32 * warps)), dim3(kThreads), 0, stream, problem,
                   memory);
}

cudaError_t project(const Problem& problem, const Memory& memory, const Projections& projections,
                    cudaStream_t stream) {
  const Projection(&sides)[2] = projections.queries_and_candidates;
  const dim3 grid(blocks_for(32 * (sides[0].count + sides[1].count)));
  return TT_LAUNCH(project_kernel, grid, dim3(kThreads), 0, stream, problem, memory, projections);
}

}  // namespace tt::cuda::loss
