// The tensor core instructions. Layouts are those of the PTX ISA 8.4: "Matrix Fragments for mma.m16n8k8"
// and "... mma.m16n8k16 with floating point type" (9.7.13.4.7, .8), ldmatrix (9.7.13.4.15).
//
// With groupID = lane >> 2 and threadID_in_group = lane % 4, element i of a lane's fragment is
//   A, 16-bit, k16 (i < 8):  row = groupID + (i in {0,1,4,5} ? 0 : 8)
//                            col = threadID_in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0)
//   A, 16-bit, k8  (i < 4):  the same with i < 4
//   A, tf32,   k8  (i < 4):  row = groupID + (i in {0,2} ? 0 : 8);  col = threadID_in_group + (i < 2 ? 0 : 4)
//   B, 16-bit      (i < 4):  row = threadID_in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0);  col = groupID
//   B, tf32        (i < 2):  row = threadID_in_group + 4 i;  col = groupID
//   C and D        (i < 4):  row = groupID + (i < 2 ? 0 : 8);  col = threadID_in_group * 2 + (i & 1)
//
// Sums. Products are exact. They and C are aligned to the largest exponent among them, what lies more than 24 bits below it
// is cut off, 25 from Hopper on, and their exact sum is cut to a float, towards zero. On Ampere and Ada k16 (tf32: k8) is two
// such sums, one after the other. PTX does not specify it ("at least single precision"); it was found by testing the
// hardware: Fasi, Higham, Mikaitis, Pranesh, "Numerical behavior of NVIDIA tensor cores", PeerJ Computer Science 7:e330, 2021;
// Xie, Wang, Yang, Yang, "MMA-Sim: bit-accurate reference model of tensor cores and matrix cores", arXiv 2511.10909, 2025.
// A tf32 operand loses its 13 low bits, as the hardware ignores them.
#include "machine.h"
#include "simt/half.h"

#include <cmath>
#include <cstring>

namespace simt {

namespace {

constexpr int kM = 16, kN = 8, kMaxK = 16;

struct MmaOperand {
  float* d;
  const std::uint32_t* a;
  const std::uint32_t* b;
  int k;
  MmaType type;
};

// Element i of a fragment held in 32-bit registers.
float element(const std::uint32_t* registers, int i, MmaType type) {
  if (type == MmaType::kTf32) return float_of(registers[i] & 0xffffe000u);
  const std::uint16_t bits = static_cast<std::uint16_t>(registers[i / 2] >> (i % 2 * 16));
  return type == MmaType::kBf16 ? bf16_to_float(bits) : f16_to_float(bits);
}

float cut(double x) {
  const float rounded = static_cast<float>(x);
  return std::fabs(rounded) > std::fabs(x) ? std::nextafter(rounded, 0.0f) : rounded;
}

// Subnormal numbers have the least.
int exponent(float x) {
  return max(static_cast<int>(bits_of(x) >> 23 & 0xff), 1) - 127;
}
double power_of_two(int n) {
  const std::uint64_t bits = static_cast<std::uint64_t>(1023 + n) << 52;
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

struct Tile {
  float a[kM][kMaxK], b[kN][kMaxK], d[kM][kN];
};

void gather(Tile& tile, int lane, const MmaOperand& operand) {
  const int group = lane >> 2, in_group = lane % 4;
  const bool tf32 = operand.type == MmaType::kTf32;
  const int elements_a = kM * operand.k / 32, elements_b = kN * operand.k / 32;
  for (int i = 0; i < elements_a; i++) {
    const int row = group + ((tf32 ? i % 2 : i / 2 % 2) == 0 ? 0 : 8);
    const int col = tf32 ? in_group + (i < 2 ? 0 : 4) : in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
    tile.a[row][col] = element(operand.a, i, operand.type);
  }
  for (int i = 0; i < elements_b; i++) {
    const int row = tf32 ? in_group + 4 * i : in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0);
    tile.b[group][row] = element(operand.b, i, operand.type);
  }
  for (int i = 0; i < 4; i++)
    tile.d[group + (i < 2 ? 0 : 8)][in_group * 2 + (i & 1)] = operand.d[i];
}

void scatter(const Tile& tile, int lane, float* d) {
  const int group = lane >> 2, in_group = lane % 4;
  for (int i = 0; i < 4; i++) d[i] = tile.d[group + (i < 2 ? 0 : 8)][in_group * 2 + (i & 1)];
}

void complete_mma(void* const operands[32], unsigned) {
  const auto operand = [&](int lane) -> const MmaOperand& {
    return *static_cast<MmaOperand*>(operands[lane]);
  };
  const int k = operand(0).k;
  for (int lane = 1; lane < 32; lane++)
    if (operand(lane).k != k || operand(lane).type != operand(0).type)
      fail("mma: lane %d executes another shape or type than lane 0", lane);
  Tile tile;
  for (int lane = 0; lane < 32; lane++) gather(tile, lane, operand(lane));
  const int capability = machine.options.compute_capability;
  const bool longest = k == (operand(0).type == MmaType::kTf32 ? 8 : 16);
  const int step = longest && capability >= 80 && capability < 90 ? k / 2 : k;
  for (int i = 0; i < kM; i++) {
    for (int j = 0; j < kN; j++) {
      for (int l = 0; l < k; l += step)
        tile.d[i][j] = tensor_core_sum(tile.d[i][j], tile.a[i] + l, tile.b[j] + l, step,
                                       capability >= 90 ? 25 : 24);
    }
  }
  for (int lane = 0; lane < 32; lane++) scatter(tile, lane, operand(lane).d);
}
const Collective kMma{"mma", complete_mma, true};

struct LoadOperand {
  std::uint32_t* r;
  const std::uint16_t* row;
  std::uintptr_t address;
  int count;
  bool transposed;
};

// Eight rows of 16 bytes come in one pass if they lie in eight different groups of four banks.
unsigned extra_passes(void* const operands[32], int matrix) {
  unsigned rows_in_bank_group[8] = {}, most = 0;
  for (int r = 0; r < 8; r++) {
    const auto address = static_cast<LoadOperand*>(operands[matrix * 8 + r])->address;
    most = max(most, ++rows_in_bank_group[address / 16 % 8]);
  }
  return most - 1;
}

void complete_load(void* const operands[32], unsigned) {
  const auto operand = [&](int lane) -> const LoadOperand& {
    return *static_cast<LoadOperand*>(operands[lane]);
  };
  const int count = operand(0).count;
  const bool transposed = operand(0).transposed;
  for (int lane = 1; lane < 32; lane++)
    if (operand(lane).count != count || operand(lane).transposed != transposed)
      fail("ldmatrix: lane %d executes another form than lane 0", lane);
  for (int matrix = 0; matrix < count; matrix++) {
    const auto at = [&](int row, int col) -> std::uint32_t {
      return operand(matrix * 8 + row).row[col];
    };
    for (int lane = 0; lane < 32; lane++) {
      const int group = lane >> 2, pair = lane % 4 * 2;
      operand(lane).r[matrix] = transposed ? at(pair, group) | at(pair + 1, group) << 16
                                           : at(group, pair) | at(group, pair + 1) << 16;
    }
    machine.stats.matrix_loads++;
    machine.stats.matrix_load_conflicts += extra_passes(operands, matrix);
  }
}
const Collective kLoadMatrix{"ldmatrix", complete_load, true};

}  // namespace

float tensor_core_sum(float c, const float* a, const float* b, int count, int fraction_bits) {
  double sum = static_cast<double>(c);
  int largest = exponent(c);
  for (int l = 0; l < count; l++) {
    sum += static_cast<double>(a[l]) * b[l];
    largest = max(largest, exponent(a[l]) + exponent(b[l]));
  }
  if (!std::isfinite(sum)) return static_cast<float>(sum);
  const double scale = power_of_two(fraction_bits - largest);
  auto units = static_cast<std::int64_t>(static_cast<double>(c) * scale);  // cuts
  for (int l = 0; l < count; l++)
    units += static_cast<std::int64_t>(static_cast<double>(a[l]) * b[l] * scale);
  return cut(static_cast<double>(units) * power_of_two(largest - fraction_bits));
}

void mma(float* d, const std::uint32_t* a, const std::uint32_t* b, int k, MmaType type,
         Where where) {
  MmaOperand operand{d, a, b, k, type};
  collective(0xffffffffu, kMma, &operand, where);
}

void ldmatrix(std::uint32_t* r, const void* row, const void* address, int count, bool transposed,
              Where where) {
  LoadOperand operand{r, static_cast<const std::uint16_t*>(row),
                      reinterpret_cast<std::uintptr_t>(address), count, transposed};
  collective(0xffffffffu, kLoadMatrix, &operand, where);
}

}  // namespace simt
