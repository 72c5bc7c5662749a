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

/// A view's masks [n].
struct MaskJob {
  AugmentationPlan plan;
  int64_t n;
  uint64_t* masks;
  uint32_t row_base;
};
struct MaskJobs {
  static constexpr int kMost = 5;
  MaskJob jobs[kMost];
};
static_assert(sizeof(MaskJobs) <= 4096, "arguments that every CUDA takes");

/// Grid: (rows, views).
__global__ void __launch_bounds__(kThreads) masks_kernel(MaskJobs all) {
  const MaskJob& job = all.jobs[blockIdx.y];
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < job.n) job.masks[i] = feature_mask(job.plan, job.row_base + static_cast<uint32_t>(i));
}

void draw_masks(Context& context, const std::vector<MaskJob>& jobs) {
  for (size_t begin = 0; begin < jobs.size(); begin += MaskJobs::kMost) {
    const size_t count = std::min(jobs.size() - begin, size_t{MaskJobs::kMost});
    MaskJobs some{};
    std::copy_n(jobs.begin() + static_cast<std::ptrdiff_t>(begin), count, some.jobs);
    int64_t most = 0;
    for (size_t j = 0; j < count; ++j) most = std::max(most, some.jobs[j].n);
    const dim3 grid(grid_for(most, kThreads).x, static_cast<unsigned>(count));
    check(TT_LAUNCH(masks_kernel, grid, dim3(kThreads), 0, context.stream, some), "drawing masks");
  }
}

AugmentationPlan plan_of(const Table& table, const tt_gather_view& view) {
  return make_plan(view.augmentation, view.view, table.feature_count);
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

void feature_masks(Context& context, const Table& table, const tt_gather_view& view,
                   uint64_t* masks) {
  if (view.n == 0) return;
  draw_masks(context,
             {MaskJob{plan_of(table, view), view.n, masks, static_cast<uint32_t>(view.row_base)}});
}

std::vector<ViewReading> read_views(Context& context, Scope& scope, const Table& table,
                                    const tt_gather_view* views, int32_t view_count) {
  std::vector<ViewReading> readings;
  std::vector<MaskJob> jobs;
  for (int32_t v = 0; v < view_count; ++v) {
    const tt_gather_view& view = views[v];
    const AugmentationPlan plan = plan_of(table, view);
    const auto row_base = static_cast<uint32_t>(view.row_base);
    uint64_t* masks = nullptr;
    if ((plan.transforms & kWholeFeatureTransforms) != 0 && view.n > 0) {
      masks = scope.get<uint64_t>(view.n);
      jobs.push_back(MaskJob{plan, view.n, masks, row_base});
    }
    readings.push_back(ViewReading{plan, masks, view.left_out, view.vectors, view.ld, row_base});
  }
  draw_masks(context, jobs);
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
