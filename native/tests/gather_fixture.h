// Puts the host structures of gather_reference.h onto a device and calls the gather ops.
#ifndef TWINTAIL_TESTS_GATHER_FIXTURE_H
#define TWINTAIL_TESTS_GATHER_FIXTURE_H

#include <memory>

#include "gather_reference.h"

namespace tt_test {

class DeviceTable {
 public:
  DeviceTable(const Context& context, const HostTable& host) {
    std::vector<tt_feature> features;
    for (const HostFeature& h : host.features) {
      tt_feature f{};
      if (!h.offsets.empty()) f.offsets = keep(context, h.offsets);
      f.values = keep(context, h.values);
      f.value_count = static_cast<int64_t>(h.values.size());
      f.vocabulary = h.vocabulary;
      f.embedding = h.embedding;
      f.pooling = h.pooling;
      f.through_list = h.through_list;
      features.push_back(f);
    }
    tt_feature_table_options options{};
    options.struct_size = sizeof options;
    options.feature_count = static_cast<int32_t>(features.size());
    options.features = features.data();
    options.rows = host.rows;
    if (!host.list_offsets.empty()) {
      options.catalogue_rows = host.catalogue_rows;
      options.list_offsets = keep(context, host.list_offsets);
      options.list_rows = keep(context, host.list_rows);
      options.list_count = static_cast<int64_t>(host.list_rows.size());
    }
    TT_MUST(tt_feature_table_create(context, &options, &handle_));
  }
  ~DeviceTable() { TT_MUST(tt_feature_table_destroy(handle_)); }
  DeviceTable(const DeviceTable&) = delete;
  DeviceTable& operator=(const DeviceTable&) = delete;

  operator const tt_feature_table*() const { return handle_; }

 private:
  const int64_t* keep(const Context& context, const std::vector<int64_t>& v) {
    longs_.push_back(std::make_unique<Buffer<int64_t>>(context, v));
    return longs_.back()->get();
  }
  const int32_t* keep(const Context& context, const std::vector<int32_t>& v) {
    ints_.push_back(std::make_unique<Buffer<int32_t>>(context, v));
    return ints_.back()->get();
  }

  std::vector<std::unique_ptr<Buffer<int64_t>>> longs_;
  std::vector<std::unique_ptr<Buffer<int32_t>>> ints_;
  tt_feature_table* handle_ = nullptr;
};

class DeviceEmbeddings {
 public:
  /// states: how many optimiser states each table has; state1 has one float a row if rowwise. In bfloat16 weights are cut.
  DeviceEmbeddings(const Context& context, const std::vector<HostEmbedding>& host, int states = 0,
                   bool rowwise = false, int32_t dtype = TT_FLOAT32) {
    for (const HostEmbedding& h : host) {
      tt_embedding e{};
      if (dtype == TT_BFLOAT16) {
        halves_.push_back(std::make_unique<Buffer<uint16_t>>(context, upper_halves(h.weights)));
        e.weights = halves_.back()->get();
      } else {
        weights_.push_back(std::make_unique<Buffer<float>>(context, h.weights));
        e.weights = weights_.back()->get();
      }
      const size_t state_size = rowwise ? static_cast<size_t>(h.rows) : h.weights.size();
      for (int s = 0; s < states; ++s) {
        states_.push_back(std::make_unique<Buffer<float>>(context, std::vector<float>(state_size)));
        (s == 0 ? e.state1 : e.state2) = states_.back()->get();
      }
      e.rows = h.rows;
      e.dim = h.dim;
      e.dtype = dtype;
      all_.push_back(e);
    }
  }

  const tt_embedding* data() const { return all_.data(); }
  const tt_embedding& operator[](size_t i) const { return all_[i]; }
  int32_t size() const { return static_cast<int32_t>(all_.size()); }
  std::vector<float> weights(size_t i) const { return weights_[i]->read(); }
  /// All weights and states, for comparisons bit by bit.
  std::string all_bits() const {
    std::string all;
    for (const auto& b : weights_) all += bits(b->read());
    for (const auto& b : halves_) all += bits(b->read());
    for (const auto& b : states_) all += bits(b->read());
    return all;
  }

 private:
  static std::vector<uint16_t> upper_halves(const std::vector<float>& x) {
    std::vector<uint16_t> halves;
    for (const float f : x) {
      uint32_t word;
      std::memcpy(&word, &f, 4);
      halves.push_back(static_cast<uint16_t>(word >> 16));
    }
    return halves;
  }

  std::vector<std::unique_ptr<Buffer<float>>> weights_, states_;
  std::vector<std::unique_ptr<Buffer<uint16_t>>> halves_;
  std::vector<tt_embedding> all_;
};

/// tt_gather_view structs with device memory behind them. Views with equal rows share one array, as in
/// the two views of a self-supervised step.
class DeviceViews {
 public:
  DeviceViews(const Context& context, const std::vector<HostView>& host, int64_t width)
      : host_(host), width_(width), augmentations_(host.size()) {
    for (size_t v = 0; v < host.size(); ++v) {
      const HostView& h = host[v];
      tt_gather_view view{};
      if (v > 0 && h.rows == host[v - 1].rows) {
        view.rows = all_[v - 1].rows;
      } else {
        view.rows = keep(context, h.rows);
      }
      if (!h.left_out.empty()) view.left_out = keep(context, h.left_out);
      if (h.augmented) view.augmentation = fill(augmentations_[v], h.augmentation);
      view.n = h.n();
      view.ld = width + h.extra_ld;
      vectors_.push_back(std::make_unique<Buffer<float>>(context, view.n * view.ld));
      view.vectors = vectors_.back()->get();
      view.row_base = h.row_base;
      view.view = h.view;
      all_.push_back(view);
    }
  }

  const tt_gather_view* data() const { return all_.data(); }
  int32_t size() const { return static_cast<int32_t>(all_.size()); }
  tt_gather_view& operator[](size_t v) { return all_[v]; }

  /// [n, width] of view v; what lies between the rows must still be poison.
  std::vector<float> vectors(size_t v) const {
    const std::vector<float> all = vectors_[v]->read();
    const int64_t ld = all_[v].ld;
    std::vector<float> dense;
    bool touched = false;
    for (int64_t i = 0; i < all_[v].n; ++i) {
      for (int64_t c = 0; c < ld; ++c) {
        const float x = all[static_cast<size_t>(i * ld + c)];
        if (c < width_) {
          dense.push_back(x);
        } else {
          touched |= !std::isnan(x);
        }
      }
    }
    EXPECT_FALSE(touched) << "columns behind the vectors were written";
    return dense;
  }
  void set_gradient(size_t v, const std::vector<float>& gradient) {
    const int64_t ld = all_[v].ld;
    std::vector<float> all(static_cast<size_t>(all_[v].n * ld), NAN);
    for (int64_t i = 0; i < all_[v].n; ++i) {
      std::copy_n(gradient.data() + i * width_, width_, all.data() + i * ld);
    }
    vectors_[v]->write(all);
  }

 private:
  const int32_t* keep(const Context& context, const std::vector<int32_t>& v) {
    ints_.push_back(std::make_unique<Buffer<int32_t>>(context, v));
    return ints_.back()->get();
  }
  static const tt_augmentation* fill(tt_augmentation& a, const HostAugmentation& h) {
    a = tt_augmentation{};
    a.struct_size = sizeof a;
    a.transforms = h.transforms;
    a.maskable = h.maskable;
    a.correlated = h.correlated.empty() ? nullptr : h.correlated.data();
    a.mask_rate = h.mask_rate;
    a.value_rate = h.value_rate;
    a.list_rate = h.list_rate;
    a.second_view = h.second_view;
    a.seed_scope = h.seed_scope;
    a.purpose = h.purpose;
    a.seed = h.seed;
    a.step = h.step;
    return &a;
  }

  const std::vector<HostView>& host_;
  int64_t width_;
  std::vector<tt_augmentation> augmentations_;
  std::vector<std::unique_ptr<Buffer<int32_t>>> ints_;
  std::vector<std::unique_ptr<Buffer<float>>> vectors_;
  std::vector<tt_gather_view> all_;
};

inline HostFeature random_feature(Random& random, int64_t rows, bool multi, int32_t vocabulary,
                                  int32_t embedding, int64_t most_values = 9) {
  HostFeature f;
  f.vocabulary = vocabulary;
  f.embedding = embedding;
  f.pooling = static_cast<int32_t>(random.integer(0, 2));
  if (!multi) {
    f.values = random.integers(rows, 0, vocabulary - 1);
    return f;
  }
  f.offsets.push_back(0);
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t count = random.chance(0.1) ? 0 : random.integer(1, most_values);
    for (int64_t i = 0; i < count; ++i) {
      f.values.push_back(static_cast<int32_t>(random.integer(0, vocabulary - 1)));
    }
    f.offsets.push_back(static_cast<int64_t>(f.values.size()));
  }
  return f;
}

/// Lists of up to most_list catalogue rows, some empty, with repeats.
inline void add_lists(Random& random, HostTable& table, int64_t catalogue_rows, int64_t most_list) {
  table.catalogue_rows = catalogue_rows;
  table.list_offsets.push_back(0);
  for (int64_t r = 0; r < table.rows; ++r) {
    const int64_t count = random.chance(0.1) ? 0 : random.integer(1, most_list);
    for (int64_t i = 0; i < count; ++i) {
      table.list_rows.push_back(static_cast<int32_t>(random.integer(0, catalogue_rows - 1)));
    }
    table.list_offsets.push_back(static_cast<int64_t>(table.list_rows.size()));
  }
}

inline HostEmbedding random_embedding(Random& random, int64_t rows, int32_t dim) {
  return HostEmbedding{random.normals(rows * dim), rows, dim};
}

/// A set of the first k features, 1 <= k <= 64, each in it with probability one half.
inline uint64_t random_features(Random& random, int32_t k) {
  const auto low = static_cast<uint64_t>(random.integer(0, (int64_t{1} << 32) - 1));
  const auto high = static_cast<uint64_t>(random.integer(0, (int64_t{1} << 32) - 1));
  return (high << 32 | low) & ~uint64_t{0} >> (64 - k);
}

/// Some combination of transformations that is allowed.
inline HostAugmentation random_augmentation(Random& random, const HostTable& table) {
  HostAugmentation a;
  const auto k = static_cast<int32_t>(table.features.size());
  a.maskable = random_features(random, k) | 1;
  a.transforms = static_cast<uint32_t>(random.integer(0, 3));
  const int64_t pick = random.integer(0, 2);
  if (pick == 1) a.transforms |= TT_COMPLEMENTARY;
  if (pick == 2) a.transforms |= TT_CORRELATED;
  if (!table.list_offsets.empty() && random.chance(0.5)) a.transforms |= TT_LIST_DROPOUT;
  for (int32_t f = 0; f < k; ++f) {
    const auto any = random_features(random, k);
    a.correlated.push_back(random.chance(0.7) ? any & a.maskable : 0);
  }
  a.correlated[0] = 1;
  a.mask_rate = 0.3f;
  a.value_rate = 0.4f;
  a.list_rate = 0.25f;
  a.second_view = static_cast<int32_t>(random.integer(0, 1));
  a.seed_scope = random.chance(0.2) ? TT_SEED_PER_BATCH : TT_SEED_PER_ROW;
  a.purpose = static_cast<uint32_t>(random.integer(0, 100));
  a.seed = static_cast<uint64_t>(random.integer(0, INT64_MAX));
  a.step = random.integer(0, (int64_t{1} << 47));
  return a;
}

/// Three readings of a table as in a training step: clicked rows as they are, and two augmented views of
/// other rows.
inline std::vector<HostView> random_views(Random& random, const HostTable& table, int64_t n) {
  std::vector<HostView> views(3);
  views[0].rows = random.integers(n, 0, table.rows - 1);
  views[1].rows = random.integers(n + 3, 0, table.rows - 1);
  views[2].rows = views[1].rows;
  const HostAugmentation shared = random_augmentation(random, table);
  for (int32_t v = 1; v <= 2; ++v) {
    HostView& view = views[static_cast<size_t>(v)];
    view.view = v;
    view.augmented = true;
    view.augmentation = shared;
    view.row_base = 17;
  }
  views[2].extra_ld = 5;
  if (!table.list_offsets.empty()) {
    for (const int32_t row : views[0].rows) {
      const std::vector<int32_t> list = table.list(row);
      views[0].left_out.push_back(list.empty() || random.chance(0.2) ? -1 : list[0]);
    }
  }
  return views;
}

/// A table with everything: single and multi-valued features, lists, shared embeddings.
struct Scene {
  HostTable table;
  std::vector<HostEmbedding> embeddings;
  std::vector<HostView> views;
  int64_t width = 0;
};

inline Scene random_scene(Random& random, int64_t n, const std::vector<int32_t>& dims, bool lists) {
  Scene scene;
  scene.table.rows = random.integer(5, 60);
  const int64_t catalogue = random.integer(3, 40);
  if (lists) add_lists(random, scene.table, catalogue, 13);
  for (size_t f = 0; f < dims.size(); ++f) {
    const auto vocabulary = static_cast<int32_t>(random.integer(1, 50));
    const bool through = lists && f % 2 == 1;
    scene.table.features.push_back(random_feature(random, through ? catalogue : scene.table.rows,
                                                  random.chance(0.6), vocabulary,
                                                  static_cast<int32_t>(f)));
    scene.table.features.back().through_list = through ? 1 : 0;
    scene.embeddings.push_back(random_embedding(random, vocabulary + 2, dims[f]));
  }
  if (dims.size() > 2) {  // the last feature shares the first one's embedding
    HostFeature& last = scene.table.features.back();
    last.embedding = 0;
    scene.embeddings[0].rows = std::max<int64_t>(scene.embeddings[0].rows, last.vocabulary);
    scene.embeddings[0].weights = random.normals(scene.embeddings[0].rows * dims[0]);
  }
  scene.views = random_views(random, scene.table, n);
  scene.width = width_of(scene.table, scene.embeddings);
  return scene;
}

}  // namespace tt_test
#endif
