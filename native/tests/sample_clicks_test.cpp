// tt_sample_clicks against the header's text, and whether its orders are as good as random ones.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "click_order.h"
#include "gather_reference.h"

namespace tt_test {
namespace {

// As twintail.h tells it, in other steps than the library's.
class ReferenceOrder {
 public:
  ReferenceOrder(uint64_t seed, uint32_t purpose, int64_t epoch, uint64_t count) : count_(count) {
    while (bits_ < 63 && (count - 1) >= uint64_t{1} << bits_) ++bits_;
    const Draw draw{seed, purpose, epoch};
    for (uint32_t r = 0; r < 12; ++r) keys_.push_back(draw(r / 4, 0, 0, 0, TT_DRAW_ORDER)[r % 4]);
  }

  uint64_t operator()(uint64_t x) const {
    do x = shuffle(x);
    while (x >= count_);
    return x;
  }

 private:
  static uint64_t mix(uint64_t h) {
    constexpr uint64_t kWord = 0xFFFFFFFF;
    h ^= h >> 16;
    h = h * 0x85EBCA6B & kWord;
    h ^= h >> 13;
    h = h * 0xC2B2AE35 & kWord;
    return h ^ h >> 16;
  }

  uint64_t shuffle(uint64_t x) const {
    const uint64_t lows = uint64_t{1} << bits_ / 2, highs = uint64_t{1} << (bits_ - bits_ / 2);
    for (size_t r = 0; r < keys_.size(); ++r) {
      const uint64_t low = x % lows, high = x / lows;
      const uint64_t other = r % 2 == 0 ? high : low;
      const uint64_t change = mix((other + keys_[r]) % (uint64_t{1} << 32));
      x = r % 2 == 0 ? high * lows + (low ^ change % lows) : (high ^ change % highs) * lows + low;
    }
    return x;
  }

  uint64_t count_;
  int bits_ = 6;
  std::vector<uint32_t> keys_;
};

class SampleClicksTest : public OpTest {};
TT_ON_ALL_TARGETS(SampleClicksTest);

TEST_P(SampleClicksTest, FollowsTheHeader) {
  Random random;
  const auto seed = static_cast<uint64_t>(random.integer(INT64_MIN, INT64_MAX));
  constexpr int64_t kEpoch = (int64_t{5} << 32) + 3;
  for (const int64_t count : {1, 2, 63, 64, 65, 1000, 5003}) {
    const std::vector<int32_t> users = random.integers(count, 0, INT32_MAX);
    const std::vector<int32_t> items = random.integers(count, 0, INT32_MAX);
    const ReferenceOrder order(seed, 2, kEpoch, static_cast<uint64_t>(count));
    for (const int32_t threads : thread_counts()) {
      const Context context(target(), threads);
      const Buffer<int32_t> all_users(context, users), all_items(context, items);
      // The whole epoch, its end, and a part that begins in the middle of everything.
      for (const auto& [start, n] : {std::pair<int64_t, int64_t>{0, count},
                                     {count - 1, 1},
                                     {count / 3, count - count / 3 - count / 5}}) {
        const Buffer<int32_t> out_users(context, n), out_items(context, n);
        TT_OK_OR_FAIL(tt_sample_clicks(context, seed, 2, kEpoch, all_users, all_items, count, start,
                                       n, out_users, out_items));
        const std::vector<int32_t> got_users = out_users.read(), got_items = out_items.read();
        for (int64_t i = 0; i < n; ++i) {
          const auto at = static_cast<size_t>(order(static_cast<uint64_t>(start + i)));
          ASSERT_EQ(got_users[static_cast<size_t>(i)], users[at]) << count << ": " << start + i;
          ASSERT_EQ(got_items[static_cast<size_t>(i)], items[at]) << count << ": " << start + i;
        }
      }
    }
  }
}

TEST_P(SampleClicksTest, BadArguments) {
  const Context context(target());
  const Buffer<int32_t> all(context, std::vector<int32_t>{1, 2, 3, 4});
  const Buffer<int32_t> users(context, 4), items(context, 4);
  const auto sample = [&](int64_t epoch, int64_t count, int64_t start, int64_t n) {
    return tt_sample_clicks(context, 1, 2, epoch, all, all, count, start, n, users, items);
  };
  EXPECT_BAD_ARGUMENT(tt_sample_clicks(nullptr, 1, 2, 0, all, all, 4, 0, 4, users, items),
                      "context");
  EXPECT_BAD_ARGUMENT(sample(-1, 4, 0, 4), "epoch");
  EXPECT_BAD_ARGUMENT(sample(int64_t{1} << 48, 4, 0, 4), "epoch");
  EXPECT_BAD_ARGUMENT(sample(0, 0, 0, 0), "count");
  EXPECT_BAD_ARGUMENT(sample(0, (int64_t{1} << 60) + 1, 0, 1), "count");
  EXPECT_BAD_ARGUMENT(sample(0, 4, -1, 1), "start");
  EXPECT_BAD_ARGUMENT(sample(0, 4, 5, 0), "start");
  EXPECT_BAD_ARGUMENT(sample(0, 4, 2, 3), "n");
  EXPECT_BAD_ARGUMENT(sample(0, 4, 2, -1), "n");
  EXPECT_BAD_ARGUMENT(tt_sample_clicks(context, 1, 2, 0, nullptr, all, 4, 0, 4, users, items),
                      "users");
  EXPECT_BAD_ARGUMENT(tt_sample_clicks(context, 1, 2, 0, all, nullptr, 4, 0, 4, users, items),
                      "items");
  EXPECT_BAD_ARGUMENT(tt_sample_clicks(context, 1, 2, 0, all, all, 4, 0, 4, nullptr, items),
                      "out_users");
  EXPECT_BAD_ARGUMENT(tt_sample_clicks(context, 1, 2, 0, all, all, 4, 0, 4, users, nullptr),
                      "out_items");
  TT_EXPECT_OK(tt_sample_clicks(context, 1, 2, 0, nullptr, nullptr, 4, 4, 0, nullptr, nullptr));
}

TEST(ClickOrder, IsAPermutation) {
  for (const int64_t count : {1, 2, 3, 63, 64, 65, 127, 129, 4097, 100000}) {
    const tt::ClickOrder order = tt::click_order(fresh_seed(), 2, count, count);
    std::vector<bool> seen(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) {
      const uint64_t click = order.at(static_cast<uint64_t>(i));
      ASSERT_LT(click, static_cast<uint64_t>(count));
      ASSERT_FALSE(seen[static_cast<size_t>(click)]) << click << " twice of " << count;
      seen[static_cast<size_t>(click)] = true;
    }
  }
}

TEST(ClickOrder, OfManyClicks) {
  Random random;
  for (const int bits : {31, 40, 61, 62}) {
    const int64_t count = (int64_t{1} << bits) - (bits < 62 ? random.integer(0, 999) : 0);
    const auto seed = static_cast<uint64_t>(random.integer(0, INT64_MAX));
    const tt::ClickOrder order = tt::click_order(seed, 2, 9, count);
    const ReferenceOrder reference(seed, 2, 9, static_cast<uint64_t>(count));
    for (uint64_t i = 0; i < 1000; ++i) {
      ASSERT_EQ(order.at(i), reference(i));
      const uint64_t last = static_cast<uint64_t>(count) - 1 - i;
      ASSERT_EQ(order.at(last), reference(last));
    }
  }
}

// How far counts are from equal ones: a standard normal number where they come from equal probabilities, by Wilson and
// Hilferty's cube root (PNAS 1931), which holds far out and for few cells, too.
double deviation(const std::vector<int64_t>& counts) {
  const double total =
      static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  const double each = total / static_cast<double>(counts.size());
  double chi_square = 0;
  for (const int64_t count : counts) {
    const double off = static_cast<double>(count) - each;
    chi_square += off * off / each;
  }
  const double freedom = static_cast<double>(counts.size()) - 1;
  const double variance = 2 / (9 * freedom);
  return (std::cbrt(chi_square / freedom) - (1 - variance)) / std::sqrt(variance);
}

constexpr double kTooFar = 6;  // probability 1e-9

TEST(ClickOrder, ShortOrdersAreAllAsFrequent) {
  for (const int count : {3, 4, 5, 6}) {
    int64_t orders = 1;
    for (int i = 2; i <= count; ++i) orders *= i;
    std::map<std::vector<uint64_t>, int64_t> seen;
    for (int64_t epoch = 0; epoch < 300 * orders; ++epoch) {
      const tt::ClickOrder order = tt::click_order(fresh_seed(), 2, epoch, count);
      std::vector<uint64_t> clicks;
      for (int i = 0; i < count; ++i) clicks.push_back(order.at(static_cast<uint64_t>(i)));
      ++seen[clicks];
    }
    std::vector<int64_t> counts(static_cast<size_t>(orders));
    size_t next = 0;
    for (const auto& entry : seen) counts[next++] = entry.second;
    EXPECT_LT(deviation(counts), kTooFar) << count << " clicks";
  }
}

TEST(ClickOrder, PlacesAndNeighboursAreAllAsFrequent) {
  for (const uint64_t count : {20, 64, 100}) {
    std::vector<int64_t> places(count * count), neighbours(count * count), halves(count * count);
    std::vector<uint64_t> clicks(count);
    for (int64_t epoch = 0; epoch < 10000; ++epoch) {
      const tt::ClickOrder order =
          tt::click_order(fresh_seed(), 2, epoch, static_cast<int64_t>(count));
      for (uint64_t i = 0; i < count; ++i) clicks[i] = order.at(i);
      for (uint64_t i = 0; i < count; ++i) {
        ++places[i * count + clicks[i]];
        if (i > 0) ++neighbours[clicks[i - 1] * count + clicks[i]];
        if (i >= count / 2) ++halves[clicks[i - count / 2] * count + clicks[i]];
      }
    }
    EXPECT_LT(deviation(places), kTooFar) << count << " clicks";
    for (std::vector<int64_t>* pairs : {&neighbours, &halves}) {
      std::vector<int64_t> different;  // a click is not beside itself
      for (uint64_t i = 0; i < count * count; ++i) {
        if (i / count != i % count) different.push_back((*pairs)[i]);
      }
      EXPECT_LT(deviation(different), kTooFar) << count << " clicks";
    }
  }
}

// Clicks of a user lie together in the data: of 64 in a row, as many should share a batch as in random orders.
TEST(ClickOrder, ClicksTogetherAreDealtToAllBatches) {
  constexpr int64_t kCount = 100000, kBatch = 1000, kRun = 64;
  const tt::ClickOrder order = tt::click_order(fresh_seed(), 2, 1, kCount);
  std::vector<int64_t> batch_of(kCount);
  for (int64_t i = 0; i < kCount; ++i) {
    batch_of[order.at(static_cast<uint64_t>(i))] = i / kBatch;
  }
  int64_t together = 0;
  for (int64_t first = 0; first + kRun <= kCount; first += kRun) {
    for (int64_t a = first; a < first + kRun; ++a) {
      for (int64_t b = a + 1; b < first + kRun; ++b) {
        if (batch_of[static_cast<size_t>(a)] == batch_of[static_cast<size_t>(b)]) ++together;
      }
    }
  }
  const double pairs = static_cast<double>(kCount / kRun) * kRun * (kRun - 1) / 2;
  const double chance = static_cast<double>(kBatch - 1) / (kCount - 1);
  const double sigma = std::sqrt(pairs * chance * (1 - chance));  // pairs are all but independent
  EXPECT_NEAR(static_cast<double>(together), pairs * chance, 6 * sigma);
}

}  // namespace
}  // namespace tt_test
