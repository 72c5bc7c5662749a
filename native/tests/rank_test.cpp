#include "retrieval_reference.h"

namespace tt_test {
namespace {

using Targets = std::vector<std::vector<int32_t>>;  // of each query

class RankTest : public OpTest {
 protected:
  static std::vector<int32_t> rank(const Context& context, const Retrieval& r,
                                   const Targets& targets) {
    const DeviceRetrieval device(context, r);
    std::vector<int64_t> offsets{0};
    std::vector<int32_t> all;
    for (const std::vector<int32_t>& list : targets) {
      all.insert(all.end(), list.begin(), list.end());
      offsets.push_back(static_cast<int64_t>(all.size()));
    }
    const Buffer<int64_t> device_offsets(context, offsets);
    const Buffer<int32_t> device_targets(context, all);
    const Buffer<int32_t> ranks(context, static_cast<int64_t>(all.size()));
    TT_EXPECT_OK(tt_rank(context, &device.args, device_offsets, device_targets, ranks));
    return ranks.read();
  }

  static std::vector<int32_t> reference(const Retrieval& r, const Targets& targets) {
    std::vector<int32_t> ranks;
    for (int64_t q = 0; q < r.n; ++q) {
      const std::vector<int32_t> ranking = r.ranking(q);
      for (const int32_t target : targets[static_cast<size_t>(q)]) {
        const auto found = std::find(ranking.begin(), ranking.end(), target);
        ranks.push_back(found == ranking.end() ? -1
                                               : static_cast<int32_t>(found - ranking.begin()) + 1);
      }
    }
    return ranks;
  }

  static Targets random_targets(Random& random, const Retrieval& r) {
    Targets targets;
    for (int64_t q = 0; q < r.n; ++q) {
      targets.push_back(random.integers(random.integer(0, 12), 0, r.m - 1));
    }
    return targets;
  }
};
TT_ON_ALL_TARGETS(RankTest);

// Scores 2, 6, 4, 6: item 1 is first, item 3 second (tie, higher id), item 2 third, item 0 fourth. Without
// item 1 the others move up and item 1 has no rank.
TEST_P(RankTest, ByHand) {
  Retrieval r;
  r.n = 1;
  r.m = 4;
  r.queries = {2};
  r.items = {1, 3, 2, 3};
  const Context context(target());
  EXPECT_EQ(rank(context, r, {{0, 1, 2, 3}}), (std::vector<int32_t>{4, 1, 3, 2}));
  r.excluded = {{1, 1}};
  EXPECT_EQ(rank(context, r, {{0, 1, 2, 3}}), (std::vector<int32_t>{3, -1, 2, 1}));
}

TEST_P(RankTest, WholeNumbersWithTies) {
  uint32_t salt = 0;
  for (const int64_t n : {1, 13, 200}) {
    for (const int64_t m : {1, 31, 32, 33, 500, 9001}) {
      Random random(++salt);
      SCOPED_TRACE(std::to_string(n) + " queries, " + std::to_string(m) + " items");
      const Retrieval r = Retrieval::whole_numbers(random, std::min<int64_t>(n, m > 1000 ? 20 : n),
                                                   m, 3, salt % 2 == 0);
      const Targets targets = random_targets(random, r);
      const Context context(target());
      EXPECT_EQ(rank(context, r, targets), reference(r, targets));
    }
  }
}

// Most evaluations have one target a query; m around the sizes of tiles, d such that rows are read by fours and not.
TEST_P(RankTest, OneTargetAtMost) {
  uint32_t salt = 100;
  for (const int32_t d : {3, 8, 16}) {
    for (const int64_t m : {1, 127, 128, 129, 500, 2600}) {
      Random random(++salt);
      SCOPED_TRACE(std::to_string(m) + " items, d = " + std::to_string(d));
      const Retrieval r =
          Retrieval::whole_numbers(random, m > 1000 ? 70 : 130, m, d, salt % 2 == 0);
      Targets targets;
      for (int64_t q = 0; q < r.n; ++q) {
        targets.push_back(random.integers(random.chance(0.2) ? 0 : 1, 0, r.m - 1));
      }
      const Context context(target());
      EXPECT_EQ(rank(context, r, targets), reference(r, targets));
      targets[65] = {0, static_cast<int32_t>(m - 1)};  // two in the second block
      EXPECT_EQ(rank(context, r, targets), reference(r, targets));
    }
  }
}

TEST_P(RankTest, OneTargetOfAnyScore) {
  const float inf = std::numeric_limits<float>::infinity(), least = 1e-45f;
  Retrieval r;
  for (int i = 0; i < 20; ++i) {
    for (const float x : {0.0f, -0.0f, inf, -inf, least, -least, 3e38f, -3e38f, 1.0f, NAN}) {
      r.items.push_back(x);
    }
  }
  r.n = r.m = static_cast<int64_t>(r.items.size());
  r.queries.assign(r.items.size(), 1.0f);
  const Context context(target());
  for (const bool with_nan : {false, true}) {
    Targets targets;
    for (int32_t q = 0; q < r.n; ++q) {
      targets.emplace_back();
      if (with_nan || !std::isnan(r.items[static_cast<size_t>(q)])) targets.back().push_back(q);
    }
    EXPECT_EQ(rank(context, r, targets), reference(r, targets)) << with_nan;
  }
}

TEST_P(RankTest, NanRanksLast) {
  Retrieval r;
  r.n = 1;
  r.m = 40;
  r.queries = {1};
  for (int i = 0; i < 40; ++i) r.items.push_back(i % 3 == 0 ? NAN : static_cast<float>(i % 7));
  std::vector<int32_t> all(40);
  std::iota(all.begin(), all.end(), 0);
  const Context context(target());
  EXPECT_EQ(rank(context, r, {all}), reference(r, {all}));
}

// In float32: the rank of what top_k puts at place i is i + 1, for both similarities and with exclusions.
TEST_P(RankTest, AgreesWithTopK) {
  for (const int32_t similarity : {TT_DOT, TT_COSINE}) {
    Random random(static_cast<uint32_t>(similarity));
    Retrieval r = Retrieval::normals(random, 70, 9000, 40, similarity);
    r.exclude(random);
    for (int64_t i = 100; i < 200; ++i) {  // duplicates
      std::copy_n(r.items.data(), r.d, r.items.data() + i * r.d);
    }
    const Context context(target());
    const int32_t k = 300;
    const DeviceRetrieval device(context, r);
    const Buffer<int32_t> ids(context, r.n * k);
    TT_OK_OR_FAIL(tt_top_k(context, &device.args, k, ids, nullptr));
    const std::vector<int32_t> found = ids.read();
    Targets targets;
    std::vector<int32_t> expected;
    for (int64_t q = 0; q < r.n; ++q) {
      targets.emplace_back(found.begin() + q * k, found.begin() + (q + 1) * k);
      for (int32_t i = 0; i < k; ++i) expected.push_back(i + 1);
    }
    EXPECT_EQ(rank(context, r, targets), expected);
  }
}

TEST_P(RankTest, SameForAnyThreads) {
  Random random;
  Retrieval r = Retrieval::normals(random, 100, 9000, 16, TT_COSINE);
  r.exclude(random);
  const Targets targets = random_targets(random, r);
  std::vector<int32_t> first;
  for (const int32_t threads : thread_counts()) {
    const Context context(target(), threads);
    const std::vector<int32_t> got = rank(context, r, targets);
    if (first.empty()) first = got;
    EXPECT_EQ(got, first) << threads;
  }
}

TEST_P(RankTest, BadArguments) {
  Random random;
  const Retrieval r = Retrieval::whole_numbers(random, 2, 20, 2, false);
  const Context context(target());
  const DeviceRetrieval device(context, r);
  const Buffer<int64_t> offsets(context, std::vector<int64_t>{0, 1, 2});
  const Buffer<int32_t> targets(context, std::vector<int32_t>{3, 4});
  const Buffer<int32_t> ranks(context, 2);
  EXPECT_BAD_ARGUMENT(tt_rank(nullptr, &device.args, offsets, targets, ranks), "context");
  EXPECT_BAD_ARGUMENT(tt_rank(context, nullptr, offsets, targets, ranks), "args");
  EXPECT_BAD_ARGUMENT(tt_rank(context, &device.args, nullptr, targets, ranks), "target_offsets");
  EXPECT_BAD_ARGUMENT(tt_rank(context, &device.args, offsets, nullptr, ranks), "targets");
  EXPECT_BAD_ARGUMENT(tt_rank(context, &device.args, offsets, targets, nullptr), "ranks");
  tt_retrieval_args changed = device.args;
  changed.d = 0;
  EXPECT_BAD_ARGUMENT(tt_rank(context, &changed, offsets, targets, ranks), "d");
  if (!on_cpu()) return;
  targets.get()[1] = 20;
  EXPECT_BAD_ARGUMENT(tt_rank(context, &device.args, offsets, targets, ranks), "targets[1]");
  targets.get()[1] = 4;
  offsets.get()[1] = 3;
  EXPECT_BAD_ARGUMENT(tt_rank(context, &device.args, offsets, targets, ranks), "target_offsets[2]");
  offsets.get()[1] = 1;
}

}  // namespace
}  // namespace tt_test
