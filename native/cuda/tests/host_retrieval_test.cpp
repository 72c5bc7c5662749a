// What the retrieval ops refuse before they look at the device.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace tt::cuda
