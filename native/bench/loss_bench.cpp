// sampled_softmax and contrastive against the multiply-add peak: 2 n m d flops for each product that
// a form needs (6 forward and backward, 2 forward alone), the exponential not counted.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>

#include "bench.h"

namespace bench {
namespace {

struct Data {
  Data(int64_t rows, int64_t columns, int width) : n(rows), m(columns), d(width) {
    std::mt19937 random(42);
    std::uniform_real_distribution<float> uniform(-1, 1);
    const auto queries_size = static_cast<size_t>(n * d),
               candidates_size = static_cast<size_t>(m * d);
    queries.resize(queries_size);
    candidates.resize(candidates_size);
    log_q.resize(static_cast<size_t>(m));
    ids.resize(static_cast<size_t>(m));
    weights.resize(static_cast<size_t>(n));
    for (float& x : candidates) x = uniform(random);
    for (size_t i = 0; i < queries_size; ++i) {  // positives are somewhat similar
      queries[i] = 0.5f * candidates[i % candidates_size] + uniform(random);
    }
    for (float& x : log_q) x = -7.5f - 4.5f * uniform(random);
    for (float& x : weights) x = 1.0f + 0.5f * uniform(random);
    // Clicks fall on items in a long-tailed way: item ~ exp(uniform over log of 10 m items).
    for (int32_t& id : ids) {
      id = static_cast<int32_t>(
          std::exp(0.5 * (uniform(random) + 1) * std::log(10.0 * static_cast<double>(m))));
    }
    loss.resize(static_cast<size_t>(n));
    grad_queries.resize(queries_size);
    grad_candidates.resize(candidates_size);
  }

  int64_t n, m;
  int d;
  std::vector<float> queries, candidates, log_q, weights, loss, grad_queries, grad_candidates;
  std::vector<int32_t> ids;
  double total = 0;
  float grad_inverse_temperature = 0;
};

struct Case {
  const char* name;
  double products;  // of 2 n m d flops
  bool backward = true;
  bool everything = false;  // ids, weights and the temperature's gradient
  float temperature = 0.05f;
  bool contrastive = false;
  bool symmetric = false;
  bool bfloat16 = false;
};

constexpr Case kForwardBackward{"loss_forward_backward", 3};
constexpr Case kForward{"loss_forward", 1, false};
constexpr Case kEverything{"loss_forward_backward_ids_weights_temperature", 3, true, true};
constexpr Case kCold{"loss_forward_backward_temperature_0.01", 3, true, false, 0.01f};
constexpr Case kColdForward{"loss_forward_temperature_0.01", 1, false, false, 0.01f};
constexpr Case kSymmetric{
    "contrastive_symmetric_forward_backward", 4, true, false, 0.05f, true, true};
constexpr Case kBfloat16{"loss_forward_backward", 3, true, false, 0.05f, false, false, true};
constexpr Case kBfloat16Forward{"loss_forward", 1, false, false, 0.05f, false, false, true};

void call(tt_context* context, const Case& c, Data& data) {
  if (c.contrastive) {
    tt_contrastive_args a{};
    a.struct_size = sizeof a;
    a.d = data.d;
    a.m = data.n;
    a.view1 = data.queries.data();
    a.view2 = data.candidates.data();
    a.inverse_temperature = 1 / c.temperature;
    a.scale = 1;
    a.symmetric = c.symmetric ? 1 : 0;
    a.precision = c.bfloat16 ? TT_BFLOAT16 : TT_FLOAT32;
    a.total = &data.total;
    if (c.backward) {
      a.grad_view1 = data.grad_queries.data();
      a.grad_view2 = data.grad_candidates.data();
    }
    return check(tt_contrastive(context, &a), c.name);
  }
  tt_sampled_softmax_args a{};
  a.struct_size = sizeof a;
  a.d = data.d;
  a.n = data.n;
  a.m = data.m;
  a.queries = data.queries.data();
  a.candidates = data.candidates.data();
  a.log_q = data.log_q.data();
  a.inverse_temperature = 1 / c.temperature;
  a.scale = 1;
  a.precision = c.bfloat16 ? TT_BFLOAT16 : TT_FLOAT32;
  a.loss = data.loss.data();
  a.total = &data.total;
  if (c.everything) {
    a.candidate_ids = data.ids.data();
    a.weights = data.weights.data();
    a.grad_inverse_temperature = &data.grad_inverse_temperature;
  }
  if (c.backward) {
    a.grad_queries = data.grad_queries.data();
    a.grad_candidates = data.grad_candidates.data();
  }
  check(tt_sampled_softmax(context, &a), c.name);
}

void run(const Options& options, const Case& c, const std::string& isa, int threads, int64_t n,
         int64_t m, int d) {
  tt_context* context = create_context(isa, threads);
  tt_context_info info{};
  info.struct_size = sizeof info;
  check(tt_context_get_info(context, &info), "info");
  if (!c.bfloat16 || info.bfloat16 != 0) {
    Data data(n, m, d);
    Result r;
    r.name = c.name;
    r.n = n;
    r.m = m;
    r.d = d;
    r.isa = isa;
    r.dtype = c.bfloat16 ? "bfloat16" : "float32";
    const double flops =
        c.products * 2.0 * static_cast<double>(n) * static_cast<double>(m) * static_cast<double>(d);
    const double seconds = options.seconds > 0 ? options.seconds : options.quick ? 0.3 : 1.5;
    time_beside_peak([&] { call(context, c, data); }, flops, c.bfloat16 ? "avx512bf16" : isa,
                     threads, seconds, r);
    check(tt_context_get_info(context, &info), "info");
    r.extra_mib = static_cast<double>(info.workspace_bytes) / (1 << 20);
    print(r);
  }
  tt_context_destroy(context);
}

}  // namespace

void run_loss(const Options& options) {
  const std::vector<int> threads = threads_of(options);
  const int most = *std::max_element(threads.begin(), threads.end());
  const std::vector<std::string> isas = isas_of(options);
  const std::string& best = isas.front();

  // The contract's sizes on every instruction set and number of threads.
  const std::vector<int64_t> sizes = options.quick ? std::vector<int64_t>{1024, 4096}
                                                   : std::vector<int64_t>{1024, 4096, 8192, 16384};
  for (const std::string& isa : isas) {
    for (const int t : threads) {
      for (const int64_t n : sizes) {
        if (isa != best && n > 4096) continue;
        if (isa == "portable" && t != most) continue;
        for (const int d : {64, 128}) {
          run(options, kForwardBackward, isa, t, n, n, d);
          if (d == 64) run(options, kForward, isa, t, n, n, d);
        }
      }
    }
  }
  // What else the op can do, at one size, on the best instruction set.
  const int64_t n = options.quick ? 2048 : 8192;
  for (const Case& c :
       {kEverything, kCold, kColdForward, kSymmetric, kBfloat16, kBfloat16Forward}) {
    run(options, c, best, most, n, n, 64);
  }
  run(options, kBfloat16, best, most, n, n, 128);
  run(options, kForwardBackward, best, most, n / 2, 2 * n, 64);  // extra negatives
  if (options.quick) return;
  // Growth with the batch and the width.
  for (const int64_t size : {1024, 2048, 32768, 65536}) {
    run(options, kForwardBackward, best, most, size, size, 64);
  }
  for (const int d : {32, 96, 100, 256}) run(options, kForwardBackward, best, most, 4096, 4096, d);
}

}  // namespace bench
