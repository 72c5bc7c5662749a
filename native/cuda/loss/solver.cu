// In which order passes and stages run, and where their results lie in the workspace.
#include "loss/solver.h"

#include <algorithm>

#include "loss/hopper.h"
#include "loss/plain.h"
#include "loss/stages.h"
#include "loss/tuned.h"

// Of the architectures that the device code was compiled for, but for those with instructions of their own. The CPU run of the
// kernels has all instructions.
#ifndef TT_NEWEST_ARCHITECTURE
#define TT_NEWEST_ARCHITECTURE 100
#endif

namespace tt::cuda::loss {
namespace {

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
  memory.position = take<int>(at, p.n);
  memory.losses = take<double>(at, most_block_sums(p.n));
  memory.alongs = take<double>(at, most_block_sums(p.n + p.m));
  memory.facts = take<Facts>(at, 1);
  return at - base;
}

class Solver {
 public:
  Solver(const Problem& problem, const Layout& layout, const Memory& memory, cudaStream_t stream)
      : p_(problem),
        layout_(layout),
        memory_(memory),
        device_knows_(problem.log_q != nullptr || problem.log_inverse_temperature != nullptr),
        stream_(stream) {
    set_range(expected_, p_.m, p_.inverse_temperature, 0.0, 0.0);
    const bool gradient =
        p_.grad_queries != nullptr || p_.grad_candidates != nullptr || wants_temperature();
    columns_ = p_.grad_candidates != nullptr;
    rows_ = p_.grad_queries != nullptr || (gradient && !columns_);
  }

  cudaError_t run() {
    begin();
    if (p_.symmetric) {
      sum(memory_.q, memory_.c, p_.n, p_.m, memory_.c.zero, false);
      sum(memory_.c, memory_.q, p_.m, p_.n, memory_.q.zero, false);
    } else {
      sum(memory_.q, memory_.c, p_.n, p_.m, memory_.bias, rows_);
    }
    keep(finish_terms(p_, memory_, stream_));
    if (rows_ && p_.symmetric) give(memory_.q, memory_.c, p_.n, p_.m, nullptr);
    if (columns_) give(memory_.c, memory_.q, p_.m, p_.n, p_.symmetric ? nullptr : memory_.bias);
    if (rows_ || columns_)
      keep(project(p_, memory_, Projections{{projection(true), projection(false)}, layout_.width},
                   stream_));
    return status_;
  }

 private:
  bool wants_temperature() const {
    return p_.grad_inverse_temperature != nullptr || p_.grad_log_inverse_temperature != nullptr;
  }

  void keep(cudaError_t status) {
    if (status_ == cudaSuccess) status_ = status;
  }

  void begin() {
    const Memory& m = memory_;
    switch (layout_.engine) {
      case Engine::kPlain:
        keep(plain::begin(p_, m.q, m.c, m.facts, stream_));
        break;
      case Engine::kTensorCores:
        keep(tuned::begin(p_, m.q, m.c, layout_.width, layout_.parts, m.facts, stream_));
        break;
      case Engine::kHopper:
        keep(hopper::begin(p_, m.q, m.c, layout_.width, m.facts, stream_));
        break;
    }
    keep(prepare(p_, memory_, stream_));
  }

  Pass pass(const Side& x, const Side& y, int64_t nx, int64_t ny) const {
    Pass pass{};
    pass.x = x.packed;
    pass.y = y.packed;
    pass.nx = static_cast<int>(nx);
    pass.ny = static_cast<int>(ny);
    pass.scale = &memory_.facts->pass_scale;
    pass.key_x = x.key;
    pass.key_y = y.key;
    pass.splits = x.splits;
    return pass;
  }

  // Sums of the rows of x, and products with y.
  void sum(const Side& x, const Side& y, int64_t nx, int64_t ny, const float* addend_y,
           bool products) {
    Pass pass = this->pass(x, y, nx, ny);
    pass.addend_y = addend_y;
    pass.sums = x.sums;
    pass.products = products ? x.products : nullptr;
    // Where only the device knows the range, the pass that does not fit returns at once.
    if (device_knows_) pass.condition.flag = &memory_.facts->wide;
    if (device_knows_ || expected_.wide == 0) {
      pass.condition.value = 0;
      launch(pass, Mode::kSum);
    }
    if (device_knows_ || expected_.wide != 0) {
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
    pass.addend_y = y.addend;  // minus the rows' maxima, where there are any
    pass.shifted = &memory_.facts->wide;
    pass.factor_x = x.factor;
    pass.factor_y = y.factor;
    pass.position_y = memory_.position;
    pass.positive_y = memory_.coefficient;
    pass.products = x.products;
    launch(pass, directed              ? Mode::kGiven
                 : expected_.wide != 0 ? Mode::kGivenBoth
                                       : Mode::kGivenSum);
  }

  void launch(const Pass& pass, Mode mode) {
    keep(layout_.engine == Engine::kPlain ? plain::run(pass, mode, p_.d, stream_)
         : layout_.engine == Engine::kHopper
             ? hopper::run(pass, mode, layout_.width, stream_)
             : tuned::run(pass, mode, layout_.width, layout_.parts, stream_));
  }

  Projection projection(bool queries) const {
    Projection r{};
    if (!(queries ? rows_ : columns_)) return r;
    const Side& side = queries ? memory_.q : memory_.c;
    r.x = queries ? p_.queries : p_.candidates;
    r.inverse_norm = side.inverse_norm;
    r.products = side.products;
    if (queries && !p_.symmetric) {  // of the pass that took the sums
      r.maxima = side.maxima;
      r.factor = side.factor;
      r.coefficient = memory_.coefficient;
      r.position = memory_.position;
      r.positives = p_.candidates;
      r.positive_norm = memory_.c.inverse_norm;
    }
    r.out = queries ? p_.grad_queries : p_.grad_candidates;
    // The temperature's gradient falls off either side; of both, the queries' is taken.
    r.along = queries || !rows_;
    r.count = queries ? p_.n : p_.m;
    r.splits = side.splits;
    return r;
  }

  const Problem& p_;
  const Layout& layout_;
  const Memory& memory_;
  const bool device_knows_;
  Facts expected_{};  // what the device will find, unless only it knows
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
  // A device that is newer than all that was compiled gets the newest of that, whose kernels may lack the instructions.
  const int compiled = std::min(capability, 10 * TT_NEWEST_ARCHITECTURE);
  return most != Engine::kPlain && compiled >= 800 &&
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
