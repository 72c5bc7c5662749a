// The stages around the tensor-core passes: one warp a row, everything summed in a fixed order.
#include "loss/tuned_solver.h"

#include "loss/tuned.h"

namespace tt::cuda::loss::tuned {
namespace {

constexpr int kThreads = 128;
constexpr double kLn2 = 0.69314718055994531;
constexpr double kLog2E = 1.4426950408889634;
// Row sums reach 2^124; what is divided by them is lifted so that the quotient stays a normal float.
constexpr double kLift = 1 << 20;

// As on the CPU: 2^104 leaves room for sums over 2^20 columns.
struct Range {
  explicit Range(const Problem& p) {
    scale = kLog2E * p.inverse_temperature;
    const double most = scale - kLog2E * p.least_log_q, least = -scale - kLog2E * p.most_log_q;
    wide = most - least > 208.0;
    shift = wide ? 0.0 : -0.5 * (most + least);
  }
  double scale, shift;
  bool wide;
};

struct Side {  // queries or candidates
  __nv_bfloat16* packed;
  float *inverse_norm, *zero, *addend, *factor, *sums, *maxima, *products;
  int* key;
  int splits;
};

struct Memory {
  Side q, c;
  float *bias, *coefficient, *row_scale;
  int* position;
  double *row_loss, *along, *largest;
};

template <class T>
T* take(char*& at, int64_t count) {
  T* result = reinterpret_cast<T*>(at);
  at += (static_cast<size_t>(count) * sizeof(T) + 255) / 256 * 256;
  return result;
}

int parts_of(const Problem& p) {
  return p.bfloat16 ? 1 : 3;
}

void lay_out_side(Side& s, char*& at, const Problem& p, int64_t count, int64_t others,
                  int multiprocessors) {
  const int width = padded_width(p.d), parts = parts_of(p);
  s.splits = splits_for(width, parts, count, others, multiprocessors);
  s.packed = take<__nv_bfloat16>(at, count * parts * width);
  s.inverse_norm = take<float>(at, count);
  s.zero = take<float>(at, count);
  s.addend = take<float>(at, count);
  s.factor = take<float>(at, count);
  s.key = take<int>(at, count);
  s.sums = take<float>(at, count * s.splits);
  s.maxima = take<float>(at, count * s.splits);
  s.products = take<float>(at, count * s.splits * width);
}

size_t lay_out(Memory& memory, char* base, const Problem& p, int multiprocessors) {
  char* at = base;
  lay_out_side(memory.q, at, p, p.n, p.m, multiprocessors);
  lay_out_side(memory.c, at, p, p.m, p.n, multiprocessors);
  memory.bias = take<float>(at, p.m);
  memory.coefficient = take<float>(at, p.n);
  memory.row_scale = take<float>(at, p.n);
  memory.position = take<int>(at, p.n);
  memory.row_loss = take<double>(at, p.n);
  memory.along = take<double>(at, p.n > p.m ? p.n : p.m);
  memory.largest = take<double>(at, 1);
  return static_cast<size_t>(at - base);
}

__device__ double warp_sum(double x) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2) x += __shfl_xor_sync(0xffffffffu, x, step);
  return x;
}

__device__ int64_t positive_of(const Problem& p, int64_t i) {
  return p.positives != nullptr ? p.positives[i] : i;
}

__device__ double weight_of(const Problem& p, int64_t i) {
  return p.weights != nullptr ? p.scale * p.weights[i] : p.scale;
}

// Keys, biases and what starts as zero. A thread an index of either side.
__global__ void __launch_bounds__(kThreads) prepare(Problem p, Memory memory, double shift) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
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
    memory.bias[i] = static_cast<float>(shift - correction);
  }
}

// One block. The sum, or the largest absolute value, of `count` numbers.
template <class Value>
__device__ double block_sum(int64_t count, double (&shared)[kThreads], Value value) {
  double sum = 0.0;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) sum += value(i);
  shared[threadIdx.x] = sum;
  __syncthreads();
  for (int step = kThreads / 2; step > 0; step /= 2) {
    if (static_cast<int>(threadIdx.x) < step) shared[threadIdx.x] += shared[threadIdx.x + step];
    __syncthreads();
  }
  return shared[0];
}

__global__ void __launch_bounds__(kThreads) find_largest_weight(Problem p, double* largest) {
  TT_SHARED(double, shared, [kThreads]);
  double most = p.weights != nullptr ? 0.0 : 1.0;
  if (p.weights != nullptr) {
    for (int64_t i = threadIdx.x; i < p.n; i += kThreads)
      most = fmax(most, fabs(static_cast<double>(p.weights[i])));
  }
  shared[threadIdx.x] = most;
  __syncthreads();
  for (int step = kThreads / 2; step > 0; step /= 2) {
    if (static_cast<int>(threadIdx.x) < step)
      shared[threadIdx.x] = fmax(shared[threadIdx.x], shared[threadIdx.x + step]);
    __syncthreads();
  }
  if (threadIdx.x == 0) *largest = fabs(p.scale) * shared[0];
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
__global__ void __launch_bounds__(kThreads)
    finish_terms(Problem p, Memory memory, double scale, double shift, bool wide, bool symmetric) {
  const int lane = static_cast<int>(ptx::lane_id());
  const int64_t i = (static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x) / 32;
  if (i >= p.n) return;  // the whole warp
  const int64_t pos = positive_of(p, i);
  double dot = 0.0;
  for (int k = lane; k < p.d; k += 32)
    dot += static_cast<double>(p.queries[i * p.d + k]) * p.candidates[pos * p.d + k];
  dot = warp_sum(dot);
  if (lane != 0) return;
  const double cosine = dot * memory.q.inverse_norm[i] * memory.c.inverse_norm[pos];
  const double correction = p.log_q != nullptr ? kLog2E * p.log_q[pos] : 0.0;
  const double log2_positive = scale * cosine + shift - correction;
  const Negatives row = negatives_of(memory.q, i, wide);
  const Term by_row = term_of(row.log2, log2_positive);
  const double largest = *memory.largest;
  const double relative = largest > 0 ? weight_of(p, i) * (kLift / largest) : 0.0;
  double loss = by_row.loss, coefficient = relative * by_row.share;
  if (symmetric) {
    const Negatives column = negatives_of(memory.c, i, wide);
    const Term by_column = term_of(column.log2, log2_positive);
    loss = 0.5 * (by_row.loss + by_column.loss);
    coefficient = 0.5 * relative * (by_row.share + by_column.share);
    memory.c.addend[i] = static_cast<float>(-column.most);
    memory.c.factor[i] = column.sum == 0.0
                             ? 0.0f
                             : static_cast<float>(0.5 * relative * by_column.share / column.sum);
  }
  const double half = symmetric ? 0.5 : 1.0;
  const float factor =
      row.sum == 0.0 ? 0.0f : static_cast<float>(half * relative * by_row.share / row.sum);
  memory.q.addend[i] = static_cast<float>(-row.most);
  memory.q.factor[i] = factor;
  memory.coefficient[i] = static_cast<float>(-coefficient);
  memory.row_loss[i] = loss;
  if (p.loss != nullptr) p.loss[i] = static_cast<float>(loss);
  if (p.log_sum_exp != nullptr)
    p.log_sum_exp[i] = static_cast<float>((scale * cosine - correction) * kLn2 + loss);
}

// From products to a gradient: g = products (times factor, plus the positive, for directed rows), then
// through the norm: out = out_factor inverse (g - (g . u) u), u = inverse x. A warp a row.
struct Projection {
  const float* x;  // [count, d]
  const float* inverse_norm;
  const float* products;     // [count, width]
  const float* factor;       // [count], or NULL: 1, and the products have the positive
  const float* coefficient;  // of the positive, with factor
  const int* position;
  const float* positives;  // [m, d]
  const float* positive_norm;
  const double* largest;
  float* out;     // [count, d], or NULL
  double* along;  // [count], or NULL
  int64_t count;
  int d, width;
  double inverse_temperature;
};
__global__ void __launch_bounds__(kThreads) project(Projection p) {
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
  const double factor = *p.largest / kLift * p.inverse_temperature * inverse;
  for (int k = lane; k < p.d; k += 32) {
    const double unit = static_cast<double>(inverse) * p.x[i * p.d + k];
    p.out[i * p.d + k] = static_cast<float>(factor * (gradient(k) - along * unit));
  }
}

__global__ void __launch_bounds__(kThreads)
    finish_totals(Problem p, Memory memory, int64_t alongs) {
  TT_SHARED(double, shared, [kThreads]);
  if (p.total != nullptr) {
    const double total = block_sum(p.n, shared, [&](int64_t i) {
      const double w = weight_of(p, i);
      return w != 0 ? w * memory.row_loss[i] : 0.0;
    });
    if (threadIdx.x == 0) *p.total = total;
    __syncthreads();
  }
  if (p.grad_inverse_temperature != nullptr) {
    const double sum = block_sum(alongs, shared, [&](int64_t i) { return memory.along[i]; });
    if (threadIdx.x == 0)
      *p.grad_inverse_temperature = static_cast<float>(sum * (*memory.largest / kLift));
  }
}

dim3 blocks_for(int64_t threads) {
  return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
}

class Solver {
 public:
  Solver(const Problem& problem, const Memory& memory, cudaStream_t stream)
      : p_(problem),
        memory_(memory),
        range_(problem),
        stream_(stream),
        width_(padded_width(problem.d)),
        parts_(parts_of(problem)) {
    const bool gradient = p_.grad_queries != nullptr || p_.grad_candidates != nullptr ||
                          p_.grad_inverse_temperature != nullptr;
    columns_ = p_.grad_candidates != nullptr;
    rows_ = p_.grad_queries != nullptr || (gradient && !columns_);
  }

  cudaError_t run() {
    begin();
    if (p_.symmetric) {
      sum(memory_.q, memory_.c, p_.n, p_.m, memory_.q.zero, memory_.c.zero, false);
      sum(memory_.c, memory_.q, p_.m, p_.n, memory_.c.zero, memory_.q.zero, false);
    } else {
      sum(memory_.q, memory_.c, p_.n, p_.m, memory_.q.zero, memory_.bias, rows_);
    }
    keep(TT_LAUNCH(finish_terms, blocks_for(p_.n * 32), dim3(kThreads), 0, stream_, p_, memory_,
                   range_.scale, range_.shift, range_.wide, p_.symmetric));
    if (rows_ && p_.symmetric) give(memory_.q, memory_.c, p_.n, p_.m, nullptr);
    if (rows_) finish(true);
    if (columns_) {
      give(memory_.c, memory_.q, p_.m, p_.n, p_.symmetric ? nullptr : memory_.bias);
      finish(false);
    }
    if (p_.total != nullptr || p_.grad_inverse_temperature != nullptr) {
      keep(TT_LAUNCH(finish_totals, dim3(1), dim3(kThreads), 0, stream_, p_, memory_,
                     rows_ ? p_.n : p_.m));
    }
    return status_;
  }

 private:
  void keep(cudaError_t status) {
    if (status_ == cudaSuccess) status_ = status;
  }

  void begin() {
    keep(pack(p_.queries, p_.n, p_.d, width_, parts_, memory_.q.packed, memory_.q.inverse_norm,
              stream_));
    keep(pack(p_.candidates, p_.m, p_.d, width_, parts_, memory_.c.packed, memory_.c.inverse_norm,
              stream_));
    keep(TT_LAUNCH(prepare, blocks_for(p_.n > p_.m ? p_.n : p_.m), dim3(kThreads), 0, stream_, p_,
                   memory_, range_.shift));
    keep(TT_LAUNCH(find_largest_weight, dim3(1), dim3(kThreads), 0, stream_, p_, memory_.largest));
  }

  Pass pass(const Side& x, const Side& y, int64_t nx, int64_t ny) const {
    Pass pass{};
    pass.x = x.packed;
    pass.y = y.packed;
    pass.nx = static_cast<int>(nx);
    pass.ny = static_cast<int>(ny);
    pass.scale = static_cast<float>(range_.scale);
    pass.key_x = x.key;
    pass.key_y = y.key;
    pass.splits = x.splits;
    return pass;
  }

  // Sums of the rows of x, and products with y.
  void sum(const Side& x, const Side& y, int64_t nx, int64_t ny, const float* addend_x,
           const float* addend_y, bool products) {
    Pass pass = this->pass(x, y, nx, ny);
    pass.addend_x = addend_x;
    pass.addend_y = addend_y;
    pass.sums = x.sums;
    pass.maxima = range_.wide ? x.maxima : nullptr;
    pass.products = products ? x.products : nullptr;
    launch(pass, range_.wide ? Mode::kOnline : Mode::kSum);
  }

  // Products of the rows of x with the gradient's weights. bias: of x, or NULL: symmetric.
  void give(const Side& x, const Side& y, int64_t nx, int64_t ny, const float* bias) {
    Pass pass = this->pass(x, y, nx, ny);
    const bool directed = bias != nullptr;
    pass.addend_x = directed ? bias : x.addend;
    pass.addend_y = y.addend;
    pass.factor_x = directed ? x.zero : x.factor;
    pass.factor_y = y.factor;
    pass.position_y = memory_.position;
    pass.positive_y = memory_.coefficient;
    pass.products = x.products;
    launch(pass, !directed && range_.wide ? Mode::kGivenBoth : Mode::kGiven);
  }

  void launch(const Pass& pass, Mode mode) {
    keep(tuned::run(pass, mode, width_, parts_, stream_));
    keep(combine(pass, mode == Mode::kOnline, width_, stream_));
  }

  void finish(bool queries) {
    const Side& side = queries ? memory_.q : memory_.c;
    Projection r{};
    r.x = queries ? p_.queries : p_.candidates;
    r.inverse_norm = side.inverse_norm;
    r.products = side.products;
    if (queries && !p_.symmetric) {
      r.factor = side.factor;
      r.coefficient = memory_.coefficient;
      r.position = memory_.position;
      r.positives = p_.candidates;
      r.positive_norm = memory_.c.inverse_norm;
    }
    r.largest = memory_.largest;
    r.out = queries ? p_.grad_queries : p_.grad_candidates;
    // The temperature's gradient falls off either side; of both, the queries' is taken.
    r.along = queries || !rows_ ? memory_.along : nullptr;
    r.count = queries ? p_.n : p_.m;
    r.d = p_.d;
    r.width = width_;
    r.inverse_temperature = static_cast<double>(p_.inverse_temperature);
    keep(TT_LAUNCH(project, blocks_for(r.count * 32), dim3(kThreads), 0, stream_, r));
  }

  const Problem& p_;
  const Memory& memory_;
  const Range range_;
  cudaStream_t stream_;
  const int width_, parts_;
  bool rows_ = false, columns_ = false;
  cudaError_t status_ = cudaSuccess;
};

}  // namespace

bool can_solve(const Problem& problem, int capability, int shared_bytes_per_block) {
  constexpr int64_t kMost = (int64_t{1} << 31) - 1024;  // rows are counted in int
  return capability >= 800 && problem.n <= kMost && problem.m <= kMost &&
         fits(padded_width(problem.d), parts_of(problem), shared_bytes_per_block);
}

size_t workspace_bytes(const Problem& problem, int multiprocessors) {
  Memory memory;
  return lay_out(memory, nullptr, problem, multiprocessors);
}

cudaError_t solve(const Problem& problem, int multiprocessors, void* workspace,
                  cudaStream_t stream) {
  Memory memory;
  lay_out(memory, static_cast<char*>(workspace), problem, multiprocessors);
  return Solver(problem, memory, stream).run();
}

}  // namespace tt::cuda::loss::tuned
