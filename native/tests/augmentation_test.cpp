// The transformations as tt_augmented_values shows them: hand-derived examples, the header's counters
// bit for bit, and statistics.
#include "gather_fixture.h"

namespace tt_test {
namespace {

// How far a share may be from its probability: some hundred are looked at in each of CI's runs.
constexpr double kSigmas = 6;  // probability 2e-9

struct Preview {
  std::vector<uint64_t> masks;
  std::vector<int64_t> offsets;
  std::vector<int32_t> values;

  std::vector<int32_t> of(int64_t row) const {
    const auto r = static_cast<size_t>(row);
    return {values.begin() + offsets[r], values.begin() + offsets[r + 1]};
  }
};

class AugmentationTest : public OpTest {
 protected:
  Preview preview(const Context& context, const HostTable& host, const HostView& view, int32_t f) {
    const DeviceTable table(context, host);
    const std::vector<HostView> one{view};
    const DeviceViews views(context, one, 1);
    const Buffer<uint64_t> masks(context, view.n());
    const Buffer<int64_t> offsets(context, view.n() + 1);
    EXPECT_EQ(tt_augmented_values(context, table, views.data(), f, masks, offsets, nullptr, 0),
              TT_OK)
        << last_message();
    Preview all;
    all.offsets = offsets.read();
    const int64_t count = all.offsets.back();
    const Buffer<int32_t> values(context, count);
    EXPECT_EQ(tt_augmented_values(context, table, views.data(), f, masks, offsets, values, count),
              TT_OK)
        << last_message();
    all.masks = masks.read();
    all.values = values.read();
    return all;
  }

  std::vector<uint64_t> masks(const HostTable& host, const HostView& view) {
    const Context context(target());
    return preview(context, host, view, 0).masks;
  }
};
TT_ON_ALL_TARGETS(AugmentationTest);

/// The course's items: features ID, category, keyword and city, where "digital" and "photo" are values
/// 1 and 2 of category, and keyword has {beauty = 1, photo = 2}.
enum CourseFeature { kId, kCategory, kKeyword, kCity };

HostTable course_table(int64_t rows) {
  HostTable table;
  table.rows = rows;
  table.features.resize(4);
  for (int64_t r = 0; r < rows; ++r) {
    table.features[kId].values.push_back(static_cast<int32_t>(1 + r));
    table.features[kCity].values.push_back(3);
  }
  table.features[kId].vocabulary = static_cast<int32_t>(rows) + 1;
  table.features[kCity].vocabulary = 4;
  for (const int f : {kCategory, kKeyword}) {
    HostFeature& feature = table.features[static_cast<size_t>(f)];
    feature.vocabulary = 3;
    feature.offsets.push_back(0);
    for (int64_t r = 0; r < rows; ++r) {
      feature.values.push_back(1);
      feature.values.push_back(2);
      feature.offsets.push_back(2 * (r + 1));
    }
  }
  return table;
}

HostView all_rows(int64_t rows, int32_t view, const HostAugmentation& augmentation) {
  HostView v;
  for (int64_t r = 0; r < rows; ++r) v.rows.push_back(static_cast<int32_t>(r));
  v.view = view;
  v.augmented = true;
  v.augmentation = augmentation;
  return v;
}

constexpr uint64_t kAllFour = 0xF;

// Random mask with rate 1: {digital, photo} -> {default}, the value 0.
TEST_P(AugmentationTest, MaskedFeatureBecomesTheDefault) {
  HostAugmentation a;
  a.transforms = TT_RANDOM_MASK;
  a.maskable = 1 << kCategory;
  a.mask_rate = 1;
  const HostTable table = course_table(3);
  const Context context(target());
  const Preview category = preview(context, table, all_rows(3, 1, a), kCategory);
  const Preview keyword = preview(context, table, all_rows(3, 1, a), kKeyword);
  for (int64_t r = 0; r < 3; ++r) {
    EXPECT_EQ(category.of(r), std::vector<int32_t>{0});
    EXPECT_EQ(keyword.of(r), (std::vector<int32_t>{1, 2})) << "not maskable";
    EXPECT_EQ(category.masks[static_cast<size_t>(r)], uint64_t{1} << kCategory);
  }
}

// Value dropout: {beauty, photo} -> {beauty}, {photo}, both, or - if both are lost - {default}; with rate
// 1/4 the four outcomes have probabilities 3/16, 3/16, 9/16 and 1/16.
TEST_P(AugmentationTest, ValueDropoutKeepsSomeValues) {
  constexpr int64_t kRows = 30000;
  HostAugmentation a;
  a.transforms = TT_VALUE_DROPOUT;
  a.maskable = kAllFour;
  a.value_rate = 0.25f;
  a.seed = fresh_seed();
  const HostTable table = course_table(kRows);
  const Context context(target());
  const Preview keyword = preview(context, table, all_rows(kRows, 1, a), kKeyword);
  std::map<std::vector<int32_t>, double> seen;
  for (int64_t r = 0; r < kRows; ++r) seen[keyword.of(r)] += 1.0 / kRows;
  ASSERT_EQ(seen.size(), 4u);
  const auto expect = [&](const std::vector<int32_t>& values, double p) {
    EXPECT_NEAR(seen[values], p, kSigmas * std::sqrt(p * (1 - p) / kRows));
  };
  expect({1}, 3 / 16.0);
  expect({2}, 3 / 16.0);
  expect({1, 2}, 9 / 16.0);
  expect({0}, 1 / 16.0);
  // A single-valued feature has no values to drop.
  EXPECT_EQ(preview(context, table, all_rows(kRows, 1, a), kCity).values,
            std::vector<int32_t>(kRows, 3));
  EXPECT_EQ(keyword.masks, std::vector<uint64_t>(kRows, 0));
}

// Complementary: the four features fall into two pairs, such as {ID, keyword} | {category, city}: what one
// view masks the other keeps, and all six pairs come up equally often.
TEST_P(AugmentationTest, ComplementaryHalves) {
  constexpr int64_t kRows = 18000;
  HostAugmentation a;
  a.transforms = TT_COMPLEMENTARY;
  a.maskable = kAllFour;
  a.seed = fresh_seed();
  const HostTable table = course_table(kRows);
  const std::vector<uint64_t> first = masks(table, all_rows(kRows, 1, a));
  const std::vector<uint64_t> second = masks(table, all_rows(kRows, 2, a));
  EXPECT_EQ(masks(table, all_rows(kRows, 0, a)), first) << "view 0 behaves as view 1";
  std::map<uint64_t, double> seen;
  for (size_t r = 0; r < kRows; ++r) {
    ASSERT_EQ(first[r] ^ second[r], kAllFour);
    ASSERT_EQ(__builtin_popcountll(first[r]), 2);
    seen[first[r]] += 1.0 / kRows;
  }
  ASSERT_EQ(seen.size(), 6u);
  for (const auto& [mask, share] : seen) {
    EXPECT_NEAR(share, 1 / 6.0, kSigmas * std::sqrt(5 / 36.0 / kRows)) << mask;
  }
}

// Five maskable features: view 1 masks floor(5 / 2) = 2 of them, view 2 the other 3.
TEST_P(AugmentationTest, ComplementaryHalfIsRoundedDown) {
  HostTable table = course_table(100);
  table.features.push_back(table.features[kCity]);
  table.features.push_back(table.features[kCity]);
  HostAugmentation a;
  a.transforms = TT_COMPLEMENTARY;
  a.maskable = 0x37;  // all but city
  const std::vector<uint64_t> first = masks(table, all_rows(100, 1, a));
  const std::vector<uint64_t> second = masks(table, all_rows(100, 2, a));
  for (size_t r = 0; r < first.size(); ++r) {
    EXPECT_EQ(__builtin_popcountll(first[r]), 2);
    EXPECT_EQ(first[r] | second[r], 0x37u);
    EXPECT_EQ(first[r] & second[r], 0u);
  }
}

// Correlated: gender (0) and category (1) tell of each other - "female" and "beauty" - as do keyword (2)
// and city (3). The seed and its most related feature go together, in view 2 the others.
TEST_P(AugmentationTest, CorrelatedFeaturesGoTogether) {
  constexpr int64_t kRows = 15000;
  HostAugmentation a;
  a.transforms = TT_CORRELATED;
  a.maskable = kAllFour;
  a.correlated = {0b0011, 0b0011, 0b1100, 0b1100};
  a.seed = fresh_seed();
  const HostTable table = course_table(kRows);
  const std::vector<uint64_t> first = masks(table, all_rows(kRows, 1, a));
  const std::vector<uint64_t> second = masks(table, all_rows(kRows, 2, a));
  double low = 0;
  for (size_t r = 0; r < kRows; ++r) {
    ASSERT_TRUE(first[r] == 0b0011 || first[r] == 0b1100) << first[r];
    ASSERT_EQ(first[r] ^ second[r], kAllFour);
    low += first[r] == 0b0011 ? 1.0 / kRows : 0;
  }
  EXPECT_NEAR(low, 0.5, kSigmas * 0.5 / std::sqrt(kRows));
}

TEST_P(AugmentationTest, CorrelatedSeedsAreUniformAndIndependent) {
  constexpr int64_t kRows = 30000;
  HostAugmentation a;
  a.transforms = TT_CORRELATED;
  a.maskable = kAllFour;
  a.correlated = {0b0001, 0, 0b0100, 0b1000};  // feature 1 is never the seed
  a.second_view = TT_VIEW_INDEPENDENT;
  a.seed = fresh_seed();
  const HostTable table = course_table(kRows);
  const std::vector<uint64_t> first = masks(table, all_rows(kRows, 1, a));
  const std::vector<uint64_t> second = masks(table, all_rows(kRows, 2, a));
  std::map<std::pair<uint64_t, uint64_t>, double> seen;
  for (size_t r = 0; r < kRows; ++r) seen[{first[r], second[r]}] += 1.0 / kRows;
  ASSERT_EQ(seen.size(), 9u);
  for (const auto& [pair, share] : seen) {
    EXPECT_NEAR(share, 1 / 9.0, kSigmas * std::sqrt(8 / 81.0 / kRows));
  }
}

TEST_P(AugmentationTest, OneSeedForTheBatch) {
  HostAugmentation a;
  a.transforms = TT_CORRELATED;
  a.maskable = kAllFour;
  a.correlated = {1, 2, 4, 8};
  a.seed_scope = TT_SEED_PER_BATCH;
  const HostTable table = course_table(50);
  std::map<uint64_t, int> steps;
  for (a.step = 0; a.step < 40; ++a.step) {
    const std::vector<uint64_t> all = masks(table, all_rows(50, 1, a));
    EXPECT_EQ(all, std::vector<uint64_t>(50, all[0]));
    ++steps[all[0]];
  }
  EXPECT_EQ(steps.size(), 4u)
      << "each step draws anew";  // fails with probability 4 * 0.75^40 = 4e-5
}

/// Correlation of two events with rate p over n rows, in standard errors.
double correlation(const std::vector<uint64_t>& a, int bit_a, const std::vector<uint64_t>& b,
                   int bit_b, double p) {
  double sum = 0;
  for (size_t r = 0; r < a.size(); ++r) {
    const double x = static_cast<double>(a[r] >> bit_a & 1) - p;
    const double y = static_cast<double>(b[r] >> bit_b & 1) - p;
    sum += x * y;
  }
  return sum / (p * (1 - p)) / std::sqrt(static_cast<double>(a.size()));
}

TEST_P(AugmentationTest, RandomMasksAreIndependent) {
  constexpr int64_t kRows = 60000;
  constexpr double kRate = 0.3;
  HostTable table = course_table(kRows);
  while (table.features.size() < 9) table.features.push_back(table.features[kCity]);
  HostAugmentation a;
  a.transforms = TT_RANDOM_MASK;
  a.maskable = 0x1FF;
  a.mask_rate = static_cast<float>(kRate);
  a.seed = fresh_seed();
  const std::vector<uint64_t> first = masks(table, all_rows(kRows, 1, a));
  const std::vector<uint64_t> second = masks(table, all_rows(kRows, 2, a));
  a.step = 1;
  const std::vector<uint64_t> later = masks(table, all_rows(kRows, 1, a));
  std::vector<uint64_t> next_row(first.begin() + 1, first.end());
  next_row.push_back(first[0]);
  for (int f = 0; f < 9; ++f) {
    double rate = 0;
    for (const uint64_t mask : first) rate += static_cast<double>(mask >> f & 1) / kRows;
    EXPECT_NEAR(rate, kRate, kSigmas * std::sqrt(kRate * (1 - kRate) / kRows)) << "feature " << f;
    EXPECT_LT(std::abs(correlation(first, f, second, f, kRate)), kSigmas) << "views, feature " << f;
    EXPECT_LT(std::abs(correlation(first, f, later, f, kRate)), kSigmas) << "steps, feature " << f;
    EXPECT_LT(std::abs(correlation(first, f, next_row, f, kRate)), kSigmas)
        << "rows, feature " << f;
    for (int g = 0; g < f; ++g) {
      EXPECT_LT(std::abs(correlation(first, f, first, g, kRate)), kSigmas)
          << "features " << f << ", " << g;
    }
  }
}

TEST_P(AugmentationTest, ListDropoutSparesOrRemovesForAllFeatures) {
  constexpr int64_t kRows = 12000;
  HostTable table;
  table.rows = kRows;
  table.catalogue_rows = 10;
  table.list_offsets.push_back(0);
  for (int64_t r = 0; r < kRows; ++r) {
    for (int32_t c = 0; c < 10; ++c) table.list_rows.push_back(c);
    table.list_offsets.push_back(10 * (r + 1));
  }
  HostFeature feature;
  feature.values = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  feature.vocabulary = 11;
  feature.through_list = 1;
  table.features = {feature, feature};
  HostAugmentation a;
  a.transforms = TT_LIST_DROPOUT;
  a.list_rate = 0.2f;
  a.seed = fresh_seed();
  const Context context(target());
  const Preview one = preview(context, table, all_rows(kRows, 1, a), 0);
  const Preview two = preview(context, table, all_rows(kRows, 1, a), 1);
  EXPECT_EQ(one.values, two.values) << "features share the decision";
  EXPECT_NE(one.values, preview(context, table, all_rows(kRows, 2, a), 0).values);
  // An emptied list (0.2^10) has one default: negligible here.
  const double kept = static_cast<double>(one.values.size()) / (10.0 * kRows);
  EXPECT_NEAR(kept, 0.8, kSigmas * std::sqrt(0.16 / (10.0 * kRows)));
  a.list_rate = 1;
  EXPECT_EQ(preview(context, table, all_rows(kRows, 1, a), 0).values,
            std::vector<int32_t>(kRows, 0));
}

TEST_P(AugmentationTest, FollowsTheHeaderBitForBit) {
  for (uint32_t round = 0; round < 20; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    Random random(round);
    const Scene scene = random_scene(random, 150, {4, 4, 4, 4, 4, 4}, true);
    const Context context(target());
    for (const HostView& view : scene.views) {
      for (int32_t f = 0; f < 6; ++f) {
        const Preview got = preview(context, scene.table, view, f);
        for (int64_t i = 0; i < view.n(); ++i) {
          ASSERT_EQ(got.masks[static_cast<size_t>(i)], reference_mask(scene.table, view, i));
          ASSERT_EQ(got.of(i), reference_values(scene.table, view, i, f))
              << "view " << view.view << " row " << i << " feature " << f;
        }
      }
    }
  }
}

TEST_P(AugmentationTest, SameForAnyThreads) {
  Random random;
  const Scene scene = random_scene(random, 2000, {4, 4, 4}, true);
  Preview first;
  for (const int32_t threads : thread_counts()) {
    const Context context(target(), threads);
    const Preview got = preview(context, scene.table, scene.views[1], 1);
    if (first.masks.empty()) first = got;
    EXPECT_EQ(got.masks, first.masks);
    EXPECT_EQ(got.offsets, first.offsets);
    EXPECT_EQ(got.values, first.values);
  }
}

// The batch position enters the counter, not the table's row, and a later part of a batch continues it.
TEST_P(AugmentationTest, RowBaseContinuesABatch) {
  HostAugmentation a;
  a.transforms = TT_RANDOM_MASK;
  a.maskable = kAllFour;
  a.mask_rate = 0.5f;
  const HostTable table = course_table(64);
  HostView whole = all_rows(64, 1, a);
  HostView tail = all_rows(24, 1, a);
  tail.row_base = 40;
  const std::vector<uint64_t> all = masks(table, whole);
  EXPECT_EQ(masks(table, tail), std::vector<uint64_t>(all.begin() + 40, all.end()));
}

TEST_P(AugmentationTest, BadArguments) {
  const HostTable host = course_table(8);
  const Context context(target());
  const DeviceTable table(context, host);
  const std::vector<HostView> one{all_rows(8, 1, HostAugmentation{})};
  DeviceViews views(context, one, 1);
  const Buffer<int64_t> offsets(context, 9);
  const Buffer<int32_t> values(context, 16);
  EXPECT_BAD_ARGUMENT(
      tt_augmented_values(nullptr, table, views.data(), 0, nullptr, offsets, nullptr, 0),
      "context");
  EXPECT_BAD_ARGUMENT(
      tt_augmented_values(context, nullptr, views.data(), 0, nullptr, offsets, nullptr, 0),
      "table");
  EXPECT_BAD_ARGUMENT(tt_augmented_values(context, table, nullptr, 0, nullptr, offsets, nullptr, 0),
                      "view");
  EXPECT_BAD_ARGUMENT(
      tt_augmented_values(context, table, views.data(), 4, nullptr, offsets, nullptr, 0),
      "feature");
  EXPECT_BAD_ARGUMENT(
      tt_augmented_values(context, table, views.data(), -1, nullptr, offsets, nullptr, 0),
      "feature");
  EXPECT_BAD_ARGUMENT(
      tt_augmented_values(context, table, views.data(), 0, nullptr, nullptr, nullptr, 0),
      "offsets");
  EXPECT_BAD_ARGUMENT(
      tt_augmented_values(context, table, views.data(), 1, nullptr, offsets, values, 15),
      "capacity");
  expect_expected("at least 16");
  EXPECT_BAD_ARGUMENT(
      tt_augmented_values(context, table, views.data(), 1, nullptr, offsets, values, -1),
      "capacity");
  TT_EXPECT_OK(tt_augmented_values(context, table, views.data(), 1, nullptr, offsets, values, 16));
}

}  // namespace
}  // namespace tt_test
