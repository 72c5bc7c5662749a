// Barriers in shared memory that count arrivals and bytes, and mistakes with them.
#include "planted.h"
#include "simt/hopper.h"

namespace {

using planted::Bug;
using planted::gives_indices;
using planted::kAlways;
using planted::kNever;
using planted::kSometimes;
using simt_test::DeviceArray;

enum class Mistake { kNone, kNoWait, kNoFence };

// A ring of two stages: one thread fills it with bulk copies, the others take what is there.
__global__ void ring(const float* in, float* out, int tiles, Mistake mistake) {
  constexpr int kStages = 2, kTile = 32;
  TT_SHARED(float, tile, [kStages][kTile]);
  TT_SHARED(uint64_t, full, [kStages]);
  TT_SHARED(uint64_t, empty, [kStages]);
  const int t = static_cast<int>(threadIdx.x);
  if (t == 0) {
    for (int i = 0; i < kStages; i++) {
      simt::hopper::barrier_init(&full[i], 1);
      simt::hopper::barrier_init(&empty[i], kTile);
    }
  }
  __syncthreads();
  for (int i = 0; i < tiles; i++) {
    const int stage = i % kStages;
    const unsigned parity = i / kStages % 2;
    if (t == kTile) {
      if (mistake != Mistake::kNoWait) simt::hopper::barrier_wait(&empty[stage], parity ^ 1);
      simt::hopper::barrier_expect(&full[stage], sizeof tile[stage]);
      simt::hopper::bulk_copy(tile[stage], in + i * kTile, sizeof tile[stage], &full[stage]);
    } else if (t < kTile) {
      simt::hopper::barrier_wait(&full[stage], parity);
      out[i * kTile + t] = tile[stage][t];
      if (mistake != Mistake::kNoFence) simt::hopper::fence_async_proxy();
      simt::hopper::barrier_arrive(&empty[stage]);
    }
  }
}
template <Mistake kMistake>
bool ring_of(bool wrong) {
  constexpr int kTiles = 7, kCount = 32 * kTiles;
  std::vector<float> values(kCount);
  for (int i = 0; i < kCount; i++) values[static_cast<std::size_t>(i)] = static_cast<float>(i);
  const DeviceArray<float> in(values), out(kCount);
  const Mistake mistake = wrong ? kMistake : Mistake::kNone;
  if (TT_LAUNCH(ring, 1, 64, 0, nullptr, in.get(), out.get(), kTiles, mistake) != cudaSuccess)
    return false;
  return cudaDeviceSynchronize() == cudaSuccess && out.values() == values;
}

__global__ void hand_over(float* out, bool wrong) {
  TT_SHARED(uint64_t, ready, );
  TT_SHARED(float, value, [64]);
  const unsigned t = threadIdx.x;
  if (t == 0) simt::hopper::barrier_init(&ready, 1);
  __syncthreads();
  if (t == 63) {
    for (unsigned i = 0; i < 64; i++) value[i] = static_cast<float>(i);
    simt::hopper::barrier_arrive(&ready);
  }
  if (!wrong) simt::hopper::barrier_wait(&ready, 0);
  out[t] = value[t];
}
bool hand_over_of(bool wrong) {
  return gives_indices(hand_over, wrong, 64);
}

__global__ void one_too_many(float* out, bool wrong) {
  TT_SHARED(uint64_t, ready, );
  if (threadIdx.x == 0) simt::hopper::barrier_init(&ready, 63);
  __syncthreads();
  if (threadIdx.x > 0) {
    simt::hopper::barrier_expect(&ready, 16);  // the phase cannot end: its bytes do not come
    if (wrong) simt::hopper::barrier_arrive(&ready);
  }
  out[threadIdx.x] = static_cast<float>(threadIdx.x);
}
bool one_too_many_of(bool wrong) {
  return gives_indices(one_too_many, wrong, 64);
}

__global__ void too_many_bytes(float* out, bool wrong) {
  TT_SHARED(uint64_t, ready, );
  if (threadIdx.x == 0) {
    simt::hopper::barrier_init(&ready, 1);
    simt::hopper::barrier_expect(&ready, (1 << 20) - (wrong ? 0 : 1));
  }
  out[threadIdx.x] = static_cast<float>(threadIdx.x);
}
bool too_many_bytes_of(bool wrong) {
  return gives_indices(too_many_bytes, wrong, 64);
}

__global__ void nobody_arrives(float* out, bool wrong) {
  TT_SHARED(uint64_t, ready, );
  if (threadIdx.x == 0) simt::hopper::barrier_init(&ready, 1);
  __syncthreads();
  if (wrong) simt::hopper::barrier_wait(&ready, 0);
  out[threadIdx.x] = static_cast<float>(threadIdx.x);
}
bool nobody_arrives_of(bool wrong) {
  return gives_indices(nobody_arrives, wrong, 64);
}

const Bug kBugs[] = {
    {"StageFilledBeforeItIsEmpty", ring_of<Mistake::kNoWait>, kSometimes, kSometimes, kSometimes,
     kSometimes, ""},
    {"StageReadAndNotFenced", ring_of<Mistake::kNoFence>, kNever, kAlways, kNever, kNever,
     "no fence.proxy.async.*thread [0-9]+ read"},
    {"ReadWithoutWaiting", hand_over_of, kSometimes, kAlways, kSometimes, kSometimes,
     "race|nobody has written"},
    {"OneArrivalTooMany", one_too_many_of, kAlways, kAlways, kAlways, kAlways, "more arrivals"},
    {"TooManyBytes", too_many_bytes_of, kAlways, kAlways, kAlways, kAlways,
     "more than one can count"},
    {"NobodyArrives", nobody_arrives_of, kAlways, kAlways, kAlways, kAlways, "endless spinning"},
};
PLANTED_BUGS(PlantedMbarrier, kBugs);

}  // namespace
