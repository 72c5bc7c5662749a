// Products of a warpgroup: right results, and every mistake with what is asynchronous about them.
#include "planted.h"
#include "simt/hopper.h"

namespace {

using namespace simt::hopper;
using planted::Bug;
using planted::gives_indices;
using planted::kAlways;
using planted::kNever;

enum class Mistake {
  kNone,
  kNoWait,
  kWaitTooShort,
  kNotCommitted,
  kNoFence,
  kNoProxyFence,
  kOperandReused,
  kAccumulatorTouched,
  kStageRefilled,
  kLeftUnderWay,
  kTileNotAligned,
  kOffsetTooLarge,
  kDescriptorOfALane
};

struct Tiles {
  std::uint16_t x[64 * 64], y[128 * 64];  // rows of 128 bytes, swizzled
};
constexpr std::size_t kBytes = sizeof(Tiles) + 1024;

// Whole numbers, exact in bfloat16 and in every sum.
int x_at(int row, int k) {
  return k < 16 ? row % 3 - 1 : k == 63 ? 1 : 0;
}
int y_at(int row, int k) {
  return k < 32 ? (row + k) % 5 - 2 : k == 63 ? row % 7 : 0;
}
int weight_at(int row, int column) {
  return (row + 2 * column) % 3 - 1;
}
std::uint16_t bits_of_whole(int value) {
  return static_cast<std::uint16_t>(__float_as_uint(static_cast<float>(value)) >> 16);
}
int swizzled(int row, int k) {
  return row * 64 + (k / 8 ^ row % 8) * 8 + k % 8;
}

// One warpgroup: s = X Y^T, u = 1 + E Y with E from registers. out[t] is t where all of a thread's results are right.
__device__ void products(float* out, Mistake mistake) {
  TT_DYN_SHARED(unsigned char, memory);
  auto& tiles =
      *reinterpret_cast<Tiles*>((reinterpret_cast<std::uintptr_t>(memory) + 1023) & ~1023ull);
  const int t = static_cast<int>(threadIdx.x), lane = t % 32;
  for (int i = t; i < 64 * 64; i += 128)
    tiles.x[swizzled(i / 64, i % 64)] = bits_of_whole(x_at(i / 64, i % 64));
  for (int i = t; i < 128 * 64; i += 128)
    tiles.y[swizzled(i / 64, i % 64)] = bits_of_whole(y_at(i / 64, i % 64));
  if (mistake != Mistake::kNoProxyFence) fence_async_proxy();
  __syncthreads();

  const int first = t / 32 * 16 + lane / 4;
  float s[16][4], u[8][4];
  std::uint32_t e[8][4];
  for (int j = 0; j < 8; j++)
    for (int i = 0; i < 4; i++) {
      const int row = first + i % 2 * 8, column = j * 16 + lane % 4 * 2 + i / 2 * 8;
      e[j][i] = static_cast<std::uint32_t>(bits_of_whole(weight_at(row, column))) |
                static_cast<std::uint32_t>(bits_of_whole(weight_at(row, column + 1))) << 16;
      u[j][i] = 1.0f;
    }

  const auto by_k = descriptor(tiles.y + (mistake == Mistake::kTileNotAligned ? 8 : 0), 16, 1024);
  const auto by_n = descriptor(tiles.y, mistake == Mistake::kOffsetTooLarge ? 1 << 18 : 0, 1024);
  if (mistake != Mistake::kNoFence) products_begin();
  for (int k = 0; k < 64; k += 16)
    multiply(s, advance(descriptor(tiles.x, 16, 1024), 2 * k), advance(by_k, 2 * k), k > 0);
  products_commit();
  for (int k = 0; k < 8; k++) {
    const bool astray = mistake == Mistake::kDescriptorOfALane && lane == 7;
    multiply_rows(u, e[k], advance(by_n, (astray ? k ^ 1 : k) * 2048));
  }
  if (mistake != Mistake::kNotCommitted) products_commit();

  if (mistake == Mistake::kOperandReused) e[3][1] = 0;
  if (mistake == Mistake::kAccumulatorTouched)
    for (auto& row : u) row[0] *= 2.0f;
  if (mistake == Mistake::kStageRefilled)
    for (int i = t; i < 128 * 64; i += 128) tiles.y[i] = 0;
  float early_s = 0.0f, early_u = 0.0f;
  if (mistake == Mistake::kNoWait) early_s = s[2][1];
  products_wait<1>();
  settle(s);
  if (mistake == Mistake::kWaitTooShort) early_u = u[2][1];
  if (mistake == Mistake::kLeftUnderWay) return;
  products_wait<0>();
  settle(u);
  settle(e);

  bool right = early_s == early_s && early_u == early_u;  // not NaN
  for (int j = 0; j < 16; j++)
    for (int i = 0; i < 4; i++) {
      const int row = first + i / 2 * 8, column = j * 8 + lane % 4 * 2 + i % 2;
      int sum = 0;
      for (int k = 0; k < 64; k++) sum += x_at(row, k) * y_at(column, k);
      right = right && s[j][i] == static_cast<float>(sum);
      if (j >= 8) continue;
      sum = 1;
      for (int k = 0; k < 128; k++) sum += weight_at(row, k) * y_at(k, column);
      right = right && u[j][i] == static_cast<float>(sum);
    }
  out[t] = right ? static_cast<float>(t) : -1.0f;
}

template <Mistake kMistake>
__global__ void maybe(float* out, bool wrong) {
  products(out, wrong ? kMistake : Mistake::kNone);
}
template <Mistake kMistake>
bool products_of(bool wrong) {
  return gives_indices(maybe<kMistake>, wrong, 128, kBytes);
}

const Bug kBugs[] = {
    {"NoWait", products_of<Mistake::kNoWait>, kAlways, kAlways, kAlways, kAlways, "^$"},
    {"WaitTooShort", products_of<Mistake::kWaitTooShort>, kAlways, kAlways, kAlways, kAlways, "^$"},
    {"NotCommitted", products_of<Mistake::kNotCommitted>, kAlways, kAlways, kAlways, kAlways,
     "wgmma under way"},
    {"NoFence", products_of<Mistake::kNoFence>, kAlways, kAlways, kAlways, kAlways, "wgmma.fence"},
    {"NoProxyFence", products_of<Mistake::kNoProxyFence>, kNever, kAlways, kNever, kNever,
     "no fence.proxy.async.*thread [0-9]+ wrote"},
    {"OperandReused", products_of<Mistake::kOperandReused>, kAlways, kAlways, kAlways, kAlways,
     "registers of A changed"},
    {"AccumulatorTouched", products_of<Mistake::kAccumulatorTouched>, kAlways, kAlways, kAlways,
     kAlways, "accumulators changed"},
    {"StageRefilled", products_of<Mistake::kStageRefilled>, kAlways, kAlways, kAlways, kAlways,
     "race|no fence|^$"},
    {"LeftUnderWay", products_of<Mistake::kLeftUnderWay>, kAlways, kAlways, kAlways, kAlways,
     "wgmma under way"},
    {"TileNotAligned", products_of<Mistake::kTileNotAligned>, kAlways, kAlways, kAlways, kAlways,
     "multiple of 1024"},
    {"OffsetTooLarge", products_of<Mistake::kOffsetTooLarge>, kAlways, kAlways, kAlways, kAlways,
     "do not fit a matrix descriptor"},
    {"DescriptorOfALane", products_of<Mistake::kDescriptorOfALane>, kAlways, kAlways, kAlways,
     kAlways, "descriptor than that of the warp's lane 0"},
};
PLANTED_BUGS(PlantedWgmma, kBugs);

}  // namespace
