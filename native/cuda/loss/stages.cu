#include "loss/stages.h"

#include <cfloat>
#include <cmath>

#include "loss/hopper.h"
#include "loss/rows.cuh"

namespace tt::cuda::loss {
namespace {

constexpr int kThreads = 128;
constexpr int kSummaryThreads = 512;
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

// One block combines a number of each thread, in a fixed order.
template <class Combine>
__device__ double block_reduce(double value, double (&shared)[kSummaryThreads], Combine combine) {
  const int thread = static_cast<int>(threadIdx.x);
  __syncthreads();  // shared may still be read
  shared[thread] = value;
  __syncthreads();
  for (int step = kSummaryThreads / 2; step > 0; step /= 2) {
    if (thread < step) shared[thread] = combine(shared[thread], shared[thread + step]);
    __syncthreads();
  }
  return shared[0];
}

struct Sum {
  __device__ double operator()(double a, double b) const { return a + b; }
};
struct Most {
  __device__ double operator()(double a, double b) const { return fmax(a, b); }
};

// One block.
__global__ void __launch_bounds__(kSummaryThreads) facts_kernel(Problem p, Facts* facts) {
  TT_SHARED(double, shared, [kSummaryThreads]);
  double largest = p.weights != nullptr ? 0.0 : 1.0;
  double least = p.log_q != nullptr ? INFINITY : 0.0, most = p.log_q != nullptr ? -INFINITY : 0.0;
  if (p.weights != nullptr) {
    for (int64_t i = threadIdx.x; i < p.n; i += kSummaryThreads)
      largest = fmax(largest, fabs(static_cast<double>(p.weights[i])));
  }
  if (p.log_q != nullptr) {
    for (int64_t j = threadIdx.x; j < p.m; j += kSummaryThreads) {
      least = fmin(least, static_cast<double>(p.log_q[j]));
      most = fmax(most, static_cast<double>(p.log_q[j]));
    }
  }
  largest = block_reduce(largest, shared, Most());
  least = -block_reduce(-least, shared, Most());
  most = block_reduce(most, shared, Most());
  if (threadIdx.x != 0) return;
  facts->largest = fabs(p.scale) * largest;
  float inverse_temperature = p.inverse_temperature;
  if (p.log_inverse_temperature != nullptr) {
    inverse_temperature = static_cast<float>(exp(static_cast<double>(*p.log_inverse_temperature)));
    // None of float32: a batch of one pair would not show it, whose loss is the same at any other.
    if (!(inverse_temperature > 0.0f && inverse_temperature <= FLT_MAX)) inverse_temperature = NAN;
  }
  set_range(*facts, inverse_temperature, least, most);
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

// Sum and maximum of a row's negatives, as log2; the maximum is 0 where it is not kept or nothing is left.
struct Negatives {
  double sum, most, log2;
};
__device__ Negatives negatives_of(const Side& side, int64_t i, bool wide) {
  Negatives r;
  r.sum = side.sums[i];
  r.most = wide && r.sum != 0.0 ? static_cast<double>(side.maxima[i]) : 0.0;
  r.log2 = r.sum == 0.0 ? -static_cast<double>(INFINITY) : log2(r.sum) + r.most;
  return r;
}

// Loss, log-sum-exp, and the factors of both gradients. A warp a row.
__global__ void __launch_bounds__(kThreads) terms_kernel(Problem p, Memory memory) {
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (i >= p.n) return;  // the whole warp
  const int64_t pos = positive_of(p, i);
  double dot = 0.0;
  for (int k = lane; k < p.d; k += 32)
    dot += static_cast<double>(p.queries[i * p.d + k]) * p.candidates[pos * p.d + k];
  dot = warp_sum(dot);
  if (lane != 0) return;
  const Facts facts = *memory.facts;
  const bool wide = facts.wide != 0;
  const double cosine = dot * memory.q.inverse_norm[i] * memory.c.inverse_norm[pos];
  const double correction = p.log_q != nullptr ? kLog2E * p.log_q[pos] : 0.0;
  const double log2_positive = facts.scale * cosine + facts.shift - correction;
  const Negatives row = negatives_of(memory.q, i, wide);
  const Term by_row = term_of(row.log2, log2_positive);
  const double relative = facts.largest > 0 ? weight_of(p, i) * (kLift / facts.largest) : 0.0;
  double loss = by_row.loss, coefficient = relative * by_row.share;
  if (p.symmetric) {
    const Negatives column = negatives_of(memory.c, i, wide);
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
  memory.row_loss[i] = loss;
  if (p.loss != nullptr) p.loss[i] = static_cast<float>(loss);
  if (p.log_sum_exp != nullptr)
    p.log_sum_exp[i] = static_cast<float>((facts.scale * cosine - correction) * kLn2 + loss);
}

__global__ void __launch_bounds__(kThreads) project_kernel(Projection p) {
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (i >= p.count) return;
  const float inverse = p.inverse_norm[i];
  const auto gradient = [&](int k) {
    float g = p.products[i * p.width + k];
    if (p.factor != nullptr) {
      const int64_t pos = p.position[i];
      g = p.factor[i] * g + p.coefficient[i] * (p.positive_norm[pos] * p.positives[pos * p.d + k]);
    }
    return g;
  };
  double along = 0.0;
  for (int k = lane; k < p.d; k += 32)
    along += static_cast<double>(gradient(k)) * (inverse * p.x[i * p.d + k]);
  along = warp_sum(along);
  if (lane == 0 && p.along != nullptr) p.along[i] = along;
  if (p.out == nullptr) return;
  const double factor = p.facts->largest / kLift * p.facts->inverse_temperature * inverse;
  for (int k = lane; k < p.d; k += 32) {
    const double unit = static_cast<double>(inverse) * p.x[i * p.d + k];
    p.out[i * p.d + k] = static_cast<float>(factor * (gradient(k) - along * unit));
  }
}

__global__ void __launch_bounds__(kSummaryThreads)
    totals_kernel(Problem p, Memory memory, int64_t alongs) {
  TT_SHARED(double, shared, [kSummaryThreads]);
  if (p.total != nullptr) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < p.n; i += kSummaryThreads) {
      const double w = weight_of(p, i);
      if (w != 0) sum += w * memory.row_loss[i];
    }
    sum = block_reduce(sum, shared, Sum());
    if (threadIdx.x == 0) *p.total = sum;
  }
  if (p.grad_inverse_temperature != nullptr || p.grad_log_inverse_temperature != nullptr) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < alongs; i += kSummaryThreads) sum += memory.along[i];
    sum = block_reduce(sum, shared, Sum());
    if (threadIdx.x != 0) return;
    const double gradient = sum * (memory.facts->largest / kLift);
    if (p.grad_inverse_temperature != nullptr)
      *p.grad_inverse_temperature = static_cast<float>(gradient);
    if (p.grad_log_inverse_temperature != nullptr) {
      *p.grad_log_inverse_temperature =
          static_cast<float>(gradient * memory.facts->inverse_temperature);
    }
  }
}

dim3 blocks_for(int64_t threads) {
  return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
}

}  // namespace

cudaError_t prepare(const Problem& problem, const Memory& memory, cudaStream_t stream) {
  const cudaError_t status =
      TT_LAUNCH(facts_kernel, dim3(1), dim3(kSummaryThreads), 0, stream, problem, memory.facts);
  if (status != cudaSuccess) return status;
  const int64_t longest = hopper::padded_rows(problem.n > problem.m ? problem.n : problem.m);
  return TT_LAUNCH(prepare_kernel, blocks_for(longest), dim3(kThreads), 0, stream, problem, memory);
}

cudaError_t finish_terms(const Problem& problem, const Memory& memory, cudaStream_t stream) {
  return TT_LAUNCH(terms_kernel, blocks_for(problem.n * 32), dim3(kThreads), 0, stream, problem,
                   memory);
}

cudaError_t project(const Projection& projection, cudaStream_t stream) {
  return TT_LAUNCH(project_kernel, blocks_for(projection.count * 32), dim3(kThreads), 0, stream,
                   projection);
}

cudaError_t finish_totals(const Problem& problem, const Memory& memory, int64_t alongs,
                          cudaStream_t stream) {
  return TT_LAUNCH(totals_kernel, dim3(1), dim3(kSummaryThreads), 0, stream, problem, memory,
                   alongs);
}

}  // namespace tt::cuda::loss
