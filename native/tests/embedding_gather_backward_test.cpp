#include "gather_fixture.h"

namespace tt_test {
namespace {

struct Gradient {
  std::vector<int32_t> ids;
  std::vector<float> values;  // [ids, dim]
};

/// Of each table: id -> gradient [dim].
template <class Real>
using Tables = std::vector<std::map<int32_t, std::vector<Real>>>;

class EmbeddingGatherBackwardTest : public OpTest {
 protected:
  static std::vector<std::vector<float>> random_gradients(Random& random, const Scene& scene) {
    std::vector<std::vector<float>> all;
    for (const HostView& view : scene.views) all.push_back(random.normals(view.n() * scene.width));
    return all;
  }

  std::vector<Gradient> backward(const Scene& scene,
                                 const std::vector<std::vector<float>>& gradients,
                                 int32_t threads = 2) {
    const Context context(target(), threads);
    const DeviceTable table(context, scene.table);
    const DeviceEmbeddings embeddings(context, scene.embeddings);
    DeviceViews views(context, scene.views, scene.width);
    for (size_t v = 0; v < gradients.size(); ++v) views.set_gradient(v, gradients[v]);
    std::vector<std::unique_ptr<Buffer<int32_t>>> ids;
    std::vector<std::unique_ptr<Buffer<float>>> values;
    std::vector<std::unique_ptr<Buffer<int64_t>>> counts;
    std::vector<tt_sparse_gradient> out;
    for (const HostEmbedding& e : scene.embeddings) {
      ids.push_back(std::make_unique<Buffer<int32_t>>(context, e.rows));
      values.push_back(std::make_unique<Buffer<float>>(context, e.rows * e.dim));
      counts.push_back(std::make_unique<Buffer<int64_t>>(context, 1));
      out.push_back({ids.back()->get(), values.back()->get(), counts.back()->get(), e.rows});
    }
    EXPECT_EQ(tt_embedding_gather_backward(context, table, embeddings.data(), embeddings.size(),
                                           views.data(), views.size(), out.data()),
              TT_OK)
        << last_message();
    std::vector<Gradient> all;
    for (size_t t = 0; t < out.size(); ++t) {
      const int64_t count = counts[t]->read()[0];
      Gradient g{ids[t]->read(), values[t]->read()};
      for (size_t i = static_cast<size_t>(count); i < g.ids.size(); ++i) {
        EXPECT_EQ(g.ids[i], -1) << "written behind the count";
      }
      g.ids.resize(static_cast<size_t>(count));
      g.values.resize(static_cast<size_t>(count * scene.embeddings[t].dim));
      all.push_back(std::move(g));
    }
    return all;
  }

  /// Ids and values of one table, from the reference's map.
  template <class Real>
  static std::vector<Real> flat(const std::map<int32_t, std::vector<Real>>& merged,
                                std::vector<int32_t>* ids = nullptr) {
    std::vector<Real> all;
    for (const auto& [id, values] : merged) {
      if (ids != nullptr) ids->push_back(id);
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }

  /// The sums in plain float32, added up in several orders: of each sum the one furthest from the exact one. A table
  /// of few rows has few sums, and all of them may be exact by luck in a single order.
  static Tables<float> plain_float32(Random& random, const Scene& scene,
                                     const std::vector<std::vector<float>>& gradients,
                                     const Tables<double>& exact) {
    constexpr int kShuffles = 3;
    Tables<float> worst =
        reference_backward<float>(scene.table, scene.embeddings, scene.views, gradients);
    for (int k = 0; k < kShuffles; ++k) {
      const Tables<float> plain =
          reference_backward<float>(scene.table, scene.embeddings, scene.views, gradients, &random);
      for (size_t t = 0; t < exact.size(); ++t) {
        for (const auto& [id, sums] : exact[t]) {
          for (size_t c = 0; c < sums.size(); ++c) {
            const auto error = [&](const Tables<float>& of) {
              return std::abs(static_cast<double>(of[t].at(id)[c]) - sums[c]);
            };
            if (error(plain) > error(worst)) worst[t][id][c] = plain[t].at(id)[c];
          }
        }
      }
    }
    return worst;
  }

  void expect_right(Random& random, const Scene& scene) {
    const std::vector<std::vector<float>> gradients = random_gradients(random, scene);
    std::vector<std::vector<float>> absolute = gradients;
    for (std::vector<float>& g : absolute) {
      for (float& x : g) x = std::abs(x);
    }
    const std::vector<Gradient> got = backward(scene, gradients);
    const auto exact =
        reference_backward<double>(scene.table, scene.embeddings, scene.views, gradients);
    const auto plain = plain_float32(random, scene, gradients, exact);
    const auto sizes =
        reference_backward<double>(scene.table, scene.embeddings, scene.views, absolute);
    for (size_t t = 0; t < exact.size(); ++t) {
      std::vector<int32_t> ids;
      const std::vector<double> exact_values = flat(exact[t], &ids);
      ASSERT_EQ(got[t].ids, ids) << "table " << t;
      double magnitude = 0;
      for (const double size : flat(sizes[t])) magnitude = std::max(magnitude, size);
      expect_as_good_as_plain(got[t].values, flat(plain[t]), exact_values,
                              "table " + std::to_string(t), magnitude);
    }
  }
};
TT_ON_ALL_TARGETS(EmbeddingGatherBackwardTest);

// A feature with values {1, 2}, {2}, {} (default), mean; gradients 6, 10, 4:
// id 0: 4 (the empty row), id 1: 6 / 2 = 3, id 2: 6 / 2 + 10 = 13.
TEST_P(EmbeddingGatherBackwardTest, ByHand) {
  Scene scene;
  scene.table.rows = 3;
  HostFeature feature;
  feature.offsets = {0, 2, 3, 3};
  feature.values = {1, 2, 2};
  feature.vocabulary = 5;
  feature.pooling = TT_POOL_MEAN;
  scene.table.features = {feature};
  scene.embeddings = {HostEmbedding{std::vector<float>(5), 5, 1}};
  scene.views.resize(1);
  scene.views[0].rows = {0, 1, 2};
  scene.width = 1;
  const Gradient got = backward(scene, {{6, 10, 4}})[0];
  EXPECT_EQ(got.ids, (std::vector<int32_t>{0, 1, 2}));
  EXPECT_EQ(got.values, (std::vector<float>{4, 3, 13}));
}

TEST_P(EmbeddingGatherBackwardTest, RandomTables) {
  for (uint32_t round = 0; round < 24; ++round) {
    Random random(round);
    const int64_t n = std::vector<int64_t>{1, 2, 63, 64, 65, 129, 300}[round % 7];
    SCOPED_TRACE("round " + std::to_string(round));
    expect_right(random, random_scene(random, n, {16, 1, 33, 64, 16}, round % 2 == 1));
  }
}

TEST_P(EmbeddingGatherBackwardTest, AnyDimension) {
  for (const int32_t dim : {1, 2, 15, 16, 17, 31, 32, 48, 63, 64, 65, 127, 128, 129, 200, 257}) {
    Random random(static_cast<uint32_t>(dim));
    SCOPED_TRACE("dim " + std::to_string(dim));
    expect_right(random, random_scene(random, 20, {dim, dim}, dim % 2 == 1));
  }
}

TEST_P(EmbeddingGatherBackwardTest, ManyFeatures) {
  Random random;
  expect_right(random, random_scene(random, 70, std::vector<int32_t>(TT_MAX_FEATURES, 4), true));
}

/// Everything falls on few ids: runs of thousands, the default among them.
Scene long_runs(Random& random, int64_t n) {
  Scene scene = random_scene(random, n, {24, 8}, false);
  scene.table.features[0] = random_feature(random, scene.table.rows, true, 3, 0);
  scene.table.features[1] = random_feature(random, scene.table.rows, false, 2, 1);
  scene.embeddings = {random_embedding(random, 3, 24), random_embedding(random, 2, 8)};
  return scene;
}

TEST_P(EmbeddingGatherBackwardTest, LongRuns) {
  Random random;
  expect_right(random, long_runs(random, 3000));
}

// Over many results: no worse than twice a plain float32 sum (in fact better, for long runs).
TEST_P(EmbeddingGatherBackwardTest, AccuracyOfLongSums) {
  Random random;
  Scene scene;
  scene.table.rows = 200;
  scene.table.features = {random_feature(random, 200, true, 50, 0)};
  scene.table.features[0].pooling = TT_POOL_MEAN;
  scene.embeddings = {random_embedding(random, 50, 64)};
  scene.views.resize(1);
  scene.views[0].rows = random.integers(9000, 0, 199);
  scene.width = 64;
  const std::vector<std::vector<float>> gradients = random_gradients(random, scene);
  const auto exact =
      reference_backward<double>(scene.table, scene.embeddings, scene.views, gradients);
  const auto plain =
      reference_backward<float>(scene.table, scene.embeddings, scene.views, gradients);
  const double plain_error = rms_error(flat(plain[0]), flat(exact[0]));
  EXPECT_LE(rms_error(backward(scene, gradients)[0].values, flat(exact[0])), 2 * plain_error);
}

// Exactly at and around the length where runs are split: 511, 512, 513, 1024, 1025 lookups of one id.
TEST_P(EmbeddingGatherBackwardTest, RunsAroundTheSplit) {
  for (const int64_t n : {511, 512, 513, 1024, 1025}) {
    Random random;
    Scene scene;
    scene.table.rows = 1;
    HostFeature feature;
    feature.values = {3};
    feature.vocabulary = 4;
    scene.table.features = {feature};
    scene.embeddings = {random_embedding(random, 4, 17)};
    scene.views.resize(1);
    scene.views[0].rows.assign(static_cast<size_t>(n), 0);
    scene.width = 17;
    SCOPED_TRACE(n);
    expect_right(random, scene);
  }
}

/// Rows 0 and 1 are far longer than all others, of which many are empty: what the host can be sure of is far from
/// what there is. first_row: of the rows that are read.
Scene skewed(Random& random, int64_t n, int64_t first_row) {
  Scene scene;
  scene.table.rows = 40;
  constexpr int64_t kCatalogue = 30;
  HostFeature direct = random_feature(random, 40, false, 200, 0);
  const auto lengths = [&](std::vector<int64_t>& offsets, int64_t rows, int64_t longest) {
    offsets.assign(1, 0);
    for (int64_t r = 0; r < rows; ++r)
      offsets.push_back(offsets.back() + (r == 0 ? longest : random.integer(0, 2)));
    return offsets.back();
  };
  direct.values = random.integers(lengths(direct.offsets, 40, 3000), 0, 199);
  HostFeature listed = random_feature(random, kCatalogue, false, 50, 1);
  listed.through_list = 1;
  HostFeature multi = listed;
  multi.embedding = 2;
  multi.values = random.integers(lengths(multi.offsets, kCatalogue, 70), 0, 49);
  scene.table.features = {direct, listed, multi};
  scene.table.catalogue_rows = kCatalogue;
  scene.table.list_rows = random.integers(lengths(scene.table.list_offsets, 40, 90), 1, 29);
  scene.table.list_rows[0] = 0;
  scene.embeddings = {random_embedding(random, 200, 12), random_embedding(random, 50, 7),
                      random_embedding(random, 50, 36)};
  scene.width = 55;
  scene.views = random_views(random, scene.table, n);
  for (HostView& view : scene.views) {
    for (int32_t& row : view.rows) row = std::max(row, static_cast<int32_t>(first_row));
  }
  scene.views[2].rows = scene.views[1].rows;
  return scene;
}

TEST_P(EmbeddingGatherBackwardTest, SkewedLists) {
  for (uint32_t round = 0; round < 4; ++round) {
    Random random(round);
    SCOPED_TRACE("round " + std::to_string(round));
    expect_right(random, skewed(random, 400, round % 2 == 0 ? 1 : 0));
  }
}

TEST_P(EmbeddingGatherBackwardTest, EmptyListsOnly) {
  Random random;
  Scene scene = skewed(random, 300, 1);
  scene.table.features[0].offsets.assign(41, 0);
  scene.table.features[0].values.clear();
  scene.table.list_offsets.assign(41, 0);
  scene.table.list_rows.clear();
  for (HostView& view : scene.views) view.left_out.clear();
  expect_right(random, scene);
}

// The longest row times the batch is more than any device reserves memory for.
TEST_P(EmbeddingGatherBackwardTest, OneRowTooLongForABound) {
  Random random;
  Scene scene = skewed(random, 300, 1);
  HostFeature& direct = scene.table.features[0];
  const std::vector<int32_t> rest(direct.values.begin() + 3000, direct.values.end());
  constexpr int64_t kLongest = 500000;
  direct.values = random.integers(kLongest, 0, 199);
  direct.values.insert(direct.values.end(), rest.begin(), rest.end());
  for (size_t r = 1; r < direct.offsets.size(); ++r) direct.offsets[r] += kLongest - 3000;
  expect_right(random, scene);
}

// Many distinct ids over a wide range, so that partitions are really sorted.
TEST_P(EmbeddingGatherBackwardTest, WideVocabulary) {
  Random random;
  Scene scene;
  scene.table.rows = 4000;
  scene.table.features = {random_feature(random, 4000, true, 300000, 0),
                          random_feature(random, 4000, true, 70000, 1)};
  for (int32_t& value : scene.table.features[1].values) {
    if (random.chance(0.5)) value %= 100;  // popular ones
  }
  scene.embeddings = {random_embedding(random, 300000, 3), random_embedding(random, 70000, 2)};
  scene.views = random_views(random, scene.table, 5000);
  scene.width = 5;
  expect_right(random, scene);
}

TEST_P(EmbeddingGatherBackwardTest, SameBitsForAnyThreads) {
  Random random;
  for (const Scene& scene :
       {random_scene(random, 700, {16, 40, 8, 64}, true), long_runs(random, 4000)}) {
    const std::vector<std::vector<float>> gradients = random_gradients(random, scene);
    const std::vector<Gradient> first = backward(scene, gradients, thread_counts()[0]);
    for (const int32_t threads : thread_counts()) {
      const std::vector<Gradient> got = backward(scene, gradients, threads);
      for (size_t t = 0; t < got.size(); ++t) {
        EXPECT_EQ(got[t].ids, first[t].ids);
        EXPECT_EQ(bits(got[t].values), bits(first[t].values)) << threads << " threads, table " << t;
      }
    }
  }
}

TEST_P(EmbeddingGatherBackwardTest, NoRows) {
  Random random;
  Scene scene = random_scene(random, 3, {4, 4}, false);
  for (HostView& view : scene.views) view.rows.clear();
  for (const Gradient& g : backward(scene, {{}, {}, {}})) EXPECT_TRUE(g.ids.empty());
}

TEST_P(EmbeddingGatherBackwardTest, BadArguments) {
  Random random;
  const Scene scene = random_scene(random, 40, {4, 6}, false);
  const Context context(target());
  const DeviceTable table(context, scene.table);
  const DeviceEmbeddings embeddings(context, scene.embeddings);
  DeviceViews views(context, scene.views, scene.width);
  for (size_t v = 0; v < scene.views.size(); ++v) {
    views.set_gradient(v, random.normals(scene.views[v].n() * scene.width));
  }
  const int64_t rows = std::max(scene.embeddings[0].rows, scene.embeddings[1].rows);
  const Buffer<int32_t> ids0(context, rows), ids1(context, rows);
  const Buffer<float> values0(context, rows * 6), values1(context, rows * 6);
  const Buffer<int64_t> counts(context, 2);
  const tt_sparse_gradient good[2] = {{ids0, values0, counts.get(), rows},
                                      {ids1, values1, counts.get() + 1, rows}};
  const auto call = [&](const tt_sparse_gradient* gradients) {
    return tt_embedding_gather_backward(context, table, embeddings.data(), 2, views.data(),
                                        views.size(), gradients);
  };
  TT_OK_OR_FAIL(call(good));
  const int64_t touched = counts.read()[1];
  EXPECT_BAD_ARGUMENT(tt_embedding_gather_backward(nullptr, table, embeddings.data(), 2,
                                                   views.data(), views.size(), good),
                      "context");
  EXPECT_BAD_ARGUMENT(call(nullptr), "gradients");
  const auto with = [&](auto change, const char* name) {
    tt_sparse_gradient changed[2] = {good[0], good[1]};
    change(changed[1]);
    EXPECT_BAD_ARGUMENT(call(changed), name);
  };
  with([](tt_sparse_gradient& g) { g.ids = nullptr; }, "gradients[1].ids");
  with([](tt_sparse_gradient& g) { g.values = nullptr; }, "gradients[1].values");
  with([](tt_sparse_gradient& g) { g.count = nullptr; }, "gradients[1].count");
  with([](tt_sparse_gradient& g) { g.capacity = -1; }, "gradients[1].capacity");
  with([&](tt_sparse_gradient& g) { g.capacity = touched - 1; }, "gradients[1].capacity");
  tt_sparse_gradient exact[2] = {good[0], good[1]};
  exact[1].capacity = touched;
  TT_EXPECT_OK(call(exact));
}

}  // namespace
}  // namespace tt_test
