// 128 stationary rows a block, 64 for each of two consumer warpgroups; tiles of 128 moving rows come through a ring of
// stages, filled with bulk copies by one thread of a third warpgroup. S = X Y^T with both operands in shared
// memory, e = exp2 of it in registers, U += E Y with E from registers: the accumulators of S are laid out as the A
// operand already.
//
// Order (that of FlashAttention-3, Shah et al. 2024, section 3). A consumer issues S of a tile and U of the tile before,
// then takes exponentials of the first while the second still runs; and the two consumers take turns in issuing, so
// that the tensor cores have one's products while the other takes exponentials.
//
// Shared memory. Rows lie in planes of 64 columns, 128 bytes a row, with the 16-byte piece c of row r at c ^ (r % 8):
// the 128-byte swizzle. Rows are packed like that in global memory, so a tile is one contiguous copy, and no
// tensor map is needed. For S a plane is read along its rows' columns (k contiguous: groups of 8 rows 1024
// bytes apart), for U the same memory down its rows (N contiguous: planes 16 KiB apart, 8 rows 1024 bytes apart).
//
// Work of a tile of 128 x 128 pairs in one pass, in clocks of a multiprocessor (4096 flops of bfloat16 products, 16
// exp2, 128 bytes of shared memory, an instruction for each of four schedulers; instructions as compiled by nvcc 12.4,
// times two warps a scheduler, "masked" where rows and columns may share keys):
//
//        products  exponentials  shared memory  instructions: kSum, kGiven  masked
//   d = 64   1024          1024            640                  736,    764    1024, 1052
//   d = 128  2048          1024           1280                  774,    806    1062, 1094
//
// Products bind, if all else runs beside them: at d = 64 two of four are full and the others nearly so, so that an
// overlap as good as FlashAttention-3's (which has a maximum and rescaling besides) would leave about 65 % of the
// 8 n m d floor without ids and 60 % with them; at d = 128 about 75 %. No GPU has confirmed it. A polynomial in place of
// some of the exponentials (7 instructions each) would help where they bind alone; here it would take what is left to issue.
#include "loss/hopper.h"

#include "loss/begin.cuh"
#include "loss/epilogue.cuh"
#include "loss/hopper_ptx.h"

namespace tt::cuda::loss::hopper {
namespace {

constexpr int kConsumers = 2;
constexpr int kBlockThreads = 128 * (kConsumers + 1);
// Handed over from one to the others: a block begins with 168 for each thread (of the 64 Ki by its launch bounds, in
// eights), and gives out as many. With fewer the consumers would wait for ever; report-resources.sh looks.
constexpr int kProducerRegisters = 24, kConsumerRegisters = 240;
static_assert(128 * (kProducerRegisters + kConsumers * kConsumerRegisters) == 168 * kBlockThreads);
constexpr int kPlane = kTileRows * 64;  // elements
using Columns = ColumnData<kTileRows>;

template <int kWidth>
struct Block {
  static constexpr int kPlanes = kWidth / 64;
  static constexpr int kStages =
      kWidth == 64 ? 6 : 5;  // two in use by each consumer, the rest on the way
  __nv_bfloat16 x[kPlanes][kPlane];
  __nv_bfloat16 y[kStages][kPlanes][kPlane];
  Columns columns[kStages];
  uint64_t x_full, full[kStages], empty[kStages];
};

using Operand = uint32_t[kTileRows / 16][4];  // 64 x 128 weights as A of the second product

// Those that only fill the last tile are rows, too.
template <int kWidth>
struct Packer {
  Rows side;
  __nv_bfloat16* packed;

  __host__ __device__ int64_t rows() const { return padded_rows(side.count); }
  __device__ void operator()(int64_t row) const {
    const bool exists = row < side.count;
    const float inverse = exists ? side.note_inverse(row) : 0.0f;
    const int64_t tile = row / kTileRows;
    const int r = static_cast<int>(row % kTileRows);
    for (int k = static_cast<int>(ptx::lane_id()); k < kWidth; k += 32) {
      const float unit = exists && k < side.d ? side.at(row)[k] * inverse : 0.0f;
      const int piece = (k % 64 / 8) ^ (r % 8);
      packed[(tile * (kWidth / 64) + k / 64) * kPlane + r * 64 + piece * 8 + k % 8] =
          __float2bfloat16(unit);
    }
  }
};

#if TT_SM90A || TT_SIMT

template <int kStages>
struct Ring {
  int stage = 0;
  uint32_t parity = 0;  // of the stage's barriers in this round
  __device__ void next() {
    if (++stage == kStages) {
      stage = 0;
      parity ^= 1;
    }
  }
};

// All bytes of a stage, counted by its barrier.
template <Mode kMode, int kWidth>
__device__ __forceinline__ void load_stage(Block<kWidth>& block, int stage, const Pass& p,
                                           int tile) {
  constexpr uint32_t kTileBytes = 2u * Block<kWidth>::kPlanes * kPlane,
                     kColumnBytes = 4u * kTileRows;
  uint64_t* full = &block.full[stage];
  Columns& columns = block.columns[stage];
  const int64_t first = static_cast<int64_t>(tile) * kTileRows;
  barrier_expect(full, kTileBytes + (kGradient<kMode> ? 5 : 2) * kColumnBytes);
  bulk_copy(block.y[stage], packed(p.y) + first * kWidth, kTileBytes, full);
  bulk_copy(columns.addend, p.addend_y + first, kColumnBytes, full);
  bulk_copy(columns.key, p.key_y + first, kColumnBytes, full);
  if constexpr (kGradient<kMode>) {
    bulk_copy(columns.factor, p.factor_y + first, kColumnBytes, full);
    bulk_copy(columns.position, p.position_y + first, kColumnBytes, full);
    bulk_copy(columns.positive, p.positive_y + first, kColumnBytes, full);
  }
}

template <Mode kMode, int kWidth>
__device__ void produce(Block<kWidth>& block, const Pass& p, int begin, int end) {
  using B = Block<kWidth>;
  if (threadIdx.x % 128 != 0) return;
  barrier_expect(&block.x_full, 2u * B::kPlanes * kPlane);
  bulk_copy(block.x, packed(p.x) + static_cast<int64_t>(blockIdx.x) * kTileRows * kWidth,
            2u * B::kPlanes * kPlane, &block.x_full);
  Ring<B::kStages> ring;
  for (int tile = begin; tile < end; tile++, ring.next()) {
    // The first round finds the stages empty: the phase "before the first" counts as complete.
    barrier_wait(&block.empty[ring.stage], ring.parity ^ 1);
    load_stage<kMode>(block, ring.stage, p, tile);
  }
}

// S = X Y^T for the 64 rows of a warpgroup.
template <int kWidth>
__device__ __forceinline__ void issue_scores(float (&s)[16][4], const __nv_bfloat16 (*x)[kPlane],
                                             const __nv_bfloat16 (*y)[kPlane], int first_row) {
  const auto a = descriptor(x[0] + first_row * 64, 16, 1024), b = descriptor(y[0], 16, 1024);
#pragma unroll
  for (int k = 0; k < kWidth; k += 16) {
    const int bytes = 2 * (k / 64 * kPlane + k % 64);
    multiply(s, advance(a, bytes), advance(b, bytes), k > 0);
  }
  products_commit();
}

// u += E Y.
template <int kWidth>
__device__ __forceinline__ void issue_products(float (&u)[kWidth / 8][4], const Operand& e,
                                               const __nv_bfloat16 (*y)[kPlane]) {
  const auto b = descriptor(y[0], 2 * kPlane, 1024);
#pragma unroll
  for (int k = 0; k < kTileRows / 16; k++) multiply_rows(u, e[k], advance(b, k * 2048));
  products_commit();
}

__device__ __forceinline__ void to_operand(Operand& a, const float (&e)[16][4]) {
#pragma unroll
  for (int k = 0; k < kTileRows / 16; k++) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float(&pair)[4] = e[2 * k + i / 2];
      a[k][i] = ptx::pack_bf16(pair[i % 2 * 2], pair[i % 2 * 2 + 1]);
    }
  }
}

// The consumers take turns: one that has issued its products lets the other one issue. Each barrier sees as many
// arrivals of one as waits of the other, so that none is left over at the end.
struct Turns {
  int group;
  __device__ void wait(bool first) const {
    if (!first || group != 0) ptx::bar_sync(1 + group, 256);
  }
  __device__ void pass(bool last) const {
    if (!last || group == 0) ptx::bar_arrive(2 - group, 256);
  }
};

// The producer may fill the stage again. Its rows were read by products only, but its columns by loads.
template <int kWidth>
__device__ __forceinline__ void release(Block<kWidth>& block, int stage) {
  fence_async_proxy();
  __syncwarp();
  if (ptx::lane_id() == 0) barrier_arrive(&block.empty[stage]);
}

template <Mode kMode, int kWidth, bool kProducts>
__device__ void consume(Block<kWidth>& block, const Pass& p, int begin, int end) {
  using B = Block<kWidth>;
  // From lane 0, which tells the compiler that it is one for the warp: descriptors stay in uniform registers.
  const int warp = __shfl_sync(0xffffffffu, static_cast<int>(threadIdx.x) / 32, 0);
  const int lane = static_cast<int>(ptx::lane_id());
  const Turns turns{warp / 4};
  const int first_row = warp / 4 * 64;  // of the warpgroup, in the tile
  const int thread_row =
      static_cast<int>(blockIdx.x) * kTileRows + first_row + warp % 4 * 16 + lane / 4;
  RowData<1> rows;
  load_rows<kMode>(rows, p, thread_row);
  const bool shifted = is_shifted<kMode>(p);
  const float scale = *p.scale;
  // Two exponents at a time and registers of products under way are more than there are.
  constexpr bool kOverlap = kProducts && kMode != Mode::kGivenBoth;
  float u[1][kWidth / 8][4] = {};
  // Of the tile before, and its stage. An empty one at first, so that the loop needs no first round of its own.
  Operand e = {};
  int before = 0;
  barrier_wait(&block.x_full, 0);
  Ring<B::kStages> ring;
  for (int tile = begin; tile < end; tile++, ring.next()) {
    const int stage = ring.stage;
    barrier_wait(&block.full[stage], ring.parity);
    __syncwarp();  // lanes leave a wait one by one
    // Before the products: what it reads and votes on would be waited for behind them, where the compiler would put it.
    Rules rules = rules_of<kMode>(rows, block.columns[stage], thread_row);
    ptx::settle_here(rules.masked);
    ptx::settle_here(rules.positives);
    float s[1][16][4];
    turns.wait(tile == begin);
    if constexpr (kProducts) {
      settle(u[0]);
      settle(e);
    }
    products_begin();
    issue_scores<kWidth>(s[0], block.x, block.y[stage], first_row);
    if constexpr (kProducts) issue_products<kWidth>(u[0], e, block.y[before]);
    turns.pass(tile + 1 == end);
    products_wait<kOverlap ? 1 : 0>();
    settle(s[0]);
    weigh<kMode>(s, rows, block.columns[stage], rules, scale, p.ny - tile * kTileRows, thread_row,
                 shifted);
    if constexpr (kProducts) {
      if (kOverlap) products_wait<0>();
      settle(u[0]);
      settle(e);
    }
    if (!kProducts || tile > begin) release(block, kProducts ? before : stage);
    if constexpr (kMode == Mode::kOnline) {
      follow_maximum<1, kTileRows, kWidth>(s, u, rows);
      add_sums<1, kTileRows>(rows, s);
    }
    if constexpr (kProducts) to_operand(e, s[0]);
    before = stage;
  }
  if constexpr (kProducts) {
    if (begin < end) {
      settle(u[0]);
      settle(e);
      products_begin();
      issue_products<kWidth>(u[0], e, block.y[before]);
      products_wait<0>();
      settle(u[0]);
    }
  }
  store<kMode, 1, kWidth>(p, rows, u, thread_row);
}

#endif

// Grid: (stationary tiles, splits).
template <Mode kMode, int kWidth, bool kProducts>
__global__ void __launch_bounds__(kBlockThreads, 1) hopper_pass(Pass p) {
#if TT_SM90A || TT_SIMT
  using B = Block<kWidth>;
  TT_DYN_SHARED(unsigned char, memory);
  // Swizzled planes begin at a multiple of 1024. Added, not rounded as a number, and said to be aligned: so that the
  // compiler takes it for shared memory, and loads by twos.
  B& block = *reinterpret_cast<B*>(
      __builtin_assume_aligned(memory + (-reinterpret_cast<uintptr_t>(memory) & 1023), 1024));
  if (!p.condition.holds()) return;
  const int tiles = (p.ny + kTileRows - 1) / kTileRows;
  const int begin = static_cast<int>(static_cast<int64_t>(tiles) * blockIdx.y / gridDim.y);
  const int end = static_cast<int>(static_cast<int64_t>(tiles) * (blockIdx.y + 1) / gridDim.y);
  if (threadIdx.x == 0) {
    barrier_init(&block.x_full, 1);
    for (int i = 0; i < B::kStages; i++) {
      barrier_init(&block.full[i], 1);
      barrier_init(&block.empty[i], 4 * kConsumers);  // a lane of each warp
    }
    fence_barrier_init();
  }
  __syncthreads();
  if (threadIdx.x >= 128 * kConsumers) {
    fewer_registers<kProducerRegisters>();
    produce<kMode>(block, p, begin, end);
  } else {
    more_registers<kConsumerRegisters>();
    consume<kMode, kWidth, kProducts>(block, p, begin, end);
  }
#endif
}

template <int kWidth>
cudaError_t run_width(const Pass& p, Mode mode, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(padded_rows(p.nx) / kTileRows),
                  static_cast<unsigned>(p.splits));
  const size_t bytes = sizeof(Block<kWidth>) + 1024;
  const auto launch = [&](auto kernel) {
    return TT_LAUNCH(kernel, grid, dim3(kBlockThreads), bytes, stream, p);
  };
  switch (mode) {
    case Mode::kSum:
      return p.products != nullptr ? launch(hopper_pass<Mode::kSum, kWidth, true>)
                                   : launch(hopper_pass<Mode::kSum, kWidth, false>);
    case Mode::kOnline:
      return p.products != nullptr ? launch(hopper_pass<Mode::kOnline, kWidth, true>)
                                   : launch(hopper_pass<Mode::kOnline, kWidth, false>);
    case Mode::kGiven:
      return launch(hopper_pass<Mode::kGiven, kWidth, true>);
    case Mode::kGivenSum:
      return launch(hopper_pass<Mode::kGivenSum, kWidth, true>);
    case Mode::kGivenBoth:
      return launch(hopper_pass<Mode::kGivenBoth, kWidth, true>);
  }
  return cudaErrorInvalidValue;
}

}  // namespace

bool built() {
#if defined(TT_BUILT_SM90A) || TT_SIMT
  return true;
#else
  return false;
#endif
}

int padded_width(int d) {
  return d <= 64 ? 64 : d <= 128 ? 128 : 0;
}

int splits_for(int64_t nx, int64_t ny, int multiprocessors) {
  const int64_t blocks = padded_rows(nx) / kTileRows, tiles = padded_rows(ny) / kTileRows;
  // One block a multiprocessor, each with at least four tiles.
  return balanced_splits(blocks, multiprocessors, (tiles + 3) / 4);
}

template <int kWidth>
static cudaError_t begin_width(const Problem& p, const Side& q, const Side& c, Facts* facts,
                               cudaStream_t stream) {
  const auto packer = [&](const float* rows, int64_t count, const Side& side) {
    return Packer<kWidth>{Rows{rows, count, p.d, side.inverse_norm},
                          static_cast<__nv_bfloat16*>(side.packed)};
  };
  return begin_with(packer(p.queries, p.n, q), packer(p.candidates, p.m, c), p, facts, stream);
}

cudaError_t begin(const Problem& p, const Side& q, const Side& c, int width, Facts* facts,
                  cudaStream_t stream) {
  return width == 64 ? begin_width<64>(p, q, c, facts, stream)
                     : begin_width<128>(p, q, c, facts, stream);
}

cudaError_t run(const Pass& pass, Mode mode, int width, cudaStream_t stream) {
  return width == 64 ? run_width<64>(pass, mode, stream) : run_width<128>(pass, mode, stream);
}

}  // namespace tt::cuda::loss::hopper
