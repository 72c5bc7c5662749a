#include <algorithm>
#include <cmath>

#include "gather_fixture.h"

namespace tt_test {
namespace {

class EmbeddingGatherTest : public OpTest {
 protected:
  std::vector<std::vector<float>> gather(const Scene& scene, int32_t threads = 2) {
    const Context context(target(), threads);
    const DeviceTable table(context, scene.table);
    const DeviceEmbeddings embeddings(context, scene.embeddings);
    DeviceViews views(context, scene.views, scene.width);
    EXPECT_EQ(tt_embedding_gather(context, table, embeddings.data(), embeddings.size(),
                                  views.data(), views.size()),
              TT_OK)
        << last_message();
    std::vector<std::vector<float>> all;
    for (size_t v = 0; v < scene.views.size(); ++v) all.push_back(views.vectors(v));
    return all;
  }

  /// terms: behind a result, where they are so many, and results so few, that a rounding of half a unit in each, added up as in a random
  /// walk, is allowed for. One term left out or taken twice is far beyond.
  void expect_right(const Scene& scene, int32_t threads = 2, double terms = 0) {
    const std::vector<std::vector<float>> got = gather(scene, threads);
    for (size_t v = 0; v < scene.views.size(); ++v) {
      expect_as_good_as_plain(
          got[v], reference_gather<float>(scene.table, scene.embeddings, scene.views[v]),
          reference_gather<double>(scene.table, scene.embeddings, scene.views[v]),
          "view " + std::to_string(v),
          terms > 0 ? std::sqrt(terms) * largest_magnitude(scene, v) : 0);
    }
  }

 private:
  static double largest_magnitude(const Scene& scene, size_t view) {
    std::vector<HostEmbedding> magnitudes = scene.embeddings;
    for (HostEmbedding& embedding : magnitudes) {
      for (float& weight : embedding.weights) weight = std::abs(weight);
    }
    const std::vector<double> sums =
        reference_gather<double>(scene.table, magnitudes, scene.views[view]);
    return *std::max_element(sums.begin(), sums.end());
  }
};
TT_ON_ALL_TARGETS(EmbeddingGatherTest);

// Two rows, a feature with values {1, 2} and {} (hence the default 0), dim 2, sum:
// row 0 = w[1] + w[2] = (1, 10) + (2, 20) = (3, 30); row 1 = w[0] = (7, 70).
TEST_P(EmbeddingGatherTest, ByHand) {
  Scene scene;
  scene.table.rows = 2;
  HostFeature feature;
  feature.offsets = {0, 2, 2};
  feature.values = {1, 2};
  feature.vocabulary = 3;
  feature.pooling = TT_POOL_SUM;
  scene.table.features = {feature};
  scene.embeddings = {HostEmbedding{{7, 70, 1, 10, 2, 20}, 3, 2}};
  scene.views.resize(1);
  scene.views[0].rows = {0, 1, 0};
  scene.width = 2;
  EXPECT_EQ(gather(scene)[0], (std::vector<float>{3, 30, 7, 70, 3, 30}));
  scene.table.features[0].pooling = TT_POOL_MEAN;
  EXPECT_EQ(gather(scene)[0], (std::vector<float>{1.5, 15, 7, 70, 1.5, 15}));
  scene.table.features[0].pooling = TT_POOL_SQRTN;
  const float r = 1 / std::sqrt(2.0f);
  EXPECT_EQ(gather(scene)[0], (std::vector<float>{3 * r, 30 * r, 7, 70, 3 * r, 30 * r}));
}

// A user whose list is catalogue rows (1, 0, 1); catalogue values 5 and 6. The sum over the list is
// w[6] + w[5] + w[6]; with row 1 left out, w[5]; with row 0 left out, 2 w[6].
TEST_P(EmbeddingGatherTest, ListByHand) {
  Scene scene;
  scene.table.rows = 1;
  scene.table.catalogue_rows = 2;
  scene.table.list_offsets = {0, 3};
  scene.table.list_rows = {1, 0, 1};
  HostFeature feature;
  feature.values = {5, 6};
  feature.vocabulary = 7;
  feature.pooling = TT_POOL_SUM;
  feature.through_list = 1;
  scene.table.features = {feature};
  scene.embeddings = {HostEmbedding{{9, 0, 0, 0, 0, 100, 1}, 7, 1}};
  scene.views.resize(1);
  scene.views[0].rows = {0, 0, 0};
  scene.views[0].left_out = {-1, 1, 0};
  scene.width = 1;
  EXPECT_EQ(gather(scene)[0], (std::vector<float>{102, 100, 2}));
}

TEST_P(EmbeddingGatherTest, RandomTables) {
  for (uint32_t round = 0; round < 24; ++round) {
    Random random(round);
    const int64_t n = std::vector<int64_t>{1, 2, 63, 64, 65, 129, 300}[round % 7];
    SCOPED_TRACE("round " + std::to_string(round));
    expect_right(random_scene(random, n, {16, 1, 33, 64, 16}, round % 2 == 1));
  }
}

TEST_P(EmbeddingGatherTest, AnyDimension) {
  for (const int32_t dim : {1, 2, 15, 16, 17, 31, 32, 48, 63, 64, 65, 127, 128, 129, 200, 257}) {
    Random random(static_cast<uint32_t>(dim));
    SCOPED_TRACE("dim " + std::to_string(dim));
    expect_right(random_scene(random, 20, {dim, dim}, dim % 2 == 1));
  }
}

TEST_P(EmbeddingGatherTest, ManyFeatures) {
  Random random;
  expect_right(random_scene(random, 70, std::vector<int32_t>(TT_MAX_FEATURES, 4), true));
}

// One row with more values than any buffer holds, and a list longer than one too.
TEST_P(EmbeddingGatherTest, LongRows) {
  Random random;
  Scene scene;
  scene.table.rows = 3;
  scene.table.catalogue_rows = 50;
  HostFeature direct;
  direct.vocabulary = 1000;
  direct.offsets = {0, 2, 20002, 20003};
  direct.values = random.integers(20003, 0, 999);
  HostFeature listed = random_feature(random, 50, true, 300, 1);
  listed.through_list = 1;
  scene.table.features = {direct, listed};
  scene.table.list_offsets = {0, 9000, 9000, 9001};
  scene.table.list_rows = random.integers(9001, 0, 49);
  scene.embeddings = {random_embedding(random, 1000, 20), random_embedding(random, 300, 8)};
  scene.views = random_views(random, scene.table, 12);
  scene.width = 28;
  expect_right(scene, 2, 9000);
}

// More values than are copied side by side for a strip of rows.
TEST_P(EmbeddingGatherTest, ManyValuesInManyRows) {
  Random random;
  Scene scene;
  scene.table.rows = 40;
  scene.table.features = {random_feature(random, 40, true, 500, 0, 600),
                          random_feature(random, 40, false, 90, 1),
                          random_feature(random, 40, true, 200, 1, 600)};
  scene.embeddings = {random_embedding(random, 500, 3), random_embedding(random, 200, 5)};
  scene.views.resize(1);
  scene.views[0].rows = random.integers(600, 0, 39);
  scene.width = width_of(scene.table, scene.embeddings);
  expect_right(scene, 1);
}

// Several strips of rows in a block, and blocks of other lengths for other numbers of threads.
TEST_P(EmbeddingGatherTest, ManyRows) {
  Random random;
  const Scene scene = random_scene(random, 4500, {16, 3, 8}, false);
  expect_right(scene, 1);
  const std::vector<std::vector<float>> one = gather(scene, 1);
  const std::vector<std::vector<float>> three = gather(scene, 3);
  for (size_t v = 0; v < one.size(); ++v) EXPECT_EQ(bits(three[v]), bits(one[v])) << "view " << v;
}

TEST_P(EmbeddingGatherTest, SameBitsForAnyThreads) {
  Random random;
  const Scene scene = random_scene(random, 500, {16, 40, 8, 64}, true);
  const std::vector<std::vector<float>> first = gather(scene, thread_counts()[0]);
  for (const int32_t threads : thread_counts()) {
    const std::vector<std::vector<float>> got = gather(scene, threads);
    for (size_t v = 0; v < got.size(); ++v) {
      EXPECT_EQ(bits(got[v]), bits(first[v])) << threads << " threads, view " << v;
    }
  }
}

// Additions and multiplications only, in one order: the instruction sets agree bit for bit.
TEST(EmbeddingGather, SameBitsOnEveryInstructionSet) {
  Random random;
  const Scene scene = random_scene(random, 200, {16, 40, 9, 64}, true);
  std::string first;
  for (const Target& target : targets()) {
    if (target.device != TT_DEVICE_CPU) continue;
    const Context context(target);
    const DeviceTable table(context, scene.table);
    const DeviceEmbeddings embeddings(context, scene.embeddings);
    const DeviceViews views(context, scene.views, scene.width);
    TT_OK_OR_FAIL(tt_embedding_gather(context, table, embeddings.data(), embeddings.size(),
                                      views.data(), views.size()));
    std::string all;
    for (size_t v = 0; v < scene.views.size(); ++v) all += bits(views.vectors(v));
    if (first.empty()) first = all;
    EXPECT_EQ(all, first) << target.name;
  }
}

TEST_P(EmbeddingGatherTest, Bfloat16Weights) {
  for (const int32_t dim : {5, 16, 37, 64}) {
    Random random(static_cast<uint32_t>(dim));
    Scene scene = random_scene(random, 40, {dim, dim}, false);
    std::vector<std::vector<uint16_t>> halves;
    for (HostEmbedding& e : scene.embeddings) {
      halves.emplace_back();
      for (float& w : e.weights) {  // the reference gets exactly what the device has
        uint32_t bits32;
        std::memcpy(&bits32, &w, 4);
        bits32 &= 0xFFFF0000u;
        std::memcpy(&w, &bits32, 4);
        halves.back().push_back(static_cast<uint16_t>(bits32 >> 16));
      }
    }
    const Context context(target());
    const DeviceTable table(context, scene.table);
    const DeviceViews views(context, scene.views, scene.width);
    std::vector<std::unique_ptr<Buffer<uint16_t>>> weights;
    std::vector<tt_embedding> embeddings;
    for (size_t e = 0; e < halves.size(); ++e) {
      weights.push_back(std::make_unique<Buffer<uint16_t>>(context, halves[e]));
      embeddings.push_back(tt_embedding{weights.back()->get(), nullptr, nullptr,
                                        scene.embeddings[e].rows, dim, TT_BFLOAT16});
    }
    TT_OK_OR_FAIL(tt_embedding_gather(context, table, embeddings.data(),
                                      static_cast<int32_t>(embeddings.size()), views.data(),
                                      views.size()));
    for (size_t v = 0; v < scene.views.size(); ++v) {
      expect_as_good_as_plain(
          views.vectors(v), reference_gather<float>(scene.table, scene.embeddings, scene.views[v]),
          reference_gather<double>(scene.table, scene.embeddings, scene.views[v]), "bfloat16");
    }
  }
}

TEST_P(EmbeddingGatherTest, NoRows) {
  Random random;
  Scene scene = random_scene(random, 3, {4, 4}, false);
  scene.views[1].rows.clear();
  scene.views[2].rows.clear();
  expect_right(scene);
}

TEST_P(EmbeddingGatherTest, BadArguments) {
  Random random;
  const Scene scene = random_scene(random, 10, {4, 6}, true);
  const Context context(target());
  const DeviceTable table(context, scene.table);
  const DeviceEmbeddings embeddings(context, scene.embeddings);
  DeviceViews views(context, scene.views, scene.width);
  const auto call = [&] {
    return tt_embedding_gather(context, table, embeddings.data(), embeddings.size(), views.data(),
                               views.size());
  };
  TT_OK_OR_FAIL(call());
  EXPECT_BAD_ARGUMENT(tt_embedding_gather(nullptr, table, embeddings.data(), 2, views.data(), 3),
                      "context");
  EXPECT_BAD_ARGUMENT(tt_embedding_gather(context, nullptr, embeddings.data(), 2, views.data(), 3),
                      "table");
  EXPECT_BAD_ARGUMENT(tt_embedding_gather(context, table, nullptr, 2, views.data(), 3),
                      "embeddings");
  EXPECT_BAD_ARGUMENT(tt_embedding_gather(context, table, embeddings.data(), 0, views.data(), 3),
                      "embedding_count");
  EXPECT_BAD_ARGUMENT(tt_embedding_gather(context, table, embeddings.data(), 1, views.data(), 3),
                      "embedding_count");
  EXPECT_BAD_ARGUMENT(tt_embedding_gather(context, table, embeddings.data(), 2, nullptr, 3),
                      "views");
  EXPECT_BAD_ARGUMENT(tt_embedding_gather(context, table, embeddings.data(), 2, views.data(), 0),
                      "view_count");

  const auto with_view = [&](size_t v, auto change, const char* name) {
    const tt_gather_view saved = views[v];
    change(views[v]);
    EXPECT_BAD_ARGUMENT(call(), name);
    views[v] = saved;
  };
  with_view(
      1, [](tt_gather_view& v) { v.rows = nullptr; }, "views[1].rows");
  with_view(
      0, [](tt_gather_view& v) { v.vectors = nullptr; }, "views[0].vectors");
  with_view(
      0, [](tt_gather_view& v) { v.n = -1; }, "views[0].n");
  with_view(
      2, [](tt_gather_view& v) { v.ld = 9; }, "views[2].ld");
  with_view(
      2, [](tt_gather_view& v) { v.view = 3; }, "views[2].view");
  with_view(
      2, [](tt_gather_view& v) { v.row_base = -1; }, "views[2].row_base");
  with_view(
      2, [](tt_gather_view& v) { v.row_base = int64_t{1} << 32; }, "views[2].row_base");

  const auto with_embedding = [&](auto change, const char* name) {
    std::vector<tt_embedding> changed(embeddings.data(), embeddings.data() + 2);
    change(changed[1]);
    EXPECT_BAD_ARGUMENT(
        tt_embedding_gather(context, table, changed.data(), 2, views.data(), views.size()), name);
  };
  with_embedding([](tt_embedding& e) { e.weights = nullptr; }, "embeddings[1].weights");
  with_embedding([](tt_embedding& e) { e.dim = 0; }, "embeddings[1].dim");
  with_embedding([](tt_embedding& e) { e.rows = 0; }, "embeddings[1].rows");
  with_embedding([](tt_embedding& e) { e.dtype = 2; }, "embeddings[1].dtype");
  if (scene.table.features[1].vocabulary > 1) {
    with_embedding([&](tt_embedding& e) { e.rows = scene.table.features[1].vocabulary - 1; },
                   "embeddings[1].rows");
  }

  const auto with_augmentation = [&](auto change, const char* name) {
    tt_augmentation changed = *views[1].augmentation;
    change(changed);
    with_view(
        1, [&](tt_gather_view& v) { v.augmentation = &changed; }, name);
  };
  using A = tt_augmentation;
  with_augmentation([](A& a) { a.struct_size = 4; }, "views[1].augmentation.struct_size");
  with_augmentation([](A& a) { a.transforms = 64; }, "views[1].augmentation.transforms");
  with_augmentation([](A& a) { a.transforms = TT_COMPLEMENTARY | TT_CORRELATED; },
                    "views[1].augmentation.transforms");
  with_augmentation([](A& a) { a.maskable = 4; }, "views[1].augmentation.maskable");
  with_augmentation([](A& a) { a.mask_rate = 1.5f; }, "views[1].augmentation.mask_rate");
  with_augmentation([](A& a) { a.value_rate = -0.1f; }, "views[1].augmentation.value_rate");
  with_augmentation([](A& a) { a.list_rate = NAN; }, "views[1].augmentation.list_rate");
  with_augmentation([](A& a) { a.second_view = 2; }, "views[1].augmentation.second_view");
  with_augmentation([](A& a) { a.seed_scope = -1; }, "views[1].augmentation.seed_scope");
  with_augmentation([](A& a) { a.step = -1; }, "views[1].augmentation.step");
  const uint64_t outside[2] = {1, 2};
  const uint64_t nothing[2] = {0, 0};
  with_augmentation(
      [&](A& a) {
        a.transforms = TT_CORRELATED;
        a.maskable = 1;
        a.correlated = outside;
      },
      "views[1].augmentation.correlated[1]");
  with_augmentation(
      [&](A& a) {
        a.transforms = TT_CORRELATED;
        a.correlated = nothing;
      },
      "views[1].augmentation.correlated");
  with_augmentation(
      [&](A& a) {
        a.transforms = TT_CORRELATED;
        a.correlated = nullptr;
      },
      "views[1].augmentation.correlated");
}

// What lies in device memory is checked where the host can see it.
TEST_P(EmbeddingGatherTest, RowsOutsideTheTable) {
  if (!on_cpu()) GTEST_SKIP() << "contents of device memory are not looked at";
  Random random;
  const Scene scene = random_scene(random, 10, {4, 6}, true);
  const Context context(target());
  const DeviceTable table(context, scene.table);
  const DeviceEmbeddings embeddings(context, scene.embeddings);
  DeviceViews views(context, scene.views, scene.width);
  const auto call = [&] {
    return tt_embedding_gather(context, table, embeddings.data(), 2, views.data(), views.size());
  };
  auto* rows = const_cast<int32_t*>(views[1].rows);
  rows[7] = static_cast<int32_t>(scene.table.rows);
  EXPECT_BAD_ARGUMENT(call(), "views[1].rows[7]");
  expect_got(std::to_string(scene.table.rows).c_str());
  rows[7] = -1;
  EXPECT_BAD_ARGUMENT(call(), "views[1].rows[7]");
  rows[7] = 0;
  auto* left_out = const_cast<int32_t*>(views[0].left_out);
  left_out[3] = static_cast<int32_t>(scene.table.catalogue_rows);
  EXPECT_BAD_ARGUMENT(call(), "views[0].left_out[3]");
  left_out[3] = -2;
  EXPECT_BAD_ARGUMENT(call(), "views[0].left_out[3]");
  left_out[3] = -1;
  TT_EXPECT_OK(call());
}

TEST_P(EmbeddingGatherTest, ListsAreNeededForListArguments) {
  Random random;
  const Scene scene = random_scene(random, 10, {4, 6}, false);
  const Context context(target());
  const DeviceTable table(context, scene.table);
  const DeviceEmbeddings embeddings(context, scene.embeddings);
  DeviceViews views(context, scene.views, scene.width);
  views[0].left_out = views[0].rows;
  EXPECT_BAD_ARGUMENT(
      tt_embedding_gather(context, table, embeddings.data(), 2, views.data(), views.size()),
      "views[0].left_out");
  views[0].left_out = nullptr;
  tt_augmentation changed = *views[1].augmentation;
  changed.transforms = TT_LIST_DROPOUT;
  views[1].augmentation = &changed;
  EXPECT_BAD_ARGUMENT(
      tt_embedding_gather(context, table, embeddings.data(), 2, views.data(), views.size()),
      "views[1].augmentation.transforms");
}

}  // namespace
}  // namespace tt_test
