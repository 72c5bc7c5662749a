// tt_alloc and its relatives, byte counters, running out of memory, and leaks.
#include "gather_fixture.h"
#include "optimizer_reference.h"

namespace tt_test {
namespace {

class MemoryTest : public OpTest {};
TT_ON_ALL_TARGETS(MemoryTest);

tt_context_info info_of(const Context& context) {
  tt_context_info info{};
  info.struct_size = sizeof info;
  TT_MUST(tt_context_get_info(context, &info));
  return info;
}

int64_t live_bytes(const Context& context) {
  return info_of(context).live_bytes;
}

TEST_P(MemoryTest, AllocatedMemoryIsZeroAlignedAndCounted) {
  const Context context(target());
  const int64_t before = tt_live_bytes();
  for (const int64_t bytes : {0, 1, 63, 64, 4097, 3 << 20}) {
    void* memory = nullptr;
    TT_OK_OR_FAIL(tt_alloc(context, bytes, &memory));
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0u);
    EXPECT_EQ(live_bytes(context), std::max<int64_t>(bytes, 1));
    EXPECT_EQ(tt_live_bytes() - before, std::max<int64_t>(bytes, 1));
    std::vector<char> contents(static_cast<size_t>(bytes), 1);
    TT_OK_OR_FAIL(tt_memory_copy(context, contents.data(), memory, bytes, TT_DEVICE_TO_HOST));
    EXPECT_EQ(contents, std::vector<char>(contents.size(), 0));
    TT_OK_OR_FAIL(tt_free(context, memory));
    EXPECT_EQ(live_bytes(context), 0);
    EXPECT_EQ(tt_live_bytes(), before);
  }
}

TEST_P(MemoryTest, CopiesAndZeroes) {
  const Context context(target());
  std::vector<char> data(9 << 20);  // more than one block of the copy
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 31 + (i >> 13));
  const auto bytes = static_cast<int64_t>(data.size());
  void *a = nullptr, *b = nullptr;
  TT_OK_OR_FAIL(tt_alloc(context, bytes, &a));
  TT_OK_OR_FAIL(tt_alloc(context, bytes, &b));
  TT_OK_OR_FAIL(tt_memory_copy(context, a, data.data(), bytes, TT_HOST_TO_DEVICE));
  TT_OK_OR_FAIL(tt_memory_copy(context, b, a, bytes, TT_DEVICE_TO_DEVICE));
  TT_OK_OR_FAIL(tt_memory_zero(context, a, bytes));
  std::vector<char> back(data.size());
  TT_OK_OR_FAIL(tt_memory_copy(context, back.data(), b, bytes, TT_DEVICE_TO_HOST));
  EXPECT_TRUE(back == data);
  TT_OK_OR_FAIL(tt_memory_copy(context, back.data(), a, bytes, TT_DEVICE_TO_HOST));
  EXPECT_TRUE(back == std::vector<char>(data.size(), 0));
  TT_OK_OR_FAIL(tt_free(context, a));
  TT_OK_OR_FAIL(tt_free(context, b));
}

TEST_P(MemoryTest, BadArguments) {
  const Context context(target());
  void* memory = nullptr;
  char host[8] = {};
  EXPECT_BAD_ARGUMENT(tt_alloc(nullptr, 8, &memory), "context");
  EXPECT_BAD_ARGUMENT(tt_alloc(context, -1, &memory), "bytes");
  EXPECT_BAD_ARGUMENT(tt_alloc(context, 8, nullptr), "pointer");
  EXPECT_BAD_ARGUMENT(tt_free(nullptr, host), "context");
  EXPECT_BAD_ARGUMENT(tt_free(context, host), "pointer");
  TT_EXPECT_OK(tt_free(context, nullptr));
  TT_OK_OR_FAIL(tt_alloc(context, 8, &memory));
  EXPECT_BAD_ARGUMENT(tt_memory_copy(nullptr, memory, host, 8, TT_HOST_TO_DEVICE), "context");
  EXPECT_BAD_ARGUMENT(tt_memory_copy(context, nullptr, host, 8, TT_HOST_TO_DEVICE), "to");
  EXPECT_BAD_ARGUMENT(tt_memory_copy(context, memory, nullptr, 8, TT_HOST_TO_DEVICE), "from");
  EXPECT_BAD_ARGUMENT(tt_memory_copy(context, memory, host, -8, TT_HOST_TO_DEVICE), "bytes");
  EXPECT_BAD_ARGUMENT(tt_memory_copy(context, memory, host, 8, 3), "direction");
  EXPECT_BAD_ARGUMENT(tt_memory_zero(nullptr, memory, 8), "context");
  EXPECT_BAD_ARGUMENT(tt_memory_zero(context, nullptr, 8), "pointer");
  EXPECT_BAD_ARGUMENT(tt_memory_zero(context, memory, -1), "bytes");
  TT_EXPECT_OK(tt_memory_zero(context, nullptr, 0));
  TT_OK_OR_FAIL(tt_free(context, memory));
  EXPECT_BAD_ARGUMENT(tt_free(context, memory), "pointer");
}

TEST_P(MemoryTest, OutOfMemoryTellsHowMuchAndTheContextStillWorks) {
  const Context context(target());
  const int64_t before = tt_live_bytes();
  void* memory = nullptr;
  constexpr int64_t kTooMuch = int64_t{1} << 50;
  EXPECT_EQ(tt_alloc(context, kTooMuch, &memory), TT_OUT_OF_MEMORY);
  EXPECT_EQ(memory, nullptr);
  tt_error error{};
  tt_last_error(&error);
  EXPECT_EQ(error.status, TT_OUT_OF_MEMORY);
  EXPECT_EQ(error.asked_bytes, kTooMuch);
  EXPECT_GT(error.free_bytes, 0);
  EXPECT_LT(error.free_bytes, kTooMuch);
  EXPECT_EQ(tt_live_bytes(), before);
  TT_OK_OR_FAIL(tt_alloc(context, 100, &memory));
  TT_OK_OR_FAIL(tt_free(context, memory));
}

// The workspace: top_k of a batch whose results alone would need more than there is.
TEST_P(MemoryTest, OutOfWorkspaceTellsHowMuchAndTheContextStillWorks) {
  if (!on_cpu()) GTEST_SKIP() << "needs addresses that are never read";
  const Context context(target());
  float one[1] = {1};
  int32_t id[1] = {7};
  tt_retrieval_args args{};
  args.struct_size = sizeof args;
  args.d = 1;
  args.n = int64_t{1} << 34;
  args.m = 1;
  args.queries = one;
  args.items = one;
  EXPECT_EQ(tt_top_k(context, &args, 4096, id, nullptr), TT_OUT_OF_MEMORY);
  tt_error error{};
  tt_last_error(&error);
  EXPECT_GT(error.asked_bytes, error.free_bytes);
  args.n = 1;
  TT_OK_OR_FAIL(tt_top_k(context, &args, 1, id, nullptr));
  EXPECT_EQ(id[0], 0);
}

TEST_P(MemoryTest, MemoryMayBeFreedThroughAnotherContextOfTheDevice) {
  const int64_t before = tt_live_bytes();
  {
    const Context one(target()), two(target());
    void* memory = nullptr;
    TT_OK_OR_FAIL(tt_alloc(one, 1000, &memory));
    TT_OK_OR_FAIL(tt_free(two, memory));
    EXPECT_EQ(live_bytes(one), 0);
  }
  EXPECT_EQ(tt_live_bytes(), before);
}

// What a context holds on the device, in use or not.
TEST_P(MemoryTest, ReservedMemoryIsVisibleUntilItIsTrimmed) {
  const Context context(target());
  EXPECT_EQ(info_of(context).reserved_bytes, 0);
  constexpr int64_t kBytes = 128 << 20;  // far more than what a driver's pool grows by
  int64_t before = 0;
  for (int i = 0; i < 2; ++i) {
    void* memory = nullptr;
    TT_OK_OR_FAIL(tt_alloc(context, kBytes, &memory));
    EXPECT_GE(info_of(context).reserved_bytes, kBytes);
    TT_OK_OR_FAIL(tt_free(context, memory));
    EXPECT_EQ(info_of(context).live_bytes, 0);
    TT_OK_OR_FAIL(tt_context_synchronize(context));
    // A pool keeps it for the next; without one it is gone.
    const int64_t kept = info_of(context).reserved_bytes;
    EXPECT_TRUE(kept == 0 || (!on_cpu() && kept >= kBytes && kept < 2 * kBytes)) << kept;
    EXPECT_TRUE(i == 0 || kept == before) << "the second has the first one's memory";
    before = kept;
  }
  TT_OK_OR_FAIL(tt_context_trim(context));
  EXPECT_EQ(info_of(context).reserved_bytes, 0);
  void* memory = nullptr;
  TT_OK_OR_FAIL(tt_alloc(context, kBytes, &memory));
  TT_OK_OR_FAIL(tt_context_trim(context));
  EXPECT_GE(info_of(context).reserved_bytes, kBytes) << "what is in use stays";
  TT_OK_OR_FAIL(tt_free(context, memory));
}

TEST_P(MemoryTest, TrimGivesTheWorkspaceBack) {
  const Context context(target());
  const auto workspace = [&] {
    tt_context_info info{};
    info.struct_size = sizeof info;
    TT_MUST(tt_context_get_info(context, &info));
    return info.workspace_bytes;
  };
  Random random;
  const Scene scene = random_scene(random, 100, {16, 16}, true);
  const DeviceTable table(context, scene.table);
  const DeviceEmbeddings embeddings(context, scene.embeddings);
  const DeviceViews views(context, scene.views, scene.width);
  const auto gather = [&] {
    TT_MUST(tt_embedding_gather(context, table, embeddings.data(), 2, views.data(), views.size()));
  };
  gather();
  gather();
  const int64_t used = workspace();
  EXPECT_GT(used, 0);
  gather();
  EXPECT_EQ(workspace(), used) << "the second run and later ones take nothing more";
  TT_OK_OR_FAIL(tt_context_trim(context));
  EXPECT_EQ(workspace(), 0);
  gather();
}

// Everything an application does, then everything given back.
TEST_P(MemoryTest, NothingLeaks) {
  const int64_t before = tt_live_bytes();
  {
    Random random;
    const Scene scene = random_scene(random, 200, {16, 8, 4}, true);
    const Context context(target());
    const DeviceTable table(context, scene.table);
    const DeviceEmbeddings embeddings(context, scene.embeddings, 2);
    DeviceViews views(context, scene.views, scene.width);
    EXPECT_GT(tt_live_bytes(), before);
    for (int step = 1; step <= 3; ++step) {
      TT_OK_OR_FAIL(tt_embedding_gather(context, table, embeddings.data(), embeddings.size(),
                                        views.data(), views.size()));
      const tt_optimizer adam = make_optimizer(TT_ADAM, 0, step);
      TT_OK_OR_FAIL(tt_embedding_gather_update(context, &adam, table, embeddings.data(),
                                               embeddings.size(), views.data(), views.size()));
      EXPECT_EQ(tt_embedding_gather(context, table, nullptr, 1, views.data(), 1), TT_BAD_ARGUMENT);
    }
  }
  EXPECT_EQ(tt_live_bytes(), before);
}

}  // namespace
}  // namespace tt_test
