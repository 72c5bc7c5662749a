// Full rankings, plainly: every score, then a stable sort.
#ifndef TWINTAIL_TESTS_RETRIEVAL_REFERENCE_H
#define TWINTAIL_TESTS_RETRIEVAL_REFERENCE_H

#include <memory>
#include <numeric>
#include <set>

#include "harness.h"

namespace tt_test {

struct Retrieval {
  int64_t n = 0, m = 0;
  int32_t d = 1;
  std::vector<float> queries, items;
  std::vector<std::vector<int32_t>> excluded;  // of each query; empty: none at all
  int32_t similarity = TT_DOT;

  /// Whole numbers: their dot products are exact in float32, so that rankings can be compared one to one
  /// and ties are many.
  static Retrieval whole_numbers(Random& random, int64_t n, int64_t m, int32_t d, bool exclude) {
    Retrieval r;
    r.n = n;
    r.m = m;
    r.d = d;
    for (int64_t i = 0; i < n * d; ++i)
      r.queries.push_back(static_cast<float>(random.integer(-3, 3)));
    for (int64_t i = 0; i < m * d; ++i)
      r.items.push_back(static_cast<float>(random.integer(-3, 3)));
    if (exclude) r.exclude(random);
    return r;
  }
  static Retrieval normals(Random& random, int64_t n, int64_t m, int32_t d, int32_t similarity) {
    Retrieval r;
    r.n = n;
    r.m = m;
    r.d = d;
    r.queries = random.normals(n * d);
    r.items = random.normals(m * d);
    r.similarity = similarity;
    return r;
  }
  void exclude(Random& random) {
    for (int64_t q = 0; q < n; ++q) {
      const int64_t count =
          m == 0 || random.chance(0.2) ? 0 : random.integer(1, std::min<int64_t>(m, 60));
      excluded.push_back(random.integers(count, 0, m - 1));  // with repeats, in any order
    }
  }

  double score(int64_t q, int64_t item) const {
    double dot = 0, qq = 0, xx = 0;
    for (int32_t c = 0; c < d; ++c) {
      const auto x = static_cast<double>(queries[static_cast<size_t>(q * d + c)]);
      const auto y = static_cast<double>(items[static_cast<size_t>(item * d + c)]);
      dot += x * y;
      qq += x * x;
      xx += y * y;
    }
    if (similarity == TT_DOT) return dot;
    return std::sqrt(qq) < 1e-12 || std::sqrt(xx) < 1e-12 ? 0 : dot / std::sqrt(qq) / std::sqrt(xx);
  }

  /// All items that are not excluded, best first, equal scores by id, NaN last.
  std::vector<int32_t> ranking(int64_t q) const {
    std::vector<double> scores;
    for (int64_t item = 0; item < m; ++item) scores.push_back(score(q, item));
    std::vector<int32_t> ids;
    std::set<int32_t> gone;
    if (!excluded.empty()) {
      const std::vector<int32_t>& list = excluded[static_cast<size_t>(q)];
      gone.insert(list.begin(), list.end());
    }
    for (int32_t item = 0; item < m; ++item) {
      if (gone.count(item) == 0) ids.push_back(item);
    }
    std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
      const double x = scores[static_cast<size_t>(a)], y = scores[static_cast<size_t>(b)];
      if (std::isnan(x) || std::isnan(y)) return !std::isnan(x) && std::isnan(y);
      return x > y;
    });
    return ids;
  }
};

/// The arguments on a device.
class DeviceRetrieval {
 public:
  DeviceRetrieval(const Context& context, const Retrieval& r)
      : queries_(context, r.queries), items_(context, r.items) {
    args.struct_size = sizeof args;
    args.d = r.d;
    args.n = r.n;
    args.m = r.m;
    args.queries = queries_;
    args.items = items_;
    args.similarity = r.similarity;
    if (r.excluded.empty()) return;
    std::vector<int64_t> offsets{0};
    std::vector<int32_t> all;
    for (const std::vector<int32_t>& list : r.excluded) {
      all.insert(all.end(), list.begin(), list.end());
      offsets.push_back(static_cast<int64_t>(all.size()));
    }
    exclude_offsets_ = std::make_unique<Buffer<int64_t>>(context, offsets);
    exclude_items_ = std::make_unique<Buffer<int32_t>>(context, all);
    args.exclude_offsets = *exclude_offsets_;
    args.exclude_items = *exclude_items_;
  }

  tt_retrieval_args args{};

 private:
  Buffer<float> queries_, items_;
  std::unique_ptr<Buffer<int64_t>> exclude_offsets_;
  std::unique_ptr<Buffer<int32_t>> exclude_items_;
};

}  // namespace tt_test
#endif
