#include <limits>

#include "retrieval_reference.h"

namespace tt_test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Found {
  std::vector<int32_t> ids;
  std::vector<float> scores;
};

class TopKTest : public OpTest {
 protected:
  static Found top_k(const Context& context, const Retrieval& r, int32_t k) {
    const DeviceRetrieval device(context, r);
    const Buffer<int32_t> ids(context, r.n * k);
    const Buffer<float> scores(context, r.n * k);
    TT_EXPECT_OK(tt_top_k(context, &device.args, k, ids, scores));
    const Buffer<int32_t> again(context, r.n * k);
    TT_EXPECT_OK(tt_top_k(context, &device.args, k, again, nullptr));
    EXPECT_EQ(again.read(), ids.read()) << "without scores";
    return {ids.read(), scores.read()};
  }

  void expect_exact(const Retrieval& r, int32_t k) {
    const Context context(target());
    const Found got = top_k(context, r, k);
    for (int64_t q = 0; q < r.n; ++q) {
      std::vector<int32_t> expected = r.ranking(q);
      expected.resize(static_cast<size_t>(k), -1);
      for (int32_t i = 0; i < k; ++i) {
        const auto at = static_cast<size_t>(q * k + i);
        const int32_t id = expected[static_cast<size_t>(i)];
        ASSERT_EQ(got.ids[at], id) << "query " << q << " place " << i;
        const double score = id < 0 ? -static_cast<double>(kInfinity) : r.score(q, id);
        ASSERT_EQ(static_cast<double>(got.scores[at]), score) << "query " << q << " place " << i;
      }
    }
  }
};
TT_ON_ALL_TARGETS(TopKTest);

// Items on a line at 1, 3, 2, 3; the query 2 gives 2, 6, 4, 6: items 1 and 3 tie, the lower id first.
TEST_P(TopKTest, ByHand) {
  Retrieval r;
  r.n = 1;
  r.m = 4;
  r.queries = {2};
  r.items = {1, 3, 2, 3};
  const Context context(target());
  Found got = top_k(context, r, 3);
  EXPECT_EQ(got.ids, (std::vector<int32_t>{1, 3, 2}));
  EXPECT_EQ(got.scores, (std::vector<float>{6, 6, 4}));
  r.excluded = {{1, 1}};
  got = top_k(context, r, 5);
  EXPECT_EQ(got.ids, (std::vector<int32_t>{3, 2, 0, -1, -1}));
  EXPECT_EQ(got.scores, (std::vector<float>{6, 4, 2, -kInfinity, -kInfinity}));
}

TEST_P(TopKTest, WholeNumbersWithTies) {
  uint32_t salt = 0;
  for (const int64_t n : {1, 2, 13, on_cpu() ? 200 : 70}) {
    for (const int64_t m : {0, 1, 31, 32, 33, 500, 9001}) {
      for (const int32_t k : {1, 7, 100}) {
        Random random(++salt);
        SCOPED_TRACE(std::to_string(n) + " queries, " + std::to_string(m) + " items, k " +
                     std::to_string(k));
        expect_exact(Retrieval::whole_numbers(random, std::min<int64_t>(n, m > 1000 ? 20 : n), m, 3,
                                              salt % 2 == 0),
                     k);
      }
    }
  }
}

TEST_P(TopKTest, LargestK) {
  Random random;
  expect_exact(Retrieval::whole_numbers(random, 3, 20000, 4, true), 4096);
}

TEST_P(TopKTest, AllItemsEqual) {
  Retrieval r;
  r.n = 2;
  r.m = 3000;
  r.queries = {1, -1};
  r.items.assign(3000, 2);
  expect_exact(r, 50);
}

// Rising scores replace all of the best k again and again, falling ones none; in waves selecting meets its
// least favourable orders.
TEST_P(TopKTest, RisingFallingAndWaves) {
  Retrieval r;
  r.n = 3;
  r.m = 20000;
  r.d = 2;
  r.queries = {1, 0, -1, 0, 0, 1};
  for (int64_t i = 0; i < r.m; ++i) {
    r.items.push_back(static_cast<float>(i));
    r.items.push_back(static_cast<float>(i % 300 < 150 ? i % 300 : 300 - i % 300));
  }
  for (const int32_t k : {1, 100, 1500}) expect_exact(r, k);
}

TEST_P(TopKTest, EverythingExcluded) {
  Random random;
  Retrieval r = Retrieval::whole_numbers(random, 2, 40, 2, false);
  std::vector<int32_t> all(40);
  std::iota(all.rbegin(), all.rend(), 0);
  r.excluded = {all, {}};
  expect_exact(r, 5);
}

// More queries than a GPU takes at once for this k, and far fewer items than k.
TEST_P(TopKTest, ManyQueriesOfTheLargestK) {
  Random random;
  const Retrieval r = Retrieval::whole_numbers(random, 4100, 20, 2, false);
  const Context context(target());
  const DeviceRetrieval device(context, r);
  const Buffer<int32_t> ids(context, r.n * 4096);
  TT_OK_OR_FAIL(tt_top_k(context, &device.args, 4096, ids, nullptr));
  const std::vector<int32_t> got = ids.read();
  for (int64_t q = 0; q < r.n; ++q) {
    std::vector<int32_t> expected = r.ranking(q);
    expected.resize(4096, -1);
    const auto first = got.begin() + q * 4096;
    ASSERT_TRUE(std::equal(expected.begin(), expected.end(), first)) << "query " << q;
  }
}

TEST_P(TopKTest, LongExclusions) {
  Random random;
  Retrieval r = Retrieval::whole_numbers(random, 3, 9000, 2, false);
  std::vector<int32_t> most =
      random.integers(20000, 0, r.m - 1);  // about nine tenths, with repeats
  r.excluded = {most, {5}, std::vector<int32_t>(most.begin(), most.begin() + 4097)};
  expect_exact(r, 2000);
}

TEST_P(TopKTest, NanRanksLastAndInfinityFirst) {
  Retrieval r;
  r.n = 1;
  r.m = 6;
  r.queries = {1};
  r.items = {NAN, -kInfinity, 1, kInfinity, NAN, -1};
  const Context context(target());
  const Found got = top_k(context, r, 7);
  EXPECT_EQ(got.ids, (std::vector<int32_t>{3, 2, 5, 1, 0, 4, -1}));
  EXPECT_EQ(got.scores[0], kInfinity);
  EXPECT_EQ(got.scores[3], -kInfinity);
  EXPECT_TRUE(std::isnan(got.scores[4]) && std::isnan(got.scores[5]));
  EXPECT_EQ(got.scores[6], -kInfinity);
}

// Many NaN before and after there are k others.
TEST_P(TopKTest, MostlyNan) {
  Random random;
  Retrieval r = Retrieval::whole_numbers(random, 3, 4000, 2, false);
  for (int64_t i = 0; i < r.m; ++i) {
    if (random.chance(0.9)) r.items[static_cast<size_t>(2 * i)] = NAN;
  }
  const Context context(target());
  for (const int32_t k : {10, 1000}) {
    const Found got = top_k(context, r, k);
    for (int64_t q = 0; q < r.n; ++q) {
      std::vector<int32_t> expected = r.ranking(q);
      expected.resize(static_cast<size_t>(k));
      EXPECT_EQ(std::vector<int32_t>(got.ids.begin() + q * k, got.ids.begin() + (q + 1) * k),
                expected);
    }
  }
}

TEST_P(TopKTest, ScoresAreAccurate) {
  uint32_t salt = 0;
  for (const int32_t similarity : {TT_DOT, TT_COSINE}) {
    for (const int32_t d : {1, 17, 64, 300}) {
      Random random(++salt);
      Retrieval r = Retrieval::normals(random, 40, 700, d, similarity);
      for (int32_t c = 0; c < d; ++c) {
        r.items[static_cast<size_t>(5 * d + c)] = 0;  // a zero row has cosine 0
        r.items[static_cast<size_t>(6 * d + c)] *= 1e-15f;
        r.queries[static_cast<size_t>(3 * d + c)] *= 1e10f;
      }
      const Context context(target());
      const int32_t k = 700;
      const Found got = top_k(context, r, k);
      for (int64_t q = 0; q < r.n; ++q) {
        double size = 0;  // of the terms of a score
        for (int32_t c = 0; c < d; ++c) {
          size = std::max(size,
                          std::abs(static_cast<double>(r.queries[static_cast<size_t>(q * d + c)])));
        }
        const double tolerance = (similarity == TT_DOT ? size * d : 1.0) * 1e-6;
        double last = static_cast<double>(kInfinity);
        for (int32_t i = 0; i < k; ++i) {
          const auto at = static_cast<size_t>(q * k + i);
          const auto score = static_cast<double>(got.scores[at]);
          ASSERT_NEAR(score, r.score(q, got.ids[at]), tolerance) << "query " << q << " d " << d;
          ASSERT_LE(score, last);
          last = score;
        }
      }
    }
  }
}

// Equal vectors have equal scores wherever they stand among the items, in float32 too.
TEST_P(TopKTest, DuplicatesTie) {
  Random random;
  Retrieval r = Retrieval::normals(random, 30, 10000, 33, TT_COSINE);
  std::vector<int32_t> copies;
  for (int32_t i = 13; i < r.m; i += 377) copies.push_back(i);
  for (int64_t q = 0; q < r.n; ++q) {
    for (const int32_t i : copies) {  // the same as the first query: its best items
      std::copy_n(r.queries.data(), r.d, r.items.data() + int64_t{i} * r.d);
    }
  }
  const Context context(target());
  const auto k = static_cast<int32_t>(copies.size());
  const Found got = top_k(context, r, k);
  EXPECT_EQ(std::vector<int32_t>(got.ids.begin(), got.ids.begin() + k), copies);
  EXPECT_EQ(got.scores[0], got.scores[static_cast<size_t>(k - 1)]);
}

TEST_P(TopKTest, SameBitsForAnyThreadsAndAnyBatch) {
  Random random;
  Retrieval r = Retrieval::normals(random, 300, 9000, 24, TT_COSINE);
  r.exclude(random);
  Found first;
  for (const int32_t threads : thread_counts()) {
    const Context context(target(), threads);
    const Found got = top_k(context, r, 20);
    if (first.ids.empty()) first = got;
    EXPECT_EQ(got.ids, first.ids) << threads;
    EXPECT_EQ(bits(got.scores), bits(first.scores)) << threads;
    // One query alone.
    Retrieval one = r;
    one.n = 1;
    one.queries.assign(r.queries.begin() + 77 * r.d, r.queries.begin() + 78 * r.d);
    one.excluded = {r.excluded[77]};
    const Found alone = top_k(context, one, 20);
    EXPECT_EQ(alone.ids,
              std::vector<int32_t>(first.ids.begin() + 77 * 20, first.ids.begin() + 78 * 20));
    EXPECT_EQ(bits(alone.scores), bits(std::vector<float>(first.scores.begin() + 77 * 20,
                                                          first.scores.begin() + 78 * 20)));
  }
}

TEST_P(TopKTest, BadArguments) {
  Random random;
  const Retrieval r = Retrieval::whole_numbers(random, 3, 20, 2, true);
  const Context context(target());
  const DeviceRetrieval device(context, r);
  const Buffer<int32_t> ids(context, 6);
  EXPECT_BAD_ARGUMENT(tt_top_k(nullptr, &device.args, 2, ids, nullptr), "context");
  EXPECT_BAD_ARGUMENT(tt_top_k(context, nullptr, 2, ids, nullptr), "args");
  EXPECT_BAD_ARGUMENT(tt_top_k(context, &device.args, 0, ids, nullptr), "k");
  EXPECT_BAD_ARGUMENT(tt_top_k(context, &device.args, 4097, ids, nullptr), "k");
  EXPECT_BAD_ARGUMENT(tt_top_k(context, &device.args, 2, nullptr, nullptr), "ids");
  const auto with = [&](auto change, const char* name) {
    tt_retrieval_args changed = device.args;
    change(changed);
    EXPECT_BAD_ARGUMENT(tt_top_k(context, &changed, 2, ids, nullptr), name);
  };
  using A = tt_retrieval_args;
  with([](A& a) { a.struct_size = 0; }, "struct_size");
  with([](A& a) { a.d = 0; }, "d");
  with([](A& a) { a.n = -1; }, "n");
  with([](A& a) { a.m = -1; }, "m");
  with([](A& a) { a.m = int64_t{1} << 31; }, "m");
  with([](A& a) { a.queries = nullptr; }, "queries");
  with([](A& a) { a.items = nullptr; }, "items");
  with([](A& a) { a.similarity = 2; }, "similarity");
}

TEST_P(TopKTest, BadExclusions) {
  if (!on_cpu()) GTEST_SKIP() << "contents of device memory are not looked at";
  Random random;
  Retrieval r = Retrieval::whole_numbers(random, 3, 20, 2, false);
  r.excluded = {{1, 2}, {3}, {4}};
  const Context context(target());
  const DeviceRetrieval device(context, r);
  const Buffer<int32_t> ids(context, 6);
  const auto call = [&] { return tt_top_k(context, &device.args, 2, ids, nullptr); };
  auto* items = const_cast<int32_t*>(device.args.exclude_items);
  items[2] = 20;
  EXPECT_BAD_ARGUMENT(call(), "exclude_items[2]");
  items[2] = -1;
  EXPECT_BAD_ARGUMENT(call(), "exclude_items[2]");
  items[2] = 3;
  auto* offsets = const_cast<int64_t*>(device.args.exclude_offsets);
  offsets[2] = 1;
  EXPECT_BAD_ARGUMENT(call(), "exclude_offsets[2]");
  offsets[2] = 3;
  offsets[0] = 1;
  EXPECT_BAD_ARGUMENT(call(), "exclude_offsets[0]");
  offsets[0] = 0;
  TT_EXPECT_OK(call());
}

}  // namespace
}  // namespace tt_test
