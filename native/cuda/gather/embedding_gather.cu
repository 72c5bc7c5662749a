// tt_embedding_gather: pooled embedding rows of every feature; two views of the same rows in one pass.
#include "gather/block_map.h"
#include "gather/gather_call.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;

/// Arguments, with a Reading below the 4096 bytes that every CUDA takes.
struct Features {
  static constexpr int kMost = 40;
  int count;
  GatherFeature items[kMost];
};
static_assert(sizeof(Features) + sizeof(Reading<2>) <= 4096, "arguments that every CUDA takes");

/// The first of the kBags bags that the thread's group of lanes has, or one behind all.
template <int kBags>
__device__ __forceinline__ int64_t first_bag(const GatherFeature& feature, const Lanes& lanes) {
  const int64_t groups = kThreads / lanes.width();
  return ((blockIdx.x - feature.first_block) * groups +
          static_cast<int>(threadIdx.x) / lanes.width()) *
         kBags;
}

/// The lane's quads of a row in the pass from column `first` on.
template <bool kAligned, class Weight>
__device__ __forceinline__ void load_row(const Weight* weights, int32_t id, int dim,
                                         const Lanes& lanes, int first, float4 (&x)[kLaneQuads]) {
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) {
    x[q] = load_quad<kAligned>(weights + int64_t{id} * dim, quad_column(lanes, first, q), dim);
  }
}
template <bool kAligned>
__device__ __forceinline__ void store_row(const float4 (&x)[kLaneQuads], float* row, int dim,
                                          const Lanes& lanes, int first) {
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) {
    store_quad<kAligned>(x[q], row, quad_column(lanes, first, q), dim);
  }
}

template <int V>
struct Pooled {
  float4 sums[V][kLaneQuads];
  int64_t counts[V];
};

/// The sums of the columns from `first` on.
template <bool kAligned, bool kListed, class Weight, int V>
__device__ __forceinline__ void pool(const Bag<V>& bag, const Weight* weights, int dim,
                                     const Lanes& lanes, int first, Pooled<V>& pooled) {
#pragma unroll
  for (int v = 0; v < V; ++v) {
    pooled.counts[v] = 0;
#pragma unroll
    for (int q = 0; q < kLaneQuads; ++q) pooled.sums[v][q] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  }
  bag.template for_rounds<kListed>(
      lanes, [&](const int32_t(&ids)[kRound], const unsigned(&kept)[kRound]) {
        float4 x[kRound][kLaneQuads] = {};
#pragma unroll
        for (int u = 0; u < kRound; ++u) {
          if (kept[u] != 0) load_row<kAligned>(weights, ids[u], dim, lanes, first, x[u]);
        }
#pragma unroll
        for (int u = 0; u < kRound; ++u) {
#pragma unroll
          for (int v = 0; v < V; ++v) {
            if ((kept[u] >> v & 1u) == 0) continue;
            ++pooled.counts[v];
#pragma unroll
            for (int q = 0; q < kLaneQuads; ++q) pooled.sums[v][q] = pooled.sums[v][q] + x[u][q];
          }
        }
      });
#pragma unroll
  for (int v = 0; v < V; ++v) {  // masked and emptied bags hold the default
    if (pooled.counts[v] != 0) continue;
    pooled.counts[v] = 1;
    load_row<kAligned>(weights, 0, dim, lanes, first, pooled.sums[v]);
  }
}

/// What a feature's bags are: of one value each, of several, or those of a list's rows. A kernel each, since the last takes
/// twice the registers of the first, which needs many rows under way.
enum class Kind { kSingle, kSeveral, kListed };

// A group of lanes a bag.
template <bool kAligned, class Weight, int V, bool kListed>
__global__ void __launch_bounds__(kThreads) pool_kernel(Reading<V> reading, Features features) {
  const GatherFeature feature = item_of_block(features.items, features.count);
  const Lanes lanes(feature.lanes);
  const int64_t i = first_bag<1>(feature, lanes);
  if (i >= reading.n) return;
  const Bag<V> bag(reading, feature, i);
  const auto* weights = static_cast<const Weight*>(feature.weights);
  for (int first = 0; first < feature.dim; first += pass_columns(lanes)) {
    Pooled<V> pooled;
    pool<kAligned, kListed>(bag, weights, feature.dim, lanes, first, pooled);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const ViewReading& view = reading.views[v];
      const float scale = pooling_scale(feature.pooling, pooled.counts[v]);
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) pooled.sums[v][q] = scale * pooled.sums[v][q];
      store_row<kAligned>(pooled.sums[v], view.vectors + i * view.ld + feature.column, feature.dim,
                          lanes, first);
    }
  }
}

/// The rows that kRound bags of one value each look up, and what the views make of them.
template <int V>
struct Lookups {
  int32_t ids[kRound];
  unsigned
      live[kRound];  // bit v: view v does not mask the feature; 0 as well where there is no bag

  __device__ __forceinline__ Lookups(const Reading<V>& reading, const GatherFeature& feature,
                                     int64_t i, int count) {
    int32_t rows[kRound];
#pragma unroll
    for (int u = 0; u < kRound; ++u) rows[u] = u < count ? reading.rows[i + u] : 0;
#pragma unroll
    for (int u = 0; u < kRound; ++u) {
      live[u] = 0;
      ids[u] = u < count ? feature.values[rows[u]] : 0;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const uint64_t* masks = reading.views[v].masks;
        const bool masked =
            u >= count || (masks != nullptr && (masks[i + u] >> feature.index & 1) != 0);
        live[u] |= (masked ? 0u : 1u) << v;
      }
    }
  }
};

// A group of lanes kRound bags, whose rows it asks for at once.
template <bool kAligned, class Weight, int V>
__global__ void __launch_bounds__(kThreads) single_kernel(Reading<V> reading, Features features) {
  const GatherFeature feature = item_of_block(features.items, features.count);
  const Lanes lanes(feature.lanes);
  const int64_t i = first_bag<kRound>(feature, lanes);
  if (i >= reading.n) return;
  const int count = static_cast<int>(min(reading.n - i, int64_t{kRound}));
  const Lookups<V> lookups(reading, feature, i, count);
  const auto* weights = static_cast<const Weight*>(feature.weights);
  const int dim = feature.dim;
  for (int first = 0; first < dim; first += pass_columns(lanes)) {
    float4 x[kRound][kLaneQuads] = {};
#pragma unroll
    for (int u = 0; u < kRound; ++u) {
      if (lookups.live[u] != 0)
        load_row<kAligned>(weights, lookups.ids[u], dim, lanes, first, x[u]);
    }
#pragma unroll
    for (int u = 0; u < kRound; ++u) {
      if (u >= count) continue;
#pragma unroll
      for (int v = 0; v < V; ++v) {
        const ViewReading& view = reading.views[v];
        float4 y[kLaneQuads];  // a sum of one row; masked bags hold the default
#pragma unroll
        for (int q = 0; q < kLaneQuads; ++q) y[q] = make_float4(0.0f, 0.0f, 0.0f, 0.0f) + x[u][q];
        if ((lookups.live[u] >> v & 1u) == 0) load_row<kAligned>(weights, 0, dim, lanes, first, y);
        store_row<kAligned>(y, view.vectors + (i + u) * view.ld + feature.column, dim, lanes,
                            first);
      }
    }
  }
}

Kind kind_of(const GatherFeature& feature) {
  if (feature.through_list != 0) return Kind::kListed;
  return feature.offsets != nullptr ? Kind::kSeveral : Kind::kSingle;
}

/// Features that one kernel serves, for a group of views.
struct Launch {
  const tt_gather_view* views;
  int32_t first_view, view_count;
  bool aligned;
  int32_t dtype;
  Kind kind;
  Features features{};
  uint32_t blocks = 0;

  bool serves(const Launch& other) const {
    return features.count < Features::kMost && aligned == other.aligned && dtype == other.dtype &&
           kind == other.kind;
  }
  void add(const GatherFeature& feature, int64_t n) {
    GatherFeature& added = features.items[features.count++];
    added = feature;
    const int64_t groups = kind == Kind::kSingle ? (n + kRound - 1) / kRound : n;
    blocks = give_blocks(added, lanes_for(feature.dim), kThreads, groups, blocks);
  }
};

bool is_aligned(const tt_embedding& embedding, const GatherFeature& feature,
                const tt_gather_view* views, int32_t view_count) {
  bool aligned = quads_aligned(embedding.weights, embedding.dim, size_of(embedding.dtype)) &&
                 feature.column % 4 == 0;
  for (int32_t v = 0; v < view_count; ++v) {
    aligned = aligned && quads_aligned(views[v].vectors, views[v].ld, sizeof(float));
  }
  return aligned;
}

/// Of the views from first_view on, which have the same rows.
void add_launches(std::vector<Launch>& launches, const Table& table, const tt_embedding* embeddings,
                  const tt_gather_view* views, int32_t first_view, int32_t view_count) {
  const size_t begin = launches.size();
  const tt_gather_view* own = views + first_view;
  if (own->n == 0) return;
  for (const GatherFeature& f : gather_features(table, embeddings)) {
    const tt_embedding& embedding = embeddings[table.features[f.index].embedding];
    const Launch wanted{views,           first_view,
                        view_count,      is_aligned(embedding, f, own, view_count),
                        embedding.dtype, kind_of(f)};
    size_t at = begin;
    while (at < launches.size() && !launches[at].serves(wanted)) ++at;
    if (at == launches.size()) launches.push_back(wanted);
    launches[at].add(f, own->n);
  }
}

template <bool kAligned, class Weight, int V>
void launch_one(Context& context, const Table& table, const Launch& launch,
                const ViewReading* readings) {
  const Reading<V> reading =
      make_reading<V>(table, launch.views[launch.first_view], readings + launch.first_view);
  const auto run = [&](auto* kernel) {
    check(TT_LAUNCH(kernel, dim3(launch.blocks), dim3(kThreads), 0, context.stream, reading,
                    launch.features),
          "embedding_gather");
  };
  switch (launch.kind) {
    case Kind::kSingle:
      return run(single_kernel<kAligned, Weight, V>);
    case Kind::kSeveral:
      return run(pool_kernel<kAligned, Weight, V, false>);
    case Kind::kListed:
      return run(pool_kernel<kAligned, Weight, V, true>);
  }
}

template <bool kAligned, class Weight>
void launch_views(Context& context, const Table& table, const Launch& launch,
                  const ViewReading* readings) {
  if (launch.view_count == 2) {
    launch_one<kAligned, Weight, 2>(context, table, launch, readings);
  } else {
    launch_one<kAligned, Weight, 1>(context, table, launch, readings);
  }
}

}  // namespace

void embedding_gather(Context& context, const Table* table, const tt_embedding* embeddings,
                      int32_t /*embedding_count*/, const tt_gather_view* views,
                      int32_t view_count) {
  std::vector<Launch> launches;
  for (int32_t v = 0; v < view_count;) {
    const bool pair =
        v + 1 < view_count && views[v + 1].rows == views[v].rows && views[v + 1].n == views[v].n;
    add_launches(launches, *table, embeddings, views, v, pair ? 2 : 1);
    v += pair ? 2 : 1;
  }
  Scope scope(context.workspace);
  const std::vector<ViewReading> readings = read_views(context, scope, *table, views, view_count);
  for (const Launch& launch : launches) {
    const auto run = [&](auto* kernel) { kernel(context, *table, launch, readings.data()); };
    if (launch.dtype == TT_FLOAT32) {
      run(launch.aligned ? launch_views<true, float> : launch_views<false, float>);
    } else {
      run(launch.aligned ? launch_views<true, uint16_t> : launch_views<false, uint16_t>);
    }
  }
}

}  // namespace tt::cuda
