#include <map>

#include "gather_fixture.h"

namespace tt_test {
namespace {

using Pairs = std::map<std::pair<int32_t, int32_t>, int64_t>;

Pairs reference_pairs(const HostTable& table, int32_t a, int32_t b, int64_t begin, int64_t end) {
  const auto values = [&](int32_t f, int64_t row) {
    std::vector<int32_t> v = table.features[static_cast<size_t>(f)].of(row);
    if (v.empty()) v.push_back(0);
    std::sort(v.begin(), v.end());
    v.erase(std::unique(v.begin(), v.end()), v.end());
    return v;
  };
  Pairs pairs;
  for (int64_t row = begin; row < end; ++row) {
    for (const int32_t x : values(a, row)) {
      for (const int32_t y : values(b, row)) ++pairs[{x, y}];
    }
  }
  return pairs;
}

class PairCountsTest : public OpTest {
 protected:
  static Pairs count(const Context& context, const HostTable& host, int32_t a, int32_t b,
                     int64_t begin, int64_t end) {
    const DeviceTable table(context, host);
    int64_t pair_count = -1;
    TT_EXPECT_OK(tt_pair_counts(context, table, a, b, begin, end, 0, nullptr, nullptr, nullptr,
                                &pair_count));
    const Buffer<int32_t> values_a(context, pair_count), values_b(context, pair_count);
    const Buffer<int64_t> counts(context, pair_count);
    int64_t again = -1;
    TT_EXPECT_OK(tt_pair_counts(context, table, a, b, begin, end, pair_count, values_a, values_b,
                                counts, &again));
    EXPECT_EQ(again, pair_count);
    const std::vector<int32_t> x = values_a.read(), y = values_b.read();
    const std::vector<int64_t> n = counts.read();
    Pairs pairs;
    for (size_t i = 0; i < x.size(); ++i) {
      if (i > 0) {
        EXPECT_LT(std::make_pair(x[i - 1], y[i - 1]), std::make_pair(x[i], y[i])) << "order";
      }
      pairs[{x[i], y[i]}] = n[i];
    }
    return pairs;
  }
};
TT_ON_ALL_TARGETS(PairCountsTest);

// Genders (1, 2, 2), keywords {1, 2}, {2, 2}, {}: pairs (1,1), (1,2), (2,2) - once, though named twice -
// and (2,0) for the row without keywords.
TEST_P(PairCountsTest, ByHand) {
  HostTable table;
  table.rows = 3;
  table.features.resize(2);
  table.features[0].values = {1, 2, 2};
  table.features[0].vocabulary = 3;
  table.features[1].offsets = {0, 2, 4, 4};
  table.features[1].values = {1, 2, 2, 2};
  table.features[1].vocabulary = 3;
  const Context context(target());
  EXPECT_EQ(count(context, table, 0, 1, 0, 3),
            (Pairs{{{1, 1}, 1}, {{1, 2}, 1}, {{2, 0}, 1}, {{2, 2}, 1}}));
  EXPECT_EQ(count(context, table, 1, 0, 1, 2), (Pairs{{{2, 2}, 1}}));
  EXPECT_EQ(count(context, table, 0, 0, 0, 3), (Pairs{{{1, 1}, 1}, {{2, 2}, 2}}));
  EXPECT_TRUE(count(context, table, 0, 1, 2, 2).empty());
}

TEST_P(PairCountsTest, RandomTables) {
  uint32_t salt = 0;
  for (const int32_t vocabulary : {2, 40, 100000}) {  // counted in a table, and sorted
    for (const int64_t rows : {1, 100, on_cpu() ? 50000 : 6000}) {
      Random random(++salt);
      HostTable table;
      table.rows = rows;
      table.features = {random_feature(random, rows, true, vocabulary, 0, 4),
                        random_feature(random, rows, false, vocabulary, 0),
                        random_feature(random, rows, true, vocabulary, 0, 3)};
      const int64_t begin = random.integer(0, rows - 1);
      const int64_t end = random.integer(begin, rows);
      for (const int32_t threads : thread_counts()) {
        const Context context(target(), threads);
        EXPECT_EQ(count(context, table, 0, 2, 0, rows), reference_pairs(table, 0, 2, 0, rows));
        EXPECT_EQ(count(context, table, 1, 0, begin, end),
                  reference_pairs(table, 1, 0, begin, end));
      }
    }
  }
}

TEST_P(PairCountsTest, BadArguments) {
  Random random;
  HostTable host;
  host.rows = 10;
  add_lists(random, host, 10, 3);
  host.features = {random_feature(random, 10, false, 5, 0), random_feature(random, 10, false, 5, 0),
                   random_feature(random, 10, false, 5, 0)};
  host.features[2].through_list = 1;
  const Context context(target());
  const DeviceTable table(context, host);
  int64_t pairs = 0;
  const Buffer<int32_t> a(context, 25), b(context, 25);
  const Buffer<int64_t> counts(context, 25);
  const auto call = [&](int32_t fa, int32_t fb, int64_t begin, int64_t end) {
    return tt_pair_counts(context, table, fa, fb, begin, end, 25, a, b, counts, &pairs);
  };
  TT_OK_OR_FAIL(call(0, 1, 0, 10));
  EXPECT_BAD_ARGUMENT(tt_pair_counts(nullptr, table, 0, 1, 0, 10, 25, a, b, counts, &pairs),
                      "context");
  EXPECT_BAD_ARGUMENT(tt_pair_counts(context, nullptr, 0, 1, 0, 10, 25, a, b, counts, &pairs),
                      "table");
  EXPECT_BAD_ARGUMENT(call(3, 1, 0, 10), "feature_a");
  EXPECT_BAD_ARGUMENT(call(0, -1, 0, 10), "feature_b");
  EXPECT_BAD_ARGUMENT(call(0, 1, -1, 10), "row_begin");
  EXPECT_BAD_ARGUMENT(call(0, 1, 5, 4), "row_end");
  EXPECT_BAD_ARGUMENT(call(0, 1, 5, 11), "row_end");
  EXPECT_BAD_ARGUMENT(tt_pair_counts(context, table, 0, 1, 0, 10, 25, a, nullptr, counts, &pairs),
                      "values_b");
  EXPECT_BAD_ARGUMENT(tt_pair_counts(context, table, 0, 1, 0, 10, 25, a, b, nullptr, &pairs),
                      "counts");
  EXPECT_BAD_ARGUMENT(tt_pair_counts(context, table, 0, 1, 0, 10, 25, a, b, counts, nullptr),
                      "pair_count");
  EXPECT_BAD_ARGUMENT(tt_pair_counts(context, table, 0, 1, 0, 10, -1, a, b, counts, &pairs),
                      "capacity");
  EXPECT_BAD_ARGUMENT(tt_pair_counts(context, table, 0, 1, 0, 10, 1, a, b, counts, &pairs),
                      "capacity");
  EXPECT_EQ(call(2, 0, 0, 10), TT_UNSUPPORTED);
}

}  // namespace
}  // namespace tt_test
