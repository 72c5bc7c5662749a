// What updates are put in order with - look-back, prefix sums, radix sort, runs - against the standard library, under
// every schedule. Blocks run one after another here, so that a tile mostly finds its predecessor finished: what
// it does when others are still at work is tried with words that are laid out for it.
#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "gather/look_back.h"
#include "gather/radix_sort.h"
#include "gather/runs.h"
#include "gather/scan.h"
#include "simt_test.h"

namespace tt::cuda {
namespace {

using simt_test::DeviceArray;

constexpr int64_t kSizes[] = {0, 1, 2, 31, 2047, 2048, 2049, 4096, 6145, 20011};

size_t place(int64_t i) {
  return static_cast<size_t>(i);
}

class HostSort : public simt_test::SeededTest {
 protected:
  void SetUp() override {
    SeededTest::SetUp();
    random.seed(static_cast<unsigned>(GetParam()) + 17);
  }
  static tt_context_options options() {
    tt_context_options o{};
    o.struct_size = sizeof o;
    o.device = TT_DEVICE_CUDA;
    return o;
  }
  int64_t below(int64_t bound) {
    return std::uniform_int_distribution<int64_t>(0, bound - 1)(random);
  }
  std::vector<uint32_t> keys(int64_t count, int64_t bound) {
    std::vector<uint32_t> all(place(count));
    for (uint32_t& key : all) key = static_cast<uint32_t>(below(bound));
    return all;
  }

  std::mt19937 random;
};
INSTANTIATE_TEST_SUITE_P(Seeds, HostSort, testing::ValuesIn(simt_test::kSeeds));

/// A number that the host knows, or one that lies on the device, below a bound.
struct Number {
  Number(int64_t count, bool on_device)
      : device(std::vector<int64_t>{count}),
        extent(on_device ? Extent::on_device(device.get(), 3 * count + 5) : Extent(count)) {}
  DeviceArray<int64_t> device;
  Extent extent;
};

struct Sums {
  TileWord by_thread, by_warp;
};

// Thread 0 looks at every second word, warp 1 at those that lie behind each other.
__global__ void look_back_kernel(const TileWord* spread, const TileWord* words, int64_t tile,
                                 Sums* sums) {
  if (threadIdx.x == 0) sums->by_thread = sum_before(spread, tile, 2);
  if (threadIdx.x < 32) return;
  const TileWord sum = warp_sum_before(words, tile);
  if (threadIdx.x == 63) sums->by_warp = sum;
}

TEST_P(HostSort, LooksBackOverAnyMixtureOfTiles) {
  for (const int64_t tile : {0, 1, 2, 3, 4, 5, 31, 32, 33, 34, 64, 65, 100}) {
    for (const int known : {0, 10, 50, 100}) {  // % of the tiles that know the sum up to themselves
      std::vector<TileWord> words(place(tile) + 1), spread(2 * place(tile) + 2);
      TileWord sum = 0;
      for (int64_t t = 0; t < tile; ++t) {
        const auto own = static_cast<TileWord>(below(int64_t{1} << (t % 5 == 0 ? 40 : 5)));
        sum += own;
        const bool up_to = t == 0 || below(100) < known;
        words[place(t)] = up_to ? kSumUpTo | sum : kTileSum | own;
        spread[2 * place(t)] = words[place(t)];
        spread[2 * place(t) + 1] = kSumUpTo | 12345;
      }
      const DeviceArray<TileWord> device_words(words), device_spread(spread);
      const DeviceArray<Sums> sums(1);
      ASSERT_EQ(TT_LAUNCH(look_back_kernel, dim3(1), dim3(64), 0, nullptr, device_spread.get(),
                          device_words.get(), tile, sums.get()),
                cudaSuccess);
      EXPECT_EQ(sums.values()[0].by_thread, sum) << tile << " tiles, " << known << " %";
      EXPECT_EQ(sums.values()[0].by_warp, sum) << tile << " tiles, " << known << " %";
    }
  }
}

struct Told {
  int32_t tile;
  TileWord state, sum;
};

// Threads 0 and 32 to 63 wait for what thread 64 tells, one thing after the other.
__global__ void waiting_kernel(TileWord* words, int64_t tile, const Told* told, int count,
                               Sums* sums) {
  if (threadIdx.x == 0) sums->by_thread = sum_before(words, tile, 1);
  if (threadIdx.x / 32 == 1) {
    const TileWord sum = warp_sum_before(words, tile);
    if (threadIdx.x == 32) sums->by_warp = sum;
  }
  if (threadIdx.x != 64) return;
  for (int i = 0; i < count; ++i) {
    tell(words + told[i].tile, told[i].state, told[i].sum);
    __nanosleep(100);
  }
}

TEST_P(HostSort, WaitsForTilesThatTellLate) {
  constexpr int kTiles = 70;
  std::vector<Told> own, up_to;
  TileWord sum = 0;
  for (int32_t t = 0; t < kTiles; ++t) {
    const auto count = static_cast<TileWord>(below(1000));
    sum += count;
    own.push_back(Told{t, t == 0 ? kSumUpTo : kTileSum, t == 0 ? sum : count});
    if (t % 9 == 4) up_to.push_back(Told{t, kSumUpTo, sum});
  }
  std::shuffle(own.begin(), own.end(), random);
  std::shuffle(up_to.begin(), up_to.end(), random);  // after their own sums
  own.insert(own.end(), up_to.begin(), up_to.end());
  const DeviceArray<TileWord> words(std::vector<TileWord>(kTiles, 0));
  const DeviceArray<Told> told(own);
  const DeviceArray<Sums> sums(1);
  ASSERT_EQ(TT_LAUNCH(waiting_kernel, dim3(1), dim3(96), 0, nullptr, words.get(), kTiles,
                      told.get(), static_cast<int>(own.size()), sums.get()),
            cudaSuccess);
  EXPECT_EQ(sums.values()[0].by_thread, sum);
  EXPECT_EQ(sums.values()[0].by_warp, sum);
}

TEST_P(HostSort, PrefixSums) {
  Context context(options(), [](int64_t) {});
  for (const int64_t count : kSizes) {
    for (const bool on_device : {false, true}) {
      Scope scope(context.workspace);
      Zeroed zeroed(context, scope);
      const Number number(count, on_device);
      std::vector<int64_t> items(place(count) + 1), expected;
      for (int64_t& item : items) item = below(int64_t{1} << 33);
      expected = items;
      std::exclusive_scan(items.begin(), items.end(), expected.begin(), int64_t{0});
      const DeviceArray<int64_t> device(items), total(1);
      int64_t* sum = on_device ? total.get() : device.get() + count;
      exclusive_scan(context, zeroed, device.get(), number.extent, sum);
      std::vector<int64_t> sums = device.values();
      if (on_device) sums[place(count)] = total.values()[0];
      EXPECT_EQ(sums, expected) << count;
    }
  }
}

TEST_P(HostSort, SortsLikeAStableSort) {
  Context context(options(), [](int64_t) {});
  for (const int64_t count : kSizes) {
    for (const int bits : {1, 3, 8, 9, 20, 32}) {
      const bool on_device = bits % 2 == 0;
      SCOPED_TRACE(std::to_string(count) + " pairs, " + std::to_string(bits) + " bits");
      Scope scope(context.workspace);
      Zeroed zeroed(context, scope);
      const Number number(count, on_device);
      const auto room = place(number.extent.most());
      std::vector<uint32_t> all = keys(count, std::min(int64_t{1} << bits, 4 * count + 2)),
                            order(place(count));
      for (uint32_t& key : all) {  // some far apart, and a long run of one
        if (below(3) == 0) key <<= std::max(0, bits - 16);
        if (below(3) == 0) key = 1;
      }
      std::iota(order.begin(), order.end(), 7u);
      std::vector<uint32_t> from = all, values = order;
      from.resize(room, 0);  // what lies behind is not to be touched
      values.resize(room, 0);
      const DeviceArray<uint32_t> a(from), b(values), c(from), d(values);
      const KeysAndValues sorted = radix_sort(context, scope, zeroed, {a.get(), b.get()},
                                              {c.get(), d.get()}, number.extent, bits);
      std::stable_sort(order.begin(), order.end(),
                       [&](uint32_t x, uint32_t y) { return all[x - 7] < all[y - 7]; });
      std::vector<uint32_t> sorted_keys = (sorted.keys == a.get() ? a : c).values(),
                            sorted_values = (sorted.values == b.get() ? b : d).values();
      std::vector<uint32_t> expected = order;
      expected.resize(room, 0);
      EXPECT_EQ(sorted_values, expected);
      for (int64_t i = 0; i < count; ++i) {
        ASSERT_EQ(sorted_keys[place(i)], all[expected[place(i)] - 7]) << i;
      }
    }
  }
}

TEST_P(HostSort, FindsRunsAndTheirTables) {
  Context context(options(), [](int64_t) {});
  for (const int64_t count : kSizes) {
    for (const int64_t distinct : {1, 3, 2000, 100000}) {
      const bool on_device = distinct != 3;
      SCOPED_TRACE(std::to_string(count) + " lookups, keys below " + std::to_string(distinct));
      Scope scope(context.workspace);
      Zeroed zeroed(context, scope);
      const Number number(count, on_device);
      std::vector<uint32_t> all = keys(count, distinct);
      std::sort(all.begin(), all.end());
      // Tables without keys, at the front, between and at the end; one of a single key.
      std::vector<int64_t> first_keys = {0, 0, distinct / 3, distinct / 3, distinct / 3 + 1};
      first_keys.push_back(std::max(distinct / 2, first_keys.back()));
      first_keys.insert(first_keys.end(), {distinct + 1, distinct + 1, int64_t{1} << 32});
      const auto tables = static_cast<int32_t>(first_keys.size()) - 1;

      std::vector<uint32_t> starts, table_runs;
      for (int64_t i = 0; i < count; ++i) {
        if (i == 0 || all[place(i)] != all[place(i - 1)])
          starts.push_back(static_cast<uint32_t>(i));
      }
      for (const int64_t first : first_keys) {
        table_runs.push_back(
            static_cast<uint32_t>(std::count_if(starts.begin(), starts.end(), [&](uint32_t start) {
              return int64_t{all[start]} < first;
            })));
      }
      starts.push_back(static_cast<uint32_t>(count));

      const DeviceArray<uint32_t> device(all.empty() ? std::vector<uint32_t>(1) : all);
      const DeviceArray<int64_t> device_first(first_keys), counts(place(tables));
      std::vector<int64_t*> places;
      for (int32_t t = 0; t < tables; ++t) places.push_back(t == 1 ? nullptr : counts.get() + t);
      const DeviceArray<int64_t*> device_places(places);
      const SortedLookups found =
          find_runs(context, scope, zeroed, device.get(), nullptr, number.extent,
                    device_first.get(), tables, device_places.get());
      std::vector<uint32_t> found_starts(starts.size()), found_runs(table_runs.size());
      read(context, found.starts, static_cast<int64_t>(starts.size()), found_starts.data(), "test");
      read(context, found.table_runs, int64_t{tables} + 1, found_runs.data(), "test");
      EXPECT_EQ(found_starts, starts);
      EXPECT_EQ(found_runs, table_runs);
      for (int32_t t = 0; t < tables; ++t) {
        if (t == 1) continue;
        EXPECT_EQ(counts.values()[place(t)],
                  int64_t{table_runs[place(t) + 1]} - table_runs[place(t)]);
      }
    }
  }
}

}  // namespace
}  // namespace tt::cuda
