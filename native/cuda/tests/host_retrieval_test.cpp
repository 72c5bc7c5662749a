// What the retrieval ops refuse before they look at the device, and how they cut their work.
#include <gtest/gtest.h>

#include "retrieval/plan.h"
#include "retrieval/retrieval.h"

namespace tt::cuda {
namespace {

void count(int64_t) {}

// A grid has no more blocks than that.
TEST(HostRetrieval, ExclusionsOfMoreQueriesThanBlocksAreUnsupported) {
  tt_context_options options{};
  options.struct_size = sizeof options;
  options.device = TT_DEVICE_CUDA;
  {
    Context context(options, count);
    Scope scope(context.workspace);
    tt_retrieval_args args{};
    args.exclude_offsets = scope.get<int64_t>(1);
    args.n = int64_t{1} << 31;
    tt_error error{};
    guard(error, [&] { make_exclusions(context, scope, args); });
    EXPECT_EQ(error.status, TT_UNSUPPORTED) << error.message;
    EXPECT_NE(std::string(error.message).find("2147483648 queries"), std::string::npos)
        << error.message;
  }
  EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
}

// 10,000 queries and 100,000 items: 157 blocks for each slice. 2 slices in one wave are 391 tiles one after the other, 5
// in two waves 314.
TEST(HostRetrieval, SlicesFillTheLastWave) {
  const Cut cut = cut_items(157, 782, CutLimits{48, 396, 12});
  EXPECT_EQ(cut.slices, 5);
  EXPECT_EQ(cut.tiles, 157);
  EXPECT_EQ(cut.time, 2 * (157 + 12));
}

TEST(HostRetrieval, SlicesCoverAllTilesAndNoneIsEmpty) {
  for (int64_t blocks = 1; blocks < 1000; blocks = blocks * 3 / 2 + 1) {
    for (int64_t tiles = 0; tiles < 5000; tiles = tiles * 2 + 1) {
      for (const int64_t most : {0, 1, 7, 65535}) {
        const Cut cut = cut_items(blocks, tiles, CutLimits{most, 64, 1});
        EXPECT_GE(cut.slices * cut.tiles, tiles);
        EXPECT_LE(cut.slices, std::max<int64_t>(most, 1));
        EXPECT_LT((cut.slices - 1) * cut.tiles, std::max<int64_t>(tiles, 1));
      }
    }
  }
}

}  // namespace
}  // namespace tt::cuda
