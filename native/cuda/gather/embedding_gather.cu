// tt_embedding_gather: pooled embedding rows of every feature; two views of the same rows in one pass.
#include "gather/block_map.h"
#include "gather/gather_call.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kInFlight = 4;  // embedding rows that a lane loads before it adds them

template <int V>
struct Pooled {
  float4 sums[V][kLaneQuads];
  int64_t counts[V];
};

/// The sums of the columns from `first` on.
template <bool kAligned, class Weight, int V>
__device__ __forceinline__ void pool(const Bag<V>& bag, const GatherFeature& feature,
                                     const Lanes& lanes, int first, Pooled<V>& pooled) {
  const auto* weights = static_cast<const Weight*>(feature.weights);
  const int dim = feature.dim;  // here, or every load of a row reads it from memory first
  const auto load = [&](int32_t id, float4(&x)[kLaneQuads]) {
#pragma unroll
    for (int q = 0; q < kLaneQuads; ++q) {
      x[q] = load_quad<kAligned>(weights + int64_t{id} * dim, quad_column(lanes, first, q), dim);
    }
  };
#pragma unroll
  for (int v = 0; v < V; ++v) {
    pooled.counts[v] = 0;
#pragma unroll
    for (int q = 0; q < kLaneQuads; ++q) pooled.sums[v][q] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
  }
  bag.for_tiles(lanes, [&](int32_t id, unsigned kept, int count) {
    unsigned keeps[V];
    unsigned any = 0;
#pragma unroll
    for (int v = 0; v < V; ++v) {
      keeps[v] = lanes.ballot((kept >> v & 1u) != 0);
      any |= keeps[v];
      pooled.counts[v] += __popc(keeps[v]);
    }
    for (int j = 0; j < count; j += kInFlight) {
      float4 x[kInFlight][kLaneQuads] = {};
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
        const int32_t other = lanes.from(id, j + u);
        if ((any >> (j + u) & 1u) != 0) load(other, x[u]);
      }
#pragma unroll
      for (int u = 0; u < kInFlight; ++u) {
#pragma unroll
        for (int v = 0; v < V; ++v) {
          if ((keeps[v] >> (j + u) & 1u) == 0) continue;
#pragma unroll
          for (int q = 0; q < kLaneQuads; ++q) {
            pooled.sums[v][q] = pooled.sums[v][q] + x[u][q];
          }
        }
      }
    }
  });
#pragma unroll
  for (int v = 0; v < V; ++v) {  // masked and emptied bags hold the default
    if (pooled.counts[v] != 0) continue;
    pooled.counts[v] = 1;
    load(0, pooled.sums[v]);
  }
}

// A group of lanes a bag.
template <bool kAligned, class Weight, int V>
__global__ void __launch_bounds__(kThreads)
    gather_kernel(Reading<V> reading, const GatherFeature* features, int feature_count) {
  const GatherFeature& feature = item_of_block(features, feature_count);
  const Lanes lanes(feature.lanes);
  const int64_t i =
      static_cast<int64_t>(blockIdx.x - feature.first_block) * (kThreads / lanes.width()) +
      static_cast<int>(threadIdx.x) / lanes.width();
  if (i >= reading.n) return;
  const Bag<V> bag(reading, feature, i);
  for (int first = 0; first < feature.dim; first += pass_columns(lanes)) {
    Pooled<V> pooled;
    pool<kAligned, Weight, V>(bag, feature, lanes, first, pooled);
#pragma unroll
    for (int v = 0; v < V; ++v) {
      const ViewReading& view = reading.views[v];
      float* out = view.vectors + i * view.ld + feature.column;
      const float scale = pooling_scale(feature.pooling, pooled.counts[v]);
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) {
        store_quad<kAligned>(scale * pooled.sums[v][q], out, quad_column(lanes, first, q),
                             feature.dim);
      }
    }
  }
}

/// Features that one kernel serves, for a group of views.
struct Launch {
  const tt_gather_view* views;
  int32_t first_view, view_count;
  bool aligned;
  int32_t dtype;
  std::vector<GatherFeature> features;
  uint32_t blocks = 0;
  size_t place = 0;
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

void add_launches(std::vector<Launch>& launches, const Table& table, const tt_embedding* embeddings,
                  const tt_gather_view* views, int32_t first_view, int32_t view_count) {
  const std::vector<GatherFeature> features = gather_features(table, embeddings);
  const tt_gather_view* own = views + first_view;
  for (const bool aligned : {false, true}) {
    for (const int32_t dtype : {TT_FLOAT32, TT_BFLOAT16}) {
      Launch launch{views, first_view, view_count, aligned, dtype, {}};
      for (const GatherFeature& f : features) {
        const tt_embedding& embedding = embeddings[table.features[f.index].embedding];
        if (embedding.dtype != dtype || is_aligned(embedding, f, own, view_count) != aligned)
          continue;
        launch.features.push_back(f);
        launch.blocks =
            give_blocks(launch.features.back(), lanes_for(f.dim), kThreads, own->n, launch.blocks);
      }
      if (launch.blocks > 0) launches.push_back(std::move(launch));
    }
  }
}

template <bool kAligned, class Weight, int V>
void launch_one(Context& context, const Table& table, const Launch& launch, const Staging& staging,
                const ViewReading* readings) {
  const Reading<V> reading =
      make_reading<V>(table, launch.views[launch.first_view], readings + launch.first_view);
  check(TT_LAUNCH((gather_kernel<kAligned, Weight, V>), dim3(launch.blocks), dim3(kThreads), 0,
                  context.stream, reading, staging.at<GatherFeature>(launch.place),
                  static_cast<int>(launch.features.size())),
        "embedding_gather");
}

template <bool kAligned, class Weight>
void launch_views(Context& context, const Table& table, const Launch& launch,
                  const Staging& staging, const ViewReading* readings) {
  if (launch.view_count == 2) {
    launch_one<kAligned, Weight, 2>(context, table, launch, staging, readings);
  } else {
    launch_one<kAligned, Weight, 1>(context, table, launch, staging, readings);
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
  Staging staging;
  const std::vector<AugmentationPlan> plans = make_plans(*table, views, view_count);
  const size_t plan_place = staging.add(plans);
  for (Launch& launch : launches) launch.place = staging.add(launch.features);
  staging.send(context, scope);
  const std::vector<ViewReading> readings =
      read_views(context, scope, plans, staging.at<AugmentationPlan>(plan_place), views);
  for (const Launch& launch : launches) {
    const auto run = [&](auto* kernel) {
      kernel(context, *table, launch, staging, readings.data());
    };
    if (launch.dtype == TT_FLOAT32) {
      run(launch.aligned ? launch_views<true, float> : launch_views<false, float>);
    } else {
      run(launch.aligned ? launch_views<true, uint16_t> : launch_views<false, uint16_t>);
    }
  }
}

}  // namespace tt::cuda
