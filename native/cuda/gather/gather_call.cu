#include "gather/gather_call.h"

#include <algorithm>

namespace tt::cuda {
namespace {

constexpr int kThreads = 128;

/// With the other arguments below the 4096 bytes that every CUDA takes.
struct Parcel {
  uint32_t words[1000];
};

__global__ void __launch_bounds__(kThreads) unpack_kernel(Parcel parcel, int count, uint32_t* to) {
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) to[i] = parcel.words[i];
}

__global__ void __launch_bounds__(kThreads)
    masks_kernel(const AugmentationPlan* plan, uint32_t row_base, int64_t n, uint64_t* masks) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < n) masks[i] = feature_mask(*plan, row_base + static_cast<uint32_t>(i));
}

}  // namespace

void Staging::send(Context& context, Scope& scope) {
  bytes_.resize((bytes_.size() + sizeof(uint32_t) - 1) / sizeof(uint32_t) * sizeof(uint32_t));
  device_ = scope.get<unsigned char>(static_cast<int64_t>(bytes_.size()));
  Parcel parcel{};
  for (size_t at = 0; at < bytes_.size(); at += sizeof parcel) {
    const size_t size = std::min(sizeof parcel, bytes_.size() - at);
    std::memcpy(parcel.words, bytes_.data() + at, size);
    check(TT_LAUNCH(unpack_kernel, dim3(1), dim3(kThreads), 0, context.stream, parcel,
                    static_cast<int>(size / sizeof(uint32_t)),
                    reinterpret_cast<uint32_t*>(device_ + at)),
          "gather");
  }
}

std::vector<GatherFeature> gather_features(const Table& table, const tt_embedding* embeddings) {
  std::vector<GatherFeature> features(static_cast<size_t>(table.feature_count));
  int64_t column = 0;
  for (int32_t f = 0; f < table.feature_count; ++f) {
    const tt_feature& from = table.features[f];
    GatherFeature& to = features[static_cast<size_t>(f)];
    to.offsets = from.offsets;
    to.values = from.values;
    to.index = f;
    to.pooling = from.pooling;
    to.through_list = from.through_list;
    if (embeddings == nullptr) continue;
    to.weights = embeddings[from.embedding].weights;
    to.dim = embeddings[from.embedding].dim;
    to.column = column;
    column += to.dim;
  }
  return features;
}

std::vector<AugmentationPlan> make_plans(const Table& table, const tt_gather_view* views,
                                         int32_t view_count) {
  std::vector<AugmentationPlan> plans;
  for (int32_t v = 0; v < view_count; ++v) {
    plans.push_back(make_plan(views[v].augmentation, views[v].view, table.feature_count));
  }
  return plans;
}

void feature_masks(Context& context, const AugmentationPlan* device_plan,
                   const tt_gather_view& view, uint64_t* masks) {
  if (view.n == 0) return;
  check(TT_LAUNCH(masks_kernel, grid_for(view.n, kThreads), dim3(kThreads), 0, context.stream,
                  device_plan, static_cast<uint32_t>(view.row_base), view.n, masks),
        "drawing masks");
}

std::vector<ViewReading> read_views(Context& context, Scope& scope,
                                    const std::vector<AugmentationPlan>& plans,
                                    const AugmentationPlan* device_plans,
                                    const tt_gather_view* views) {
  std::vector<ViewReading> readings;
  for (size_t v = 0; v < plans.size(); ++v) {
    const tt_gather_view& view = views[v];
    uint64_t* masks = nullptr;
    if ((plans[v].transforms & kWholeFeatureTransforms) != 0) {
      masks = scope.get<uint64_t>(view.n);
      feature_masks(context, device_plans + v, view, masks);
    }
    readings.push_back(ViewReading{device_plans + v, masks, view.left_out, view.vectors, view.ld,
                                   static_cast<uint32_t>(view.row_base)});
  }
  return readings;
}

uint32_t give_blocks(GatherFeature& feature, int lanes, int threads, int64_t n,
                     uint32_t first_block) {
  const int64_t bags = threads / lanes;
  const int64_t blocks = (n + bags - 1) / bags;
  if (first_block + blocks >= int64_t{1} << 31) {
    unsupported(format("%lld rows are more than one gather can read.", static_cast<long long>(n)));
  }
  feature.lanes = lanes;
  feature.first_block = first_block;
  return first_block + static_cast<uint32_t>(blocks);
}

}  // namespace tt::cuda
