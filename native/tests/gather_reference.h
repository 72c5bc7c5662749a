// embedding_gather written down once more, plainly and from the text of twintail.h alone, in float64
// (and float32, as the measure of accuracy).
#ifndef TWINTAIL_TESTS_GATHER_REFERENCE_H
#define TWINTAIL_TESTS_GATHER_REFERENCE_H

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <vector>

#include "harness.h"

namespace tt_test {

using Word4 = std::array<uint32_t, 4>;

/// Philox4x32-10 as in the paper's figure: two multiplications, a permutation, a key schedule.
inline Word4 reference_philox(Word4 c, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t a = uint64_t{0xD2511F53} * c[0];
    const uint64_t b = uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<uint32_t>(b >> 32) ^ c[1] ^ key0, static_cast<uint32_t>(b),
         static_cast<uint32_t>(a >> 32) ^ c[3] ^ key1, static_cast<uint32_t>(a)};
    key0 += 0x9E3779B9;
    key1 += 0xBB67AE85;
  }
  return c;
}

struct Draw {
  uint64_t seed;
  uint32_t purpose;
  int64_t step;

  Word4 operator()(uint32_t position, uint32_t row, uint32_t feature, uint32_t view,
                   uint32_t draw) const {
    const uint32_t key0 = static_cast<uint32_t>(seed) ^ (purpose * 0x9E3779B9u);
    const uint32_t key1 = static_cast<uint32_t>(seed >> 32);
    const auto high = static_cast<uint32_t>((step >> 32) & 0xFFFF);
    return reference_philox({position, row, static_cast<uint32_t>(step & 0xFFFFFFFF),
                             feature | view << 8 | draw << 12 | high << 16},
                            key0, key1);
  }
};

inline uint64_t below(const Word4& u, uint64_t bound) {
  const uint64_t draw = u[0] | static_cast<uint64_t>(u[1]) << 32;
  return static_cast<uint64_t>(static_cast<unsigned __int128>(draw) * bound >> 64);
}

inline bool happens(uint32_t u, float rate) {
  return static_cast<double>(u) < std::round(static_cast<double>(rate) * 4294967296.0);
}

struct HostFeature {
  std::vector<int64_t> offsets;  // empty: single-valued
  std::vector<int32_t> values;
  int32_t vocabulary = 1;
  int32_t embedding = 0;
  int32_t pooling = TT_POOL_MEAN;
  int32_t through_list = 0;

  std::vector<int32_t> of(int64_t row) const {
    if (offsets.empty()) return {values[static_cast<size_t>(row)]};
    const auto r = static_cast<size_t>(row);
    return {values.begin() + offsets[r], values.begin() + offsets[r + 1]};
  }
};

struct HostTable {
  int64_t rows = 0;
  int64_t catalogue_rows = 0;
  std::vector<HostFeature> features;
  std::vector<int64_t> list_offsets;  // empty: no lists
  std::vector<int32_t> list_rows;

  std::vector<int32_t> list(int64_t row) const {
    const auto r = static_cast<size_t>(row);
    return {list_rows.begin() + list_offsets[r], list_rows.begin() + list_offsets[r + 1]};
  }
};

struct HostAugmentation {
  uint32_t transforms = 0;
  uint64_t maskable = 0;
  std::vector<uint64_t> correlated;
  float mask_rate = 0, value_rate = 0, list_rate = 0;
  int32_t second_view = TT_VIEW_COMPLEMENT;
  int32_t seed_scope = TT_SEED_PER_ROW;
  uint32_t purpose = 0;
  uint64_t seed = 0;
  int64_t step = 0;
};

struct HostView {
  std::vector<int32_t> rows;
  std::vector<int32_t> left_out;  // empty: NULL
  bool augmented = false;
  HostAugmentation augmentation;
  int64_t row_base = 0;
  int32_t view = 0;
  int64_t extra_ld = 0;  // floats between rows

  int64_t n() const { return static_cast<int64_t>(rows.size()); }
};

/// The features masked as a whole, by the header's words.
inline uint64_t reference_mask(const HostTable& table, const HostView& view, int64_t i) {
  if (!view.augmented) return 0;
  const HostAugmentation& a = view.augmentation;
  const Draw draw{a.seed, a.purpose, a.step};
  const uint32_t row =
      a.seed_scope == TT_SEED_PER_BATCH ? 0 : static_cast<uint32_t>(view.row_base + i);
  const auto own = static_cast<uint32_t>(view.view);
  std::vector<uint32_t> maskable;
  for (uint32_t f = 0; f < table.features.size(); ++f) {
    if ((a.maskable >> f & 1) != 0) maskable.push_back(f);
  }
  uint64_t mask = 0;
  if ((a.transforms & TT_RANDOM_MASK) != 0) {
    for (const uint32_t f : maskable) {
      if (happens(draw(f / 4, row, 0, own, TT_DRAW_MASK)[f % 4], a.mask_rate)) {
        mask |= uint64_t{1} << f;
      }
    }
  }
  if ((a.transforms & TT_COMPLEMENTARY) != 0) {
    std::vector<uint32_t> order = maskable;
    const size_t half = order.size() / 2;
    for (size_t t = 0; t < half; ++t) {
      const uint64_t j =
          below(draw(static_cast<uint32_t>(t), row, 0, 0, TT_DRAW_SPLIT), order.size() - t);
      std::swap(order[t], order[t + j]);
    }
    for (size_t t = 0; t < order.size(); ++t) {
      if ((t < half) != (view.view == 2)) mask |= uint64_t{1} << order[t];
    }
  }
  if ((a.transforms & TT_CORRELATED) != 0) {
    std::vector<uint64_t> sets;
    for (const uint64_t set : a.correlated) {
      if (set != 0) sets.push_back(set);
    }
    const bool independent = view.view == 2 && a.second_view == TT_VIEW_INDEPENDENT;
    const uint64_t set =
        sets[below(draw(0, row, 0, independent ? 2 : 0, TT_DRAW_SEED), sets.size())];
    mask |= view.view == 2 && !independent ? a.maskable & ~set : set;
  }
  return mask;
}

/// The values that are kept of feature f in row i of the view.
inline std::vector<int32_t> reference_values(const HostTable& table, const HostView& view,
                                             int64_t i, int32_t f) {
  const HostFeature& feature = table.features[static_cast<size_t>(f)];
  if ((reference_mask(table, view, i) >> f & 1) != 0) return {0};
  const HostAugmentation& a = view.augmentation;
  const Draw draw{a.seed, a.purpose, a.step};
  const auto row = static_cast<uint32_t>(view.row_base + i);
  const auto own = static_cast<uint32_t>(view.view);
  const int32_t table_row = view.rows[static_cast<size_t>(i)];
  const bool drops_values = view.augmented && (a.transforms & TT_VALUE_DROPOUT) != 0 &&
                            (a.maskable >> f & 1) != 0 &&
                            (!feature.offsets.empty() || feature.through_list == 1);

  std::vector<int32_t> all;      // of the row, before anything is removed
  std::vector<bool> list_keeps;  // whether the list keeps them
  if (feature.through_list == 0) {
    all = feature.of(table_row);
    list_keeps.assign(all.size(), true);
  } else {
    const std::vector<int32_t> list = table.list(table_row);
    for (uint32_t p = 0; p < list.size(); ++p) {
      bool keep = view.left_out.empty() || list[p] != view.left_out[static_cast<size_t>(i)];
      if (view.augmented && (a.transforms & TT_LIST_DROPOUT) != 0) {
        keep = keep && !happens(draw(p / 4, row, 0, own, TT_DRAW_LIST)[p % 4], a.list_rate);
      }
      for (const int32_t value : feature.of(list[p])) {
        all.push_back(value);
        list_keeps.push_back(keep);
      }
    }
  }
  std::vector<int32_t> kept;
  for (uint32_t p = 0; p < all.size(); ++p) {
    if (!list_keeps[p]) continue;
    if (drops_values &&
        happens(draw(p / 4, row, static_cast<uint32_t>(f), own, TT_DRAW_VALUE)[p % 4],
                a.value_rate)) {
      continue;
    }
    kept.push_back(all[p]);
  }
  if (kept.empty()) kept.push_back(0);
  return kept;
}

template <class Real>
Real pooling_factor(int32_t pooling, size_t count) {
  const auto n = static_cast<Real>(count);
  return pooling == TT_POOL_SUM ? 1 : pooling == TT_POOL_MEAN ? 1 / n : 1 / std::sqrt(n);
}

struct HostEmbedding {
  std::vector<float> weights;
  int64_t rows = 0;
  int32_t dim = 0;
};

inline int64_t width_of(const HostTable& table, const std::vector<HostEmbedding>& embeddings) {
  int64_t width = 0;
  for (const HostFeature& f : table.features) {
    width += embeddings[static_cast<size_t>(f.embedding)].dim;
  }
  return width;
}

/// vectors [n, width]
template <class Real>
std::vector<Real> reference_gather(const HostTable& table,
                                   const std::vector<HostEmbedding>& embeddings,
                                   const HostView& view) {
  std::vector<Real> vectors;
  for (int64_t i = 0; i < view.n(); ++i) {
    for (size_t f = 0; f < table.features.size(); ++f) {
      const HostFeature& feature = table.features[f];
      const HostEmbedding& e = embeddings[static_cast<size_t>(feature.embedding)];
      const std::vector<int32_t> kept = reference_values(table, view, i, static_cast<int32_t>(f));
      for (int32_t c = 0; c < e.dim; ++c) {
        Real sum = 0;
        for (const int32_t id : kept) {
          sum += static_cast<Real>(e.weights[static_cast<size_t>(int64_t{id} * e.dim + c)]);
        }
        vectors.push_back(sum * pooling_factor<Real>(feature.pooling, kept.size()));
      }
    }
  }
  return vectors;
}

/// For each embedding table: id -> gradient [dim]. gradients: of each view [n, width]. shuffle: adds the rows up in
/// an order of its choice.
template <class Real>
std::vector<std::map<int32_t, std::vector<Real>>> reference_backward(
    const HostTable& table, const std::vector<HostEmbedding>& embeddings,
    const std::vector<HostView>& views, const std::vector<std::vector<float>>& gradients,
    Random* shuffle = nullptr) {
  struct Row {
    size_t view;
    int64_t i;
  };
  std::vector<Row> rows;
  for (size_t v = 0; v < views.size(); ++v) {
    for (int64_t i = 0; i < views[v].n(); ++i) rows.push_back({v, i});
  }
  if (shuffle != nullptr) std::shuffle(rows.begin(), rows.end(), shuffle->engine());
  std::vector<std::map<int32_t, std::vector<Real>>> merged(embeddings.size());
  const int64_t width = width_of(table, embeddings);
  for (const Row& row : rows) {
    int64_t column = row.i * width;
    for (size_t f = 0; f < table.features.size(); ++f) {
      const HostFeature& feature = table.features[f];
      const auto e = static_cast<size_t>(feature.embedding);
      const int32_t dim = embeddings[e].dim;
      const std::vector<int32_t> kept =
          reference_values(table, views[row.view], row.i, static_cast<int32_t>(f));
      const Real factor = pooling_factor<Real>(feature.pooling, kept.size());
      for (const int32_t id : kept) {
        std::vector<Real>& sum = merged[e][id];
        sum.resize(static_cast<size_t>(dim));
        for (int32_t c = 0; c < dim; ++c) {
          sum[static_cast<size_t>(c)] +=
              factor * static_cast<Real>(gradients[row.view][static_cast<size_t>(column + c)]);
        }
      }
      column += dim;
    }
  }
  return merged;
}

}  // namespace tt_test
#endif
