// tt_pair_counts: how many rows have each pair of values of two features.
#include <algorithm>
#include <atomic>
#include <vector>

#include "context.h"

namespace tt::cpu {
namespace {

constexpr int64_t kBlockRows = 1 << 14;
constexpr int64_t kMostCells = 1 << 22;  // of a full table of counts

struct PairCount {
  uint64_t pair;  // a << 32 | b
  int64_t count;
};

/// The distinct values of one row, ascending; the default where it has none.
class RowValues {
 public:
  explicit RowValues(const tt_feature& feature) : feature_(feature) {}

  const std::vector<int32_t>& of(int64_t row) {
    if (feature_.offsets == nullptr) {
      values_.assign(1, feature_.values[row]);
      return values_;
    }
    values_.assign(feature_.values + feature_.offsets[row],
                   feature_.values + feature_.offsets[row + 1]);
    if (values_.empty()) values_.push_back(0);
    std::sort(values_.begin(), values_.end());
    values_.erase(std::unique(values_.begin(), values_.end()), values_.end());
    return values_;
  }

 private:
  const tt_feature& feature_;
  std::vector<int32_t> values_;
};

template <class Use>
void for_pairs(const tt_feature& a, const tt_feature& b, int64_t begin, int64_t end, Use use) {
  RowValues values_a(a), values_b(b);
  for (int64_t row = begin; row < end; ++row) {
    const std::vector<int32_t>& of_a = values_a.of(row);
    const std::vector<int32_t>& of_b = values_b.of(row);
    for (const int32_t x : of_a) {
      for (const int32_t y : of_b) use(x, y);
    }
  }
}

/// Few possible pairs: one counter for each.
std::vector<PairCount> count_in_table(Context& context, const tt_feature& a, const tt_feature& b,
                                      int64_t begin, int64_t end) {
  const int64_t cells = int64_t{a.vocabulary} * b.vocabulary;
  std::vector<std::atomic<int64_t>> counts(static_cast<size_t>(cells));
  context.pool.run((end - begin + kBlockRows - 1) / kBlockRows, [&](int64_t block, int) {
    const int64_t from = begin + block * kBlockRows;
    for_pairs(a, b, from, std::min(end, from + kBlockRows), [&](int32_t x, int32_t y) {
      counts[static_cast<size_t>(int64_t{x} * b.vocabulary + y)].fetch_add(
          1, std::memory_order_relaxed);
    });
  });
  std::vector<PairCount> pairs;
  for (int64_t cell = 0; cell < cells; ++cell) {
    const int64_t count = counts[static_cast<size_t>(cell)].load();
    if (count == 0) continue;
    const auto x = static_cast<uint64_t>(cell / b.vocabulary);
    const auto y = static_cast<uint64_t>(cell % b.vocabulary);
    pairs.push_back(PairCount{x << 32 | y, count});
  }
  return pairs;
}

std::vector<PairCount> count_block(const tt_feature& a, const tt_feature& b, int64_t begin,
                                   int64_t end) {
  std::vector<uint64_t> all;
  for_pairs(a, b, begin, end, [&](int32_t x, int32_t y) {
    all.push_back(static_cast<uint64_t>(x) << 32 | static_cast<uint64_t>(y));
  });
  std::sort(all.begin(), all.end());
  std::vector<PairCount> pairs;
  for (const uint64_t pair : all) {
    if (pairs.empty() || pairs.back().pair != pair) pairs.push_back(PairCount{pair, 0});
    ++pairs.back().count;
  }
  return pairs;
}

std::vector<PairCount> add(const std::vector<PairCount>& a, const std::vector<PairCount>& b) {
  std::vector<PairCount> sum;
  sum.reserve(a.size() + b.size());
  size_t i = 0, j = 0;
  while (i < a.size() || j < b.size()) {
    if (j == b.size() || (i < a.size() && a[i].pair < b[j].pair)) {
      sum.push_back(a[i++]);
    } else if (i == a.size() || b[j].pair < a[i].pair) {
      sum.push_back(b[j++]);
    } else {
      sum.push_back(PairCount{a[i].pair, a[i].count + b[j].count});
      ++i;
      ++j;
    }
  }
  return sum;
}

/// Many possible pairs: sorted lists of blocks of rows, added two by two.
std::vector<PairCount> count_sorted(Context& context, const tt_feature& a, const tt_feature& b,
                                    int64_t begin, int64_t end) {
  const int64_t blocks = (end - begin + kBlockRows - 1) / kBlockRows;
  std::vector<std::vector<PairCount>> lists(static_cast<size_t>(blocks));
  context.pool.run(blocks, [&](int64_t block, int) {
    const int64_t from = begin + block * kBlockRows;
    lists[static_cast<size_t>(block)] = count_block(a, b, from, std::min(end, from + kBlockRows));
  });
  while (lists.size() > 1) {
    const size_t half = (lists.size() + 1) / 2;
    std::vector<std::vector<PairCount>> sums(half);
    context.pool.run(static_cast<int64_t>(half), [&](int64_t index, int) {
      const auto i = static_cast<size_t>(index);
      if (2 * i + 1 < lists.size()) {
        sums[i] = add(lists[2 * i], lists[2 * i + 1]);
        std::vector<PairCount>().swap(lists[2 * i]);
        std::vector<PairCount>().swap(lists[2 * i + 1]);
      } else {
        sums[i].swap(lists[2 * i]);
      }
    });
    lists.swap(sums);
  }
  return lists.empty() ? std::vector<PairCount>() : std::move(lists[0]);
}

}  // namespace

void pair_counts(Context& context, const Table* table, int32_t feature_a, int32_t feature_b,
                 int64_t row_begin, int64_t row_end, int64_t capacity, int32_t* values_a,
                 int32_t* values_b, int64_t* counts, int64_t* pair_count) {
  const tt_feature& a = table->features[feature_a];
  const tt_feature& b = table->features[feature_b];
  const bool few = int64_t{a.vocabulary} * b.vocabulary <=
                   std::min(kMostCells, 16 * std::max<int64_t>(row_end - row_begin, 1024));
  const std::vector<PairCount> pairs = few ? count_in_table(context, a, b, row_begin, row_end)
                                           : count_sorted(context, a, b, row_begin, row_end);
  *pair_count = static_cast<int64_t>(pairs.size());
  if (values_a == nullptr) return;
  if (*pair_count > capacity) {
    bad_argument("capacity", format("at least %lld, the distinct pairs", (long long)*pair_count),
                 capacity);
  }
  for (size_t i = 0; i < pairs.size(); ++i) {
    values_a[i] = static_cast<int32_t>(pairs[i].pair >> 32);
    values_b[i] = static_cast<int32_t>(pairs[i].pair & 0xFFFFFFFFu);
    counts[i] = pairs[i].count;
  }
}

}  // namespace tt::cpu
