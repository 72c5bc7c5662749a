// Warp operations against plain loops over the lanes.
#include "simt_test.h"

namespace {

using simt_test::DeviceArray;
using simt_test::kFull;

SIMT_SEEDED(Warp);

// What the Programming Guide says a shuffle reads; -1: the own value.
enum class Shuffle { kIndex, kUp, kDown, kXor };
int source_of(Shuffle kind, int lane, int argument, int width) {
  const int first = lane / width * width, last = first + width - 1;
  switch (kind) {
    case Shuffle::kIndex:
      return first + ((argument % width) + width) % width;
    case Shuffle::kUp:
      return lane - argument < first ? lane : lane - argument;
    case Shuffle::kDown:
      return lane + argument > last ? lane : lane + argument;
    case Shuffle::kXor:
      return (lane ^ argument) > last ? lane : lane ^ argument;
  }
  return -1;
}

template <class T>
__global__ void shuffle(Shuffle kind, int argument, int width, const T* in, T* out) {
  const T value = in[threadIdx.x];
  T result = value;
  if (kind == Shuffle::kIndex) result = __shfl_sync(kFull, value, argument, width);
  if (kind == Shuffle::kUp) result = __shfl_up_sync(kFull, value, argument, width);
  if (kind == Shuffle::kDown) result = __shfl_down_sync(kFull, value, argument, width);
  if (kind == Shuffle::kXor) result = __shfl_xor_sync(kFull, value, argument, width);
  out[threadIdx.x] = result;
}

template <class T>
void check_shuffles() {
  std::vector<T> values(96);
  for (std::size_t i = 0; i < values.size(); i++) values[i] = static_cast<T>(i * 3 + 1);
  const DeviceArray<T> in(values), out(values.size());
  for (Shuffle kind : {Shuffle::kIndex, Shuffle::kUp, Shuffle::kDown, Shuffle::kXor})
    for (int width : {1, 2, 8, 32})
      for (int argument : {0, 1, 2, 3, 5, 16, 31}) {
        ASSERT_EQ(
            TT_LAUNCH(shuffle<T>, 1, 96, 0, nullptr, kind, argument, width, in.get(), out.get()),
            cudaSuccess);
        const std::vector<T> found = out.values();
        for (int i = 0; i < 96; i++)
          ASSERT_EQ(found[i], values[i / 32 * 32 + source_of(kind, i % 32, argument, width)])
              << "kind " << static_cast<int>(kind) << " width " << width << " argument " << argument
              << " thread " << i;
      }
}
TEST_P(Warp, ShufflesInts) {
  check_shuffles<int>();
}
TEST_P(Warp, ShufflesFloats) {
  check_shuffles<float>();
}
TEST_P(Warp, ShufflesDoubles) {
  check_shuffles<double>();
}
TEST_P(Warp, ShufflesLongs) {
  check_shuffles<unsigned long long>();
}

__global__ void shuffle_in_halves(int* out) {
  // Two groups of lanes shuffle on their own, at the same time.
  const unsigned mask = threadIdx.x % 2 == 0 ? 0x55555555u : 0xaaaaaaaau;
  int value = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 3; i++) value = __shfl_sync(mask, value, (threadIdx.x + 2) % 32) + 1;
  out[threadIdx.x] = value;
}
TEST_P(Warp, GroupsOfLanesDoNotMeet) {
  const DeviceArray<int> out(32);
  ASSERT_EQ(TT_LAUNCH(shuffle_in_halves, 1, 32, 0, nullptr, out.get()), cudaSuccess);
  const std::vector<int> found = out.values();
  for (int i = 0; i < 32; i++) EXPECT_EQ(found[i], (i + 6) % 32 + 3);
}

struct Votes {
  unsigned ballot;
  int any, all, none_any, all_all;
  unsigned any_match;
  unsigned all_match_same, all_match_different;
  int predicate_same, predicate_different;
};
__global__ void vote(unsigned pattern, Votes* out) {
  const unsigned lane = threadIdx.x % 32;
  const int bit = static_cast<int>(pattern >> lane & 1u);
  Votes v = {};
  v.ballot = __ballot_sync(kFull, bit);
  v.any = __any_sync(kFull, bit);
  v.all = __all_sync(kFull, bit);
  v.none_any = __any_sync(kFull, 0);
  v.all_all = __all_sync(kFull, 7);
  v.any_match = __match_any_sync(kFull, lane % 5);
  v.all_match_same = __match_all_sync(kFull, 17ull, &v.predicate_same);
  v.all_match_different = __match_all_sync(kFull, lane / 31, &v.predicate_different);
  out[threadIdx.x] = v;
}
TEST_P(Warp, Votes) {
  const DeviceArray<Votes> out(64);
  for (unsigned pattern : {0u, 1u, 0x80000000u, 0xdeadbeefu, kFull}) {
    ASSERT_EQ(TT_LAUNCH(vote, 1, 64, 0, nullptr, pattern, out.get()), cudaSuccess);
    const std::vector<Votes> found = out.values();
    for (unsigned i = 0; i < 64; i++) {
      unsigned same = 0;
      for (unsigned l = 0; l < 32; l++) same |= l % 5 == i % 32 % 5 ? 1u << l : 0;
      EXPECT_EQ(found[i].ballot, pattern);
      EXPECT_EQ(found[i].any != 0, pattern != 0);
      EXPECT_EQ(found[i].all != 0, pattern == kFull);
      EXPECT_EQ(found[i].none_any, 0);
      EXPECT_NE(found[i].all_all, 0);
      EXPECT_EQ(found[i].any_match, same);
      EXPECT_EQ(found[i].all_match_same, kFull);
      EXPECT_NE(found[i].predicate_same, 0);
      EXPECT_EQ(found[i].all_match_different, 0u);
      EXPECT_EQ(found[i].predicate_different, 0);
    }
  }
}

struct Sums {
  unsigned add, smallest, largest, conjunction, disjunction, parity;
  int signed_add, signed_smallest, signed_largest;
};
__global__ void reduce(const unsigned* in, unsigned mask, Sums* out) {
  if ((mask >> threadIdx.x & 1u) == 0) return;
  const unsigned x = in[threadIdx.x];
  const int y = static_cast<int>(x);
  out[threadIdx.x] = {
      __reduce_add_sync(mask, x), __reduce_min_sync(mask, x), __reduce_max_sync(mask, x),
      __reduce_and_sync(mask, x), __reduce_or_sync(mask, x),  __reduce_xor_sync(mask, x),
      __reduce_add_sync(mask, y), __reduce_min_sync(mask, y), __reduce_max_sync(mask, y)};
}
TEST_P(Warp, Reduces) {
  std::vector<unsigned> values(32);
  for (unsigned i = 0; i < 32; i++) values[i] = i * 0x9e3779b9u;
  const DeviceArray<unsigned> in(values);
  const DeviceArray<Sums> out(32);
  for (unsigned mask : {kFull, 0x00ff00f0u, 1u << 31}) {
    ASSERT_EQ(TT_LAUNCH(reduce, 1, 32, 0, nullptr, in.get(), mask, out.get()), cudaSuccess);
    Sums expected = {0, ~0u, 0, ~0u, 0, 0, 0, 0x7fffffff, -0x7fffffff - 1};
    for (unsigned i = 0; i < 32; i++) {
      if ((mask >> i & 1u) == 0) continue;
      const unsigned x = values[i];
      expected.add += x;
      expected.smallest = std::min(expected.smallest, x);
      expected.largest = std::max(expected.largest, x);
      expected.conjunction &= x;
      expected.disjunction |= x;
      expected.parity ^= x;
      expected.signed_smallest = std::min(expected.signed_smallest, static_cast<int>(x));
      expected.signed_largest = std::max(expected.signed_largest, static_cast<int>(x));
    }
    expected.signed_add = static_cast<int>(expected.add);
    const std::vector<Sums> found = out.values();
    for (unsigned i = 0; i < 32; i++)
      if ((mask >> i & 1u) != 0) {
        EXPECT_EQ(std::memcmp(&found[i], &expected, sizeof expected), 0)
            << "lane " << i << " mask " << mask;
      }
  }
}

// A last warp that the block's size cuts short may still name all 32 lanes.
__global__ void sum_of_forty(int* out) {
  const int sum = static_cast<int>(__popc(__ballot_sync(kFull, 1)));
  if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = sum;
}
TEST_P(Warp, LanesThatDoNotExistAreNotWaitedFor) {
  const DeviceArray<int> out(2);
  ASSERT_EQ(TT_LAUNCH(sum_of_forty, 1, 40, 0, nullptr, out.get()), cudaSuccess);
  EXPECT_EQ(out.values(), (std::vector<int>{32, 8}));
}

__global__ void pass_left(int* out) {
  TT_SHARED(int, box, [32]);
  int value = static_cast<int>(threadIdx.x);
  for (int i = 0; i < 5; i++) {
    box[threadIdx.x] = value;
    __syncwarp();
    value = box[(threadIdx.x + 1) % 32] * 2;
    __syncwarp();
  }
  out[threadIdx.x] = value;
}
TEST_P(Warp, SyncwarpOrdersSharedMemory) {
  const DeviceArray<int> out(32);
  ASSERT_EQ(TT_LAUNCH(pass_left, 1, 32, 0, nullptr, out.get()), cudaSuccess);
  const std::vector<int> found = out.values();
  for (int i = 0; i < 32; i++) EXPECT_EQ(found[i], (i + 5) % 32 * 32);
}

__global__ void who(unsigned* out) {
  out[threadIdx.x] = ptx::lane_id();
}
TEST_P(Warp, LaneIds) {
  const DeviceArray<unsigned> out(70);
  ASSERT_EQ(TT_LAUNCH(who, 1, 70, 0, nullptr, out.get()), cudaSuccess);
  const std::vector<unsigned> found = out.values();
  for (unsigned i = 0; i < 70; i++) EXPECT_EQ(found[i], i % 32);
}

}  // namespace
