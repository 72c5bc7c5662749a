// tt_top_k against the multiply-add peak: 2 n m d flops for the scores; selecting is not counted.
#include <algorithm>
#include <random>

#include "bench.h"

namespace bench {
namespace {

/// Users, items and some clicked items of each user, which it may not get.
struct Users {
  Users(int64_t users, int64_t catalogue, int width) : n(users), m(catalogue), d(width) {
    std::mt19937 random(42);
    std::uniform_real_distribution<float> uniform(-1, 1);
    queries.resize(static_cast<size_t>(n * d));
    items.resize(static_cast<size_t>(m * d));
    for (float& x : queries) x = uniform(random);
    for (float& x : items) x = uniform(random);
    std::uniform_int_distribution<int> clicks(5, 95);
    std::uniform_int_distribution<int32_t> item(0, static_cast<int32_t>(m - 1));
    offsets.push_back(0);
    for (int64_t u = 0; u < n; ++u) {
      for (int c = clicks(random); c > 0; --c) clicked.push_back(item(random));
      offsets.push_back(static_cast<int64_t>(clicked.size()));
    }
  }

  int64_t n, m;
  int d;
  std::vector<float> queries, items;
  std::vector<int64_t> offsets;
  std::vector<int32_t> clicked;
};

void run(const Options& options, const Users& users, const std::string& isa, int threads,
         int32_t k) {
  tt_context* context = create_context(isa, threads);
  tt_retrieval_args a{};
  a.struct_size = sizeof a;
  a.d = users.d;
  a.n = users.n;
  a.m = users.m;
  a.queries = users.queries.data();
  a.items = users.items.data();
  a.exclude_offsets = users.offsets.data();
  a.exclude_items = users.clicked.data();
  a.similarity = TT_COSINE;
  std::vector<int32_t> ids(static_cast<size_t>(a.n * k));
  std::vector<float> scores(ids.size());
  Result r;
  r.name = "top_k_" + std::to_string(k);
  r.n = a.n;
  r.m = a.m;
  r.d = a.d;
  r.isa = isa;
  r.dtype = "float32";
  const double flops =
      2.0 * static_cast<double>(a.n) * static_cast<double>(a.m) * static_cast<double>(a.d);
  const double seconds = options.seconds > 0 ? options.seconds : options.quick ? 0.3 : 3;
  time_beside_peak([&] { check(tt_top_k(context, &a, k, ids.data(), scores.data()), "top_k"); },
                   flops, isa, threads, seconds, r);
  tt_context_info info{};
  info.struct_size = sizeof info;
  check(tt_context_get_info(context, &info), "info");
  r.extra_mib = static_cast<double>(info.workspace_bytes) / (1 << 20);
  print(r);
  tt_context_destroy(context);
}

}  // namespace

void run_top_k(const Options& options) {
  const std::vector<int> threads = threads_of(options);
  const int most = *std::max_element(threads.begin(), threads.end());
  const std::vector<std::string> isas = isas_of(options);
  const Users users = options.quick ? Users(1000, 20000, 64) : Users(10000, 100000, 64);
  for (const std::string& isa : isas) {
    if (isa == "portable" && isas.size() > 1) continue;
    for (const int t : threads) run(options, users, isa, t, 100);
  }
  if (options.quick) return;
  for (const int32_t k : {10, 1000}) run(options, users, isas.front(), most, k);
  for (const int d : {32, 128, 256}) {
    run(options, Users(2000, 100000, d), isas.front(), most, 100);
  }
  run(options, Users(1, 1000000, 64), isas.front(), most, 100);
}

}  // namespace bench
