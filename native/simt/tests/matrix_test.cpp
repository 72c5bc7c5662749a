// mma and ldmatrix against plain loops. The engine takes its layouts from the formulas of the PTX ISA; the
// tests take them from an independent source: the shapes and strides that NVIDIA publishes for CuTe
// (CUTLASS, include/cute/atom/mma_traits_sm80.hpp). There, lane l and value v of a fragment sit at
//   (l % 4) stride[0] + (l / 4) stride[1] + v_0 stride[2] + v_1 stride[3] + v_2 stride[4]
// of the column-major matrix, v_0 v_1 v_2 being the binary digits of v from the lowest.
#include "simt_test.h"

namespace {

using simt_test::DeviceArray;

SIMT_SEEDED(Matrix);

struct Fragment {
  int rows, values;  // of the column-major matrix; per lane
  int stride[5];
  int index(int lane, int v) const {
    return lane % 4 * stride[0] + lane / 4 * stride[1] + v % 2 * stride[2] + v / 2 % 2 * stride[3] +
           v / 4 * stride[4];
  }
};
struct Shape {
  int k;
  Fragment a, b;  // m x k and n x k
};
constexpr Fragment kAccumulator = {16, 4, {32, 1, 16, 8, 0}};  // m x n
constexpr Shape kM16N8K16 = {16, {16, 8, {32, 1, 16, 8, 128}}, {8, 4, {16, 1, 8, 64, 0}}};
constexpr Shape kM16N8K8 = {8, {16, 4, {32, 1, 16, 8, 0}}, {8, 2, {16, 1, 8, 0, 0}}};
constexpr Shape kM16N8K8Tf32 = {8, {16, 4, {16, 1, 8, 64, 0}}, {8, 2, {8, 1, 32, 0, 0}}};

enum class Type { kBf16, kF16, kTf32 };

struct Operands {
  std::uint32_t a[4], b[2];
  float d[4];
};

template <int kK, Type kType>
__global__ void multiply(Operands* operands) {
  Operands o = operands[threadIdx.x];
  if constexpr (kK == 16 && kType == Type::kBf16) ptx::mma_m16n8k16_bf16(o.d, o.a, o.b);
  if constexpr (kK == 16 && kType == Type::kF16) ptx::mma_m16n8k16_f16(o.d, o.a, o.b);
  if constexpr (kK == 8 && kType == Type::kBf16)
    ptx::mma_m16n8k8_bf16(o.d, {o.a[0], o.a[1]}, {o.b[0]});
  if constexpr (kK == 8 && kType == Type::kF16)
    ptx::mma_m16n8k8_f16(o.d, {o.a[0], o.a[1]}, {o.b[0]});
  if constexpr (kK == 8 && kType == Type::kTf32) ptx::mma_m16n8k8_tf32(o.d, o.a, o.b);
  operands[threadIdx.x] = o;
}

std::uint32_t encode(float value, Type type) {
  if (type == Type::kBf16) return simt::bf16_from_float(value);
  if (type == Type::kF16) return simt::f16_from_float(value);
  return ptx::to_tf32(value);
}
float decode(std::uint32_t bits, Type type) {
  if (type == Type::kBf16) return simt::bf16_to_float(static_cast<std::uint16_t>(bits));
  if (type == Type::kF16) return simt::f16_to_float(static_cast<std::uint16_t>(bits));
  return simt::float_of(bits);
}

void set_fragment(std::uint32_t* registers, const Fragment& fragment, int lane, Type type,
                  const std::vector<float>& matrix) {
  for (int v = 0; v < fragment.values; v++) {
    const std::uint32_t bits = encode(matrix[fragment.index(lane, v)], type);
    if (type == Type::kTf32) {
      registers[v] = bits;
    } else {
      registers[v / 2] |= bits << v % 2 * 16;
    }
  }
}

template <int kK, Type kType>
void check_multiply(const Shape& shape) {
  std::vector<float> a = simt_test::random_floats(16 * kK, 1),
                     b = simt_test::random_floats(8 * kK, 2);
  const std::vector<float> c = simt_test::random_floats(16 * 8, 3);
  std::vector<Operands> operands(32);
  for (int lane = 0; lane < 32; lane++) {
    operands[lane] = {};
    set_fragment(operands[lane].a, shape.a, lane, kType, a);
    set_fragment(operands[lane].b, shape.b, lane, kType, b);
    for (int v = 0; v < 4; v++) operands[lane].d[v] = c[kAccumulator.index(lane, v)];
  }
  const DeviceArray<Operands> device(operands);
  ASSERT_EQ(TT_LAUNCH((multiply<kK, kType>), 1, 32, 0, nullptr, device.get()), cudaSuccess);
  const std::vector<Operands> found = device.values();
  for (float& x : a) x = decode(encode(x, kType), kType);
  for (float& x : b) x = decode(encode(x, kType), kType);
  for (int lane = 0; lane < 32; lane++)
    for (int v = 0; v < 4; v++) {
      const int index = kAccumulator.index(lane, v), row = index % 16, col = index / 16;
      double sum = c[index];
      for (int k = 0; k < kK; k++) sum += static_cast<double>(a[row + 16 * k]) * b[col + 8 * k];
      EXPECT_NEAR(found[lane].d[v], sum, 16 * 6e-8) << "row " << row << " column " << col;
    }
}
TEST_P(Matrix, M16N8K16Bf16) {
  check_multiply<16, Type::kBf16>(kM16N8K16);
}
TEST_P(Matrix, M16N8K16F16) {
  check_multiply<16, Type::kF16>(kM16N8K16);
}
TEST_P(Matrix, M16N8K8Bf16) {
  check_multiply<8, Type::kBf16>(kM16N8K8);
}
TEST_P(Matrix, M16N8K8F16) {
  check_multiply<8, Type::kF16>(kM16N8K8);
}
TEST_P(Matrix, M16N8K8Tf32) {
  check_multiply<8, Type::kTf32>(kM16N8K8Tf32);
}

// Results of 16 products a row and column, the k-th of them products[k], added to c.
std::vector<float> sums_of(const std::vector<float>& products, float c, int capability) {
  const std::vector<float> ones(16 * 16, 1.0f);
  std::vector<float> b(8 * 16);
  for (std::size_t i = 0; i < b.size(); i++) b[i] = products[i / 8];
  std::vector<Operands> operands(32);
  for (int lane = 0; lane < 32; lane++) {
    operands[lane] = {{}, {}, {c, c, c, c}};
    set_fragment(operands[lane].a, kM16N8K16.a, lane, Type::kBf16, ones);
    set_fragment(operands[lane].b, kM16N8K16.b, lane, Type::kBf16, b);
  }
  simt::options().compute_capability = capability;
  const DeviceArray<Operands> device(operands);
  EXPECT_EQ(TT_LAUNCH((multiply<16, Type::kBf16>), 1, 32, 0, nullptr, device.get()), cudaSuccess);
  simt::options().compute_capability = 80;
  std::vector<float> all;
  for (const Operands& o : device.values()) all.insert(all.end(), o.d, o.d + 4);
  return all;
}
constexpr float kUnit = 0x1p-23f;  // in the last place of 1

// Fifteen of 2^-25 beside 1 are cut off where 24 bits are kept; with 25 they are 3.75 units, of which three are left.
TEST_P(Matrix, SmallTermsBesideLargeOnesAreCut) {
  std::vector<float> products(16, 0x1p-25f);
  products[0] = 1.0f;
  for (const float d : sums_of(products, 0.0f, 80)) EXPECT_EQ(d, 1.0f);
  for (const float d : sums_of(products, 0.0f, 90)) EXPECT_EQ(d, 1.0f + 3 * kUnit);
}

// Two times seven of 2^-24 beside 1 are seven units; Ampere cuts after the first seven and after the second, 3.5 each.
TEST_P(Matrix, AmpereAddsEightByEight) {
  std::vector<float> products(16, 0x1p-24f);
  products[0] = products[8] = 0.0f;
  for (const float d : sums_of(products, 1.0f, 80)) EXPECT_EQ(d, 1.0f + 6 * kUnit);
  for (const float d : sums_of(products, 1.0f, 90)) EXPECT_EQ(d, 1.0f + 7 * kUnit);
}

// The 13 low bits of a tf32 operand are ignored, so without to_tf32 a float is cut, not rounded.
TEST_P(Matrix, Tf32IgnoresLowBits) {
  std::vector<Operands> operands(32);
  for (Operands& o : operands) {
    o = {};
    for (std::uint32_t& r : o.a) r = simt::bits_of(1.0f) | 0x1fffu;
    for (std::uint32_t& r : o.b) r = simt::bits_of(1.0f);
  }
  const DeviceArray<Operands> device(operands);
  ASSERT_EQ(TT_LAUNCH((multiply<8, Type::kTf32>), 1, 32, 0, nullptr, device.get()), cudaSuccess);
  EXPECT_EQ(device.values()[0].d[0], 8.0f);
  EXPECT_EQ(ptx::to_tf32(simt::float_of(0x3f800fffu)), 0x3f800000u);
  EXPECT_EQ(ptx::to_tf32(simt::float_of(0x3f801000u)), 0x3f802000u);  // a tie goes away from zero
  EXPECT_EQ(ptx::to_tf32(simt::float_of(0xbf801000u)), 0xbf802000u);
  EXPECT_EQ(ptx::to_tf32(INFINITY), 0x7f800000u);
}

struct Registers {
  std::uint32_t r[4];
};
template <int kCount, bool kTransposed>
__global__ void load(Registers* out) {
  TT_SHARED(std::uint16_t, matrices, [4][8][16]);  // rows of 8 elements, 32 bytes apart
  for (int i = threadIdx.x; i < 4 * 8 * 16; i += 32)
    matrices[i / 128][i / 16 % 8][i % 16] =
        static_cast<std::uint16_t>(i % 16 < 8 ? i / 128 * 1000 + i / 16 % 8 * 10 + i % 16 : 9999);
  __syncwarp();
  const void* row = matrices[threadIdx.x / 8][threadIdx.x % 8];
  Registers result = {};
  std::uint32_t two[2] = {};
  if (kCount == 1 && !kTransposed) ptx::ldmatrix_x1(result.r[0], row);
  if (kCount == 1 && kTransposed) ptx::ldmatrix_x1_trans(result.r[0], row);
  if (kCount == 2 && !kTransposed) ptx::ldmatrix_x2(two, row);
  if (kCount == 2 && kTransposed) ptx::ldmatrix_x2_trans(two, row);
  if (kCount == 4 && !kTransposed) ptx::ldmatrix_x4(result.r, row);
  if (kCount == 4 && kTransposed) ptx::ldmatrix_x4_trans(result.r, row);
  if (kCount == 2) result = {{two[0], two[1], 0, 0}};
  out[threadIdx.x] = result;
}
template <int kCount, bool kTransposed>
void check_load() {
  const DeviceArray<Registers> out(32);
  ASSERT_EQ(TT_LAUNCH((load<kCount, kTransposed>), 1, 32, 0, nullptr, out.get()), cudaSuccess);
  const std::vector<Registers> found = out.values();
  for (unsigned lane = 0; lane < 32; lane++)
    for (unsigned i = 0; i < kCount; i++) {
      const unsigned g = lane / 4, t = lane % 4 * 2;
      const unsigned low = i * 1000 + (kTransposed ? t * 10 + g : g * 10 + t);
      const unsigned high = i * 1000 + (kTransposed ? (t + 1) * 10 + g : g * 10 + t + 1);
      EXPECT_EQ(found[lane].r[i], low | high << 16) << "lane " << lane << " matrix " << i;
    }
}
TEST_P(Matrix, LoadsOneTwoAndFour) {
  check_load<1, false>();
  check_load<2, false>();
  check_load<4, false>();
}
TEST_P(Matrix, LoadsTransposed) {
  check_load<1, true>();
  check_load<2, true>();
  check_load<4, true>();
}

TEST_P(Matrix, CountsBankConflicts) {
  simt::stats() = simt::Stats();
  const DeviceArray<Registers> out(32);
  ASSERT_EQ(TT_LAUNCH((load<4, false>), 1, 32, 0, nullptr, out.get()), cudaSuccess);
  EXPECT_EQ(simt::stats().matrix_loads, 4u);
  EXPECT_EQ(simt::stats().matrix_load_conflicts, 4u);  // rows 32 bytes apart: two passes each
}

// D = A B for tiles in shared memory, loaded as kernels do it: A and B row-major, B through .trans.
__global__ void multiply_tiles(const __nv_bfloat16* a, const __nv_bfloat16* b, float* d) {
  TT_SHARED(__nv_bfloat16, tile_a, [16][24]);
  TT_SHARED(__nv_bfloat16, tile_b, [16][24]);
  for (int i = threadIdx.x; i < 256; i += 32) {
    tile_a[i / 16][i % 16] = a[i];
    tile_b[i / 16][i % 16] = b[i];
  }
  __syncwarp();
  const int lane = ptx::lane_id();
  std::uint32_t fragment_a[4], fragment_b[4];
  ptx::ldmatrix_x4(fragment_a, &tile_a[lane % 16][lane / 16 * 8]);
  ptx::ldmatrix_x4_trans(fragment_b, &tile_b[lane % 16][lane / 16 * 8]);
  float left[4] = {}, right[4] = {};
  ptx::mma_m16n8k16_bf16(left, fragment_a, {fragment_b[0], fragment_b[1]});
  ptx::mma_m16n8k16_bf16(right, fragment_a, {fragment_b[2], fragment_b[3]});
  for (int i = 0; i < 4; i++) {
    const int row = lane / 4 + i / 2 * 8, col = lane % 4 * 2 + i % 2;
    d[row * 16 + col] = left[i];
    d[row * 16 + col + 8] = right[i];
  }
}
TEST_P(Matrix, TilesMultiply) {
  std::vector<__nv_bfloat16> a, b;
  for (float x : simt_test::random_floats(256, 4)) a.push_back(x);
  for (float x : simt_test::random_floats(256, 5)) b.push_back(x);
  const DeviceArray<__nv_bfloat16> device_a(a), device_b(b);
  const DeviceArray<float> d(256);
  ASSERT_EQ(TT_LAUNCH(multiply_tiles, 1, 32, 0, nullptr, device_a.get(), device_b.get(), d.get()),
            cudaSuccess);
  const std::vector<float> found = d.values();
  for (int i = 0; i < 16; i++)
    for (int j = 0; j < 16; j++) {
      double sum = 0.0;
      for (int k = 0; k < 16; k++)
        sum += static_cast<double>(a[i * 16 + k]) * static_cast<double>(b[k * 16 + j]);
      EXPECT_NEAR(found[i * 16 + j], sum, 1e-6);
    }
}

}  // namespace
