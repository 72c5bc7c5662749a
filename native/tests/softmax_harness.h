// Runs tt_sampled_softmax and tt_contrastive through the C ABI with poisoned outputs between guard
// bands, and judges results against softmax_reference.h. Nothing here assumes that device memory can
// be read: any backend may stand behind a Runner.
#ifndef TWINTAIL_TESTS_SOFTMAX_HARNESS_H
#define TWINTAIL_TESTS_SOFTMAX_HARNESS_H

#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <random>
#include <string>

#include "harness.h"
#include "softmax_reference.h"
#include "twintail.h"

namespace softmax {

using tt_test::fresh_seed;

inline Input random_input(std::mt19937& random, int64_t n, int64_t m, int d) {
  std::normal_distribution<float> normal;
  Input in;
  in.n = n;
  in.m = m;
  in.d = d;
  in.queries.resize(static_cast<size_t>(n * d));
  in.candidates.resize(static_cast<size_t>(m * d));
  for (float& x : in.candidates) x = normal(random);
  // Some rows resemble their positives, lengths differ widely.
  for (int64_t i = 0; i < n; ++i) {
    const float length = std::exp2(4 * normal(random));
    for (int k = 0; k < d; ++k) {
      const float other = in.candidates[static_cast<size_t>((i % m) * d + k)];
      in.queries[static_cast<size_t>(i * d + k)] = length * (0.7f * other + normal(random));
    }
  }
  return in;
}

inline void add_log_q(std::mt19937& random, Input& in, double least_p = 1e-9) {
  std::uniform_real_distribution<double> uniform(std::log(least_p), 0);
  for (int64_t j = 0; j < in.m; ++j) in.log_q.push_back(static_cast<float>(uniform(random)));
}
inline void add_positives(std::mt19937& random, Input& in) {
  std::uniform_int_distribution<int32_t> column(0, static_cast<int32_t>(in.m) - 1);
  for (int64_t i = 0; i < in.n; ++i) in.positives.push_back(column(random));
}
inline void add_ids(std::mt19937& random, Input& in, int32_t distinct) {
  std::uniform_int_distribution<int32_t> id(0, distinct - 1);
  for (int64_t j = 0; j < in.m; ++j) in.ids.push_back(id(random) * 1000003 - 7);
}
inline void add_weights(std::mt19937& random, Input& in) {
  std::uniform_real_distribution<float> uniform(-1, 2);
  for (int64_t i = 0; i < in.n; ++i) in.weights.push_back(std::max(0.0f, uniform(random)));
}

/// Which outputs are asked for.
enum Wanted : unsigned {
  kLoss = 1,
  kLogSumExp = 2,
  kTotal = 4,
  kGradQueries = 8,
  kGradCandidates = 16,
  kGradTemperature = 32,
  kAll = 63
};

/// What a call returned; empty where not asked for.
struct Result {
  std::vector<float> loss, log_sum_exp, grad_queries, grad_candidates, grad_inverse_temperature;
  std::vector<double> total;
  std::vector<float> grad_log_inverse_temperature;  // of a learnt one

  /// All bits that any temperature has, for comparisons of runs.
  std::string bits() const {
    std::string all;
    for (const auto* v :
         {&loss, &log_sum_exp, &grad_queries, &grad_candidates, &grad_inverse_temperature}) {
      all.append(reinterpret_cast<const char*>(v->data()), v->size() * sizeof(float));
    }
    return all.append(reinterpret_cast<const char*>(total.data()), total.size() * sizeof(double));
  }
};

class Runner {
 public:
  explicit Runner(const tt_test::Target& target = {TT_DEVICE_CPU, TT_ISA_BEST, "Cpu"},
                  int threads = 2) {
    tt_context_options options{};
    options.struct_size = sizeof options;
    options.device = target.device;
    if (target.device == TT_DEVICE_CPU) {
      options.threads = threads;
      options.isa = target.isa;
      // The kernels for bfloat16 are to be tested also where those for float32 are faster.
      setenv("TWINTAIL_BFLOAT16", "1", 0);
    }
    must(tt_context_create(&options, &context_));
  }
  ~Runner() { must(tt_context_destroy(context_)); }
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  tt_context* context() const { return context_; }
  bool has_bfloat16() const { return info().bfloat16 != 0; }
  std::string device_name() const { return info().name; }

  Result sampled_softmax(const Input& in, unsigned wanted = kAll) const {
    Result out;
    Buffers b(context_);
    tt_sampled_softmax_args a{};
    a.struct_size = sizeof a;
    a.d = in.d;
    a.n = in.n;
    a.m = in.m;
    a.queries = b.in(in.queries);
    a.candidates = b.in(in.candidates);
    a.log_q = b.in(in.log_q);
    a.positives = b.in(in.positives);
    a.candidate_ids = b.in(in.ids);
    a.weights = b.in(in.weights);
    a.inverse_temperature = in.inverse_temperature;
    a.log_inverse_temperature = b.in(in.log_inverse_temperature);
    a.scale = in.scale;
    a.precision = in.precision;
    a.loss = b.out(out.loss, in.n, wanted & kLoss);
    a.log_sum_exp = b.out(out.log_sum_exp, in.n, wanted & kLogSumExp);
    a.total = b.out(out.total, 1, wanted & kTotal);
    a.grad_queries = b.out(out.grad_queries, in.n * in.d, wanted & kGradQueries);
    a.grad_candidates = b.out(out.grad_candidates, in.m * in.d, wanted & kGradCandidates);
    a.grad_inverse_temperature = b.out(out.grad_inverse_temperature, 1, wanted & kGradTemperature);
    a.grad_log_inverse_temperature =
        b.out(out.grad_log_inverse_temperature, 1,
              !in.log_inverse_temperature.empty() && (wanted & kGradTemperature) != 0);
    must(tt_sampled_softmax(context_, &a));
    b.collect();
    return out;
  }

  Result contrastive(const Input& in, unsigned wanted = kAll) const {
    Result out;
    Buffers b(context_);
    tt_contrastive_args a{};
    a.struct_size = sizeof a;
    a.d = in.d;
    a.m = in.m;
    a.view1 = b.in(in.queries);
    a.view2 = b.in(in.candidates);
    a.ids = b.in(in.ids);
    a.weights = b.in(in.weights);
    a.inverse_temperature = in.inverse_temperature;
    a.scale = in.scale;
    a.symmetric = in.symmetric ? 1 : 0;
    a.precision = in.precision;
    a.loss = b.out(out.loss, in.m, wanted & kLoss);
    a.total = b.out(out.total, 1, wanted & kTotal);
    a.grad_view1 = b.out(out.grad_queries, in.m * in.d, wanted & kGradQueries);
    a.grad_view2 = b.out(out.grad_candidates, in.m * in.d, wanted & kGradCandidates);
    a.grad_inverse_temperature = b.out(out.grad_inverse_temperature, 1, wanted & kGradTemperature);
    must(tt_contrastive(context_, &a));
    b.collect();
    return out;
  }

  static void must(tt_status status) {
    tt_error error{};
    if (status != TT_OK) tt_last_error(&error);
    ASSERT_EQ(status, TT_OK) << error.message;
  }

 private:
  tt_context_info info() const {
    tt_context_info info{};
    info.struct_size = sizeof info;
    must(tt_context_get_info(context_, &info));
    return info;
  }
  static constexpr int64_t kGuard = 67;            // odd: outputs have natural alignment only
  static constexpr uint32_t kPoison = 0x7fc0dead;  // a NaN that no arithmetic makes

  /// Device copies of a call's arguments.
  class Buffers {
   public:
    explicit Buffers(tt_context* context) : context_(context) {}
    ~Buffers() {
      for (void* p : taken_) must(tt_free(context_, p));
    }

    template <class T>
    const T* in(const std::vector<T>& values) {
      if (values.empty()) return nullptr;
      auto* device = static_cast<T*>(take((values.size() + 1) * sizeof(T))) + 1;
      must(tt_memory_copy(context_, device, values.data(),
                          static_cast<int64_t>(values.size() * sizeof(T)), TT_HOST_TO_DEVICE));
      return device;
    }

    template <class T>
    T* out(std::vector<T>& values, int64_t count, bool wanted) {
      if (!wanted) return nullptr;
      values.resize(static_cast<size_t>(count));
      const size_t bytes = static_cast<size_t>(count + 2 * kGuard) * sizeof(T);
      void* device = take(bytes);
      const std::vector<uint32_t> poison(bytes / 4, kPoison);
      must(tt_memory_copy(context_, device, poison.data(), static_cast<int64_t>(bytes),
                          TT_HOST_TO_DEVICE));
      outputs_.push_back({device, values.data(), count, sizeof(T)});
      return static_cast<T*>(device) + kGuard;
    }

    void collect() {
      must(tt_context_synchronize(context_));
      for (const OutBuffer& o : outputs_) {
        const size_t guard = kGuard * o.size, bytes = static_cast<size_t>(o.count) * o.size;
        std::vector<uint32_t> all((2 * guard + bytes) / 4);
        must(tt_memory_copy(context_, all.data(), o.device, static_cast<int64_t>(all.size() * 4),
                            TT_DEVICE_TO_HOST));
        for (size_t i = 0; i < all.size(); ++i) {
          const bool is_guard = i < guard / 4 || i >= (guard + bytes) / 4;
          if (is_guard) {
            ASSERT_EQ(all[i], kPoison) << "written outside an output at word " << i;
          } else {
            ASSERT_NE(all[i], kPoison) << "word " << i - guard / 4 << " was never written";
          }
        }
        std::memcpy(o.host, reinterpret_cast<char*>(all.data()) + guard, bytes);
      }
    }

   private:
    struct OutBuffer {
      void* device;
      void* host;
      int64_t count;
      size_t size;
    };
    void* take(size_t bytes) {
      void* p = nullptr;
      must(tt_alloc(context_, static_cast<int64_t>(bytes), &p));
      taken_.push_back(p);
      return p;
    }

    tt_context* context_;
    std::vector<void*> taken_;
    std::vector<OutBuffer> outputs_;
  };

  tt_context* context_ = nullptr;
};

/// The largest error of a row, times the row's length where it has one: gradients of short rows are
/// large, and would hide all others.
template <class Real, class T>
double row_error(const std::vector<Real>& x, const std::vector<double>& oracle,
                 const std::vector<T>& rows_inverse, int d) {
  double worst = 0;
  for (size_t i = 0; i < oracle.size(); ++i) {
    const double inverse = rows_inverse.empty() ? 1.0 : rows_inverse[i / static_cast<size_t>(d)];
    const double error = std::fabs(static_cast<double>(x[i]) - oracle[i]);
    if (inverse == 0) {
      EXPECT_EQ(error, 0) << "a zero row has no gradient";
    } else {
      worst = std::isnan(error) ? 1e300 : std::max(worst, error / inverse);
    }
  }
  return worst;
}

/// Holds every output against the oracle: at most twice the error of the same computation in plain
/// float, plus what rounding the logits to float costs anybody: a few times 2^-24 |s| in each (two
/// norms, the scale, the sum), hence the same relative error in each exponential. looser: for bfloat16.
inline void expect_matches(const Input& in, const Result& x, double looser = 1) {
  const Output<double> oracle = reference<double>(in);
  const Output<float> plain = reference<float>(in);
  const UnitRows<double> q(in.queries, in.n, in.d), c(in.candidates, in.m, in.d);
  const std::vector<double> none;
  const double unit = std::ldexp(looser, -24);
  const double logit_unit = unit * (4 + oracle.largest_logit);
  double weight_sum = 0, row_gradient = 0;
  std::vector<double> column_gradient(static_cast<size_t>(in.m), 0.0);
  for (int64_t i = 0; i < in.n; ++i) {
    const double w = std::fabs(in.weight(i));
    weight_sum += w;
    row_gradient = std::max(row_gradient, w * oracle.share[static_cast<size_t>(i)]);
  }
  // Errors of rows that meet in a column add up like a random walk.
  const double meeting = std::sqrt(static_cast<double>(std::max(in.n, in.m)));

  double loss_error = row_error(plain.loss, oracle.loss, none, 1);
  const double loss_allowed = 2 * loss_error + 4 * logit_unit;
  if (!x.loss.empty()) {
    EXPECT_LE(row_error(x.loss, oracle.loss, none, 1), loss_allowed) << "loss";
    for (const float l : x.loss) EXPECT_GE(l, 0) << "losses are logs of 1 + something";
  }
  if (!x.log_sum_exp.empty()) {
    EXPECT_LE(row_error(x.log_sum_exp, oracle.log_sum_exp, none, 1),
              2 * row_error(plain.log_sum_exp, oracle.log_sum_exp, none, 1) + 4 * logit_unit)
        << "log_sum_exp";  // both norms' rounding is the same in a whole row
  }
  if (!x.total.empty()) {
    EXPECT_LE(std::fabs(x.total[0] - oracle.total), loss_allowed * weight_sum) << "total";
  }
  const double per_row = 2 * in.inverse_temperature * logit_unit * row_gradient;
  if (!x.grad_queries.empty()) {
    EXPECT_LE(row_error(x.grad_queries, oracle.grad_queries, q.inverse, in.d),
              2 * row_error(plain.grad_queries, oracle.grad_queries, q.inverse, in.d) + per_row)
        << "grad_queries";
  }
  if (!x.grad_candidates.empty()) {
    EXPECT_LE(row_error(x.grad_candidates, oracle.grad_candidates, c.inverse, in.d),
              2 * row_error(plain.grad_candidates, oracle.grad_candidates, c.inverse, in.d) +
                  per_row * (in.positives.empty() ? 2 : meeting))
        << "grad_candidates";
  }
  if (!x.grad_inverse_temperature.empty()) {
    const double term = row_error(plain.temperature_terms, oracle.temperature_terms, none, 1);
    EXPECT_LE(std::fabs(x.grad_inverse_temperature[0] - oracle.grad_inverse_temperature),
              2 * term * static_cast<double>(in.n) + 2 * logit_unit * weight_sum)
        << "grad_inverse_temperature";
  }
}

}  // namespace softmax
#endif
