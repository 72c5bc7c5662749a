// The stages around the passes: one warp a row, everything summed in a fixed order.
#include "loss/solver.h"

#include "loss/hopper.h"
#include "loss/plain.h"
#include "loss/tuned.h"

namespace tt::cuda::loss {
namespace {

constexpr int kThreads = 128;
constexpr double kLn2 = 0.69314718055994531;
constexpr double kLog2E = 1.4426950408889634;
// Row sums reach 2^124; what is divided by them is lifted so that the quotient stays a normal float.
constexpr double kLift = 1 << 20;

constexpr int kSummaryThreads = 512;

// What is known about all rows at once; written by the device.
struct Facts {
  double largest;  // |w_i|
  double shift;    // of exponents, which are kept in units of log 2
  int wide;        // the exponents' range is too wide for a constant shift
};

// As on the CPU: unit rows bound every exponent, and 2^104 leaves room for sums over 2^20 columns.
__host__ __device__ void set_range(Facts& facts, double scale, double least_log_q,
                                   double most_log_q) {
  const double most = scale - kLog2E * least_log_q, least = -scale - kLog2E * most_log_q;
  facts.wide = most - least > 208.0 ? 1 : 0;
  facts.shift = facts.wide != 0 ? 0.0 : -0.5 * (most + least);
}

struct Side {  // queries or candidates
  void* packed;
  float *inverse_norm, *zero, *addend, *factor, *sums, *maxima, *products;
  int* key;
  int splits;
};

struct Memory {
  Side q, c;
  float *bias, *coefficient, *row_scale;
  int* position;
  double *row_loss, *along;
  Facts* facts;
};

// How an engine stores rows.
struct Layout {
  Layout(const Problem& p, Engine e) : engine(e), parts(p.bfloat16 ? 1 : 3) {
    width = e == Engine::kPlain         ? p.d
            : e == Engine::kTensorCores ? tuned::padded_width(p.d)
                                        : hopper::padded_width(p.d);
    row_bytes = e == Engine::kPlain ? int64_t{4} * width : int64_t{2} * parts * width;
  }

  int splits(int64_t nx, int64_t ny, int multiprocessors) const {
    switch (engine) {
      case Engine::kPlain:
        return plain::splits_for(nx, ny, multiprocessors);
      case Engine::kTensorCores:
        return tuned::splits_for(width, parts, nx, ny, multiprocessors);
      case Engine::kHopper:
        return hopper::splits_for(nx, ny, multiprocessors);
    }
    return 1;
  }

  Engine engine;
  int parts;  // of a float, on tensor cores
  int width;  // of products
  int64_t row_bytes;
};

// Room for whole tiles of hopper.h, which reads them whole.
template <class T>
T* take(char*& at, int64_t count) {
  T* result = reinterpret_cast<T*>(at);
  at += (static_cast<size_t>(hopper::padded_rows(count)) * sizeof(T) + 255) / 256 * 256;
  return result;
}

void lay_out_side(Side& s, char*& at, const Layout& layout, int64_t count, int64_t others,
                  int multiprocessors) {
  s.splits = layout.splits(count, others, multiprocessors);
  s.packed = take<char>(at, hopper::padded_rows(count) * layout.row_bytes);
  s.inverse_norm = take<float>(at, count);
  s.zero = take<float>(at, count);
  s.addend = take<float>(at, count);
  s.factor = take<float>(at, count);
  s.key = take<int>(at, count);
  s.sums = take<float>(at, count * s.splits);
  s.maxima = take<float>(at, count * s.splits);
  s.products = take<float>(at, count * s.splits * layout.width);
}

int64_t lay_out(Memory& memory, char* base, const Problem& p, const Layout& layout,
                int multiprocessors) {
  char* at = base;
  lay_out_side(memory.q, at, layout, p.n, p.m, multiprocessors);
  lay_out_side(memory.c, at, layout, p.m, p.n, multiprocessors);
  memory.bias = take<float>(at, p.m);
  memory.coefficient = take<float>(at, p.n);
  memory.row_scale = take<float>(at, p.n);
  memory.position = take<int>(at, p.n);
  memory.row_loss = take<double>(at, p.n);
  memory.along = take<double>(at, p.n > p.m ? p.n : p.m);
  memory.facts = take<Facts>(at, 1);
  return at - base;
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
// hopper.h reads what lies behind the last row, though it does not use it.
__device__ void clear(const Side& side, int64_t i) {
  side.key[i] = 0;
  side.zero[i] = side.addend[i] = side.factor[i] = 0.0f;
}

__global__ void __launch_bounds__(kThreads) prepare(Problem p, Memory memory) {
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
__global__ void __launch_bounds__(kSummaryThreads)
    find_facts(Problem p, double scale, Facts* facts) {
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
  set_range(*facts, scale, least, most);
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
    finish_terms(Problem p, Memory memory, double scale, bool symmetric) {
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
  const double log2_positive = scale * cosine + facts.shift - correction;
  const Negatives row = negatives_of(memory.q, i, wide);
  const Term by_row = term_of(row.log2, log2_positive);
  const double relative = facts.largest > 0 ? weight_of(p, i) * (kLift / facts.largest) : 0.0;
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
  const Facts* facts;
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
  const double factor = p.facts->largest / kLift * p.inverse_temperature * inverse;
  for (int k = lane; k < p.d; k += 32) {
    const double unit = static_cast<double>(inverse) * p.x[i * p.d + k];
    p.out[i * p.d + k] = static_cast<float>(factor * (gradient(k) - along * unit));
  }
}

__global__ void __launch_bounds__(kSummaryThreads)
    finish_totals(Problem p, Memory memory, int64_t alongs) {
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
  if (p.grad_inverse_temperature != nullptr) {
    double sum = 0.0;
    for (int64_t i = threadIdx.x; i < alongs; i += kSummaryThreads) sum += memory.along[i];
    sum = block_reduce(sum, shared, Sum());
    if (threadIdx.x == 0)
      *p.grad_inverse_temperature = static_cast<float>(sum * (memory.facts->largest / kLift));
  }
}

dim3 blocks_for(int64_t threads) {
  return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
}

class Solver {
 public:
  Solver(const Problem& problem, const Layout& layout, const Memory& memory, cudaStream_t stream)
      : p_(problem),
        layout_(layout),
        memory_(memory),
        scale_(kLog2E * problem.inverse_temperature),
        stream_(stream) {
    set_range(uncorrected_, scale_, 0.0, 0.0);
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
                   scale_, p_.symmetric));
    if (rows_ && p_.symmetric) give(memory_.q, memory_.c, p_.n, p_.m, nullptr);
    if (rows_) finish(true);
    if (columns_) {
      give(memory_.c, memory_.q, p_.m, p_.n, p_.symmetric ? nullptr : memory_.bias);
      finish(false);
    }
    if (p_.total != nullptr || p_.grad_inverse_temperature != nullptr) {
      keep(TT_LAUNCH(finish_totals, dim3(1), dim3(kSummaryThreads), 0, stream_, p_, memory_,
                     rows_ ? p_.n : p_.m));
    }
    return status_;
  }

 private:
  void keep(cudaError_t status) {
    if (status_ == cudaSuccess) status_ = status;
  }

  void begin() {
    pack(p_.queries, p_.n, memory_.q);
    pack(p_.candidates, p_.m, memory_.c);
    keep(TT_LAUNCH(find_facts, dim3(1), dim3(kSummaryThreads), 0, stream_, p_, scale_,
                   memory_.facts));
    const int64_t longest = hopper::padded_rows(p_.n > p_.m ? p_.n : p_.m);
    keep(TT_LAUNCH(prepare, blocks_for(longest), dim3(kThreads), 0, stream_, p_, memory_));
  }

  void pack(const float* rows, int64_t count, const Side& side) {
    auto* bfloat16 = static_cast<__nv_bfloat16*>(side.packed);
    switch (layout_.engine) {
      case Engine::kPlain:
        return keep(plain::pack(rows, count, p_.d, p_.bfloat16, static_cast<float*>(side.packed),
                                side.inverse_norm, stream_));
      case Engine::kTensorCores:
        return keep(tuned::pack(rows, count, p_.d, layout_.width, layout_.parts, bfloat16,
                                side.inverse_norm, stream_));
      case Engine::kHopper:
        return keep(
            hopper::pack(rows, count, p_.d, layout_.width, bfloat16, side.inverse_norm, stream_));
    }
  }

  Pass pass(const Side& x, const Side& y, int64_t nx, int64_t ny) const {
    Pass pass{};
    pass.x = x.packed;
    pass.y = y.packed;
    pass.nx = static_cast<int>(nx);
    pass.ny = static_cast<int>(ny);
    pass.scale = static_cast<float>(scale_);
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
    pass.products = products ? x.products : nullptr;
    // Only the device knows log_q: the pass that does not fit returns at once.
    if (p_.log_q != nullptr) pass.condition.flag = &memory_.facts->wide;
    if (p_.log_q != nullptr || uncorrected_.wide == 0) {
      pass.condition.value = 0;
      launch(pass, Mode::kSum);
    }
    if (p_.log_q != nullptr || uncorrected_.wide != 0) {
      pass.condition.value = 1;
      pass.maxima = x.maxima;
      launch(pass, Mode::kOnline);
    }
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
    launch(pass, !directed && uncorrected_.wide != 0 ? Mode::kGivenBoth : Mode::kGiven);
  }

  void launch(const Pass& pass, Mode mode) {
    keep(layout_.engine == Engine::kPlain ? plain::run(pass, mode, p_.d, stream_)
         : layout_.engine == Engine::kHopper
             ? hopper::run(pass, mode, layout_.width, stream_)
             : tuned::run(pass, mode, layout_.width, layout_.parts, stream_));
    keep(combine(pass, mode == Mode::kOnline, layout_.width, stream_));
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
    r.facts = memory_.facts;
    r.out = queries ? p_.grad_queries : p_.grad_candidates;
    // The temperature's gradient falls off either side; of both, the queries' is taken.
    r.along = queries || !rows_ ? memory_.along : nullptr;
    r.count = queries ? p_.n : p_.m;
    r.d = p_.d;
    r.width = layout_.width;
    r.inverse_temperature = static_cast<double>(p_.inverse_temperature);
    keep(TT_LAUNCH(project, blocks_for(r.count * 32), dim3(kThreads), 0, stream_, r));
  }

  const Problem& p_;
  const Layout& layout_;
  const Memory& memory_;
  const double scale_;
  Facts uncorrected_{};  // what the device will find where there is no log_q
  cudaStream_t stream_;
  bool rows_ = false, columns_ = false;
  cudaError_t status_ = cudaSuccess;
};

}  // namespace

Engine best_engine(const Problem& problem, Engine most, int capability,
                   int shared_bytes_per_block) {
  if (most == Engine::kHopper && hopper::built() && capability == 900 && problem.bfloat16 &&
      hopper::padded_width(problem.d) != 0)
    return Engine::kHopper;
  const int width = tuned::padded_width(problem.d);
  return most != Engine::kPlain && capability >= 800 &&
                 tuned::fits(width, problem.bfloat16 ? 1 : 3, shared_bytes_per_block)
             ? Engine::kTensorCores
             : Engine::kPlain;
}

int64_t workspace_bytes(const Problem& problem, Engine engine, int multiprocessors) {
  Memory memory;
  return lay_out(memory, nullptr, problem, Layout(problem, engine), multiprocessors);
}

cudaError_t solve(const Problem& problem, Engine engine, int multiprocessors, void* workspace,
                  cudaStream_t stream) {
  const Layout layout(problem, engine);
  Memory memory;
  lay_out(memory, static_cast<char*>(workspace), problem, layout, multiprocessors);
  return Solver(problem, layout, memory, stream).run();
}

}  // namespace tt::cuda::loss
