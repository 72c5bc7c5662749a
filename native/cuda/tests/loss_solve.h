// Solves what the ops' own tests give to an op by one engine.
#pragma once

#include <memory>

#include "loss/solver.h"
#include "simt_test.h"
#include "softmax_harness.h"

namespace loss_test {

using simt_test::DeviceArray;
using softmax::Input;
using softmax::Result;
using tt::cuda::loss::Engine;

struct Size {
  int64_t n, m;
  int d;
};

template <class T>
class Optional {  // device memory where there are values
 public:
  explicit Optional(const std::vector<T>& values) {
    if (!values.empty()) array_ = std::make_unique<DeviceArray<T>>(values);
  }
  Optional(std::size_t size, bool wanted) {
    if (wanted) array_ = std::make_unique<DeviceArray<T>>(size);
  }
  T* get() const { return array_ != nullptr ? array_->get() : nullptr; }
  std::vector<T> values() const { return array_ != nullptr ? array_->values() : std::vector<T>(); }

 private:
  std::unique_ptr<DeviceArray<T>> array_;
};

inline Result solve(Engine engine, const Input& in, unsigned wanted = softmax::kAll,
                    int multiprocessors = 4) {
  const auto n = static_cast<std::size_t>(in.n), m = static_cast<std::size_t>(in.m);
  const auto d = static_cast<std::size_t>(in.d);
  const Optional<float> queries(in.queries), candidates(in.candidates), log_q(in.log_q),
      weights(in.weights);
  const Optional<int> positives(in.positives), ids(in.ids);
  const Optional<float> loss(n, wanted & softmax::kLoss), lse(n, wanted & softmax::kLogSumExp),
      grad_queries(n * d, wanted & softmax::kGradQueries),
      grad_candidates(m * d, wanted & softmax::kGradCandidates),
      grad_temperature(1, wanted & softmax::kGradTemperature);
  const Optional<double> total(1, wanted & softmax::kTotal);
  tt::cuda::loss::Problem p{};
  p.n = in.n;
  p.m = in.m;
  p.d = in.d;
  p.queries = queries.get();
  p.candidates = candidates.get();
  p.log_q = log_q.get();
  p.positives = positives.get();
  p.ids = ids.get();
  p.weights = weights.get();
  p.scale = in.weights.empty() ? static_cast<double>(in.scale) / static_cast<double>(in.n)
                               : static_cast<double>(in.scale);
  p.inverse_temperature = in.inverse_temperature;
  p.symmetric = in.symmetric;
  p.bfloat16 = in.precision == TT_BFLOAT16;
  p.loss = loss.get();
  p.log_sum_exp = in.symmetric ? nullptr : lse.get();
  p.total = total.get();
  p.grad_queries = grad_queries.get();
  p.grad_candidates = grad_candidates.get();
  p.grad_inverse_temperature = grad_temperature.get();
  const int capability = simt::options().compute_capability;
  if (engine == Engine::kHopper) simt::options().compute_capability = 90;  // for its shared memory
  const auto bytes = static_cast<std::size_t>(workspace_bytes(p, engine, multiprocessors));
  const DeviceArray<unsigned char> workspace(bytes);
  EXPECT_EQ(tt::cuda::loss::solve(p, engine, multiprocessors, workspace.get(), nullptr),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  simt::options().compute_capability = capability;
  Result r;
  r.loss = loss.values();
  if (!in.symmetric) r.log_sum_exp = lse.values();
  r.total = total.values();
  r.grad_queries = grad_queries.values();
  r.grad_candidates = grad_candidates.values();
  r.grad_inverse_temperature = grad_temperature.values();
  return r;
}

}  // namespace loss_test
