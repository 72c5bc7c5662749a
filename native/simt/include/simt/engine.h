// The machine under the CUDA words: fibers, warps, blocks, shared memory, and the diagnosis of what
// goes wrong in them. Kernels do not call this header's functions; the other headers of simt/ do.
//
// How a grid runs. Blocks run one after another; each CUDA thread of a block is a fiber. A fiber runs
// until it waits (a barrier, a warp operation), and the operation itself is done once, for all lanes,
// by the lane that arrives last. Which ready fiber goes next depends on Options::seed alone, so a
// failure repeats. A kernel that does something forbidden is stopped, the reason is printed and kept
// (last_failure), and the launch returns cudaErrorLaunchFailure, which sticks as on a GPU.
#pragma once

#include "simt/vector_types.h"

extern uint3 threadIdx, blockIdx;  // set at every switch of fibers
extern dim3 blockDim, gridDim;
constexpr int warpSize = 32;

namespace simt {

// A place in a kernel's source; `Where w = Where::here()` as a default argument is the caller's.
struct Where {
  const char* file = "";
  int line = 0;
  static constexpr Where here(const char* f = __builtin_FILE(), int l = __builtin_LINE()) {
    return Where{f, l};
  }
};

struct Options {
  // The schedule: 0 all threads in step, 1 the last threads run ahead, 2 the first threads run ahead,
  // 3, 5, 7 ... the next thread is drawn at random, 4, 6, 8 ... random warps run ahead. The order of
  // blocks: ascending for 0 and 2, descending for 1, else shuffled. Environment: SIMT_SEED.
  std::uint64_t seed = 0;
  // What the device claims to be. Launchers choose their kernels and tile sizes by it. SIMT_SM, SIMT_SMS.
  int compute_capability = 80;
  int multiprocessors = 4;
  int device_count = 1;
  int driver_version = 12040;  // 0: there is no driver
  std::size_t memory_bytes = std::size_t{8}
                             << 30;  // what cudaMalloc can hand out in all; SIMT_MEMORY_MB
  bool print_failures = true;
  bool locate_code =
      true;  // name lines in reports of bad accesses (addr2line, a fraction of a second)
  // A host that touches device memory crashes, as it would with a GPU. SIMT_HOST_GUARD=0 turns it off.
  bool host_guard = true;
  // With the checker: reading bytes that nobody wrote stops the kernel. SIMT_UNINITIALISED=1 allows it.
  bool check_uninitialised = true;
  // Work on streams waits until somebody synchronises, instead of running at once. SIMT_DEFER=1.
  bool defer_streams = false;
  // Name each kernel, copy and fill on standard error when it runs. SIMT_TRACE=1.
  bool trace = false;
  // What cudaDevAttrMemoryPoolsSupported says. SIMT_POOLS=0.
  bool memory_pools = true;
  // What cudaDevAttrPageableMemoryAccess says: then a copy from pageable memory may read it when the copy is done.
  bool pageable_access = false;
  // The cudaError_t that every cudaGraphExecUpdate returns, or 0: it does what it is asked.
  int graph_update_error = 0;
};
Options& options();

struct Stats {
  std::uint64_t launches, blocks, threads, switches, collectives, barriers;
  // Shared-memory passes that ldmatrix needed beyond one per 8x8 matrix: zero means no bank conflict.
  std::uint64_t matrix_loads, matrix_load_conflicts;
};
Stats& stats();

// The text of the last failure ("" if none), and back to a healthy device.
const std::string& last_failure();
void clear_failure();

// Gives back the stacks of the CUDA threads that have run; the next launch makes new ones. For a fork under
// ThreadSanitizer: it counts fibers as threads, and hardly watches the child of a threaded process.
void free_threads();

// Stops the kernel from inside one of its threads.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

unsigned thread_rank();  // in the block
inline unsigned lane() {
  return thread_rank() & 31u;
}

// ---- operations of a warp ---------------------------------------------------------------------------

// One kind of operation: done by the last lane, with the operand of every lane of the mask.
struct Collective {
  const char* name;
  void (*complete)(void* const operands[32], unsigned mask);
  bool whole_warp;  // .aligned instructions: all 32 lanes or undefined
};
void collective(unsigned mask, const Collective& kind, void* operand, Where where);

enum class Reduction { kAdd, kMin, kMax, kMinSigned, kMaxSigned, kAnd, kOr, kXor };

void sync_warp(unsigned mask, Where where);
std::uint64_t shuffle(unsigned mask, std::uint64_t bits, int source_lane, Where where);
unsigned ballot(unsigned mask, bool predicate, Where where);
unsigned reduce(unsigned mask, unsigned value, Reduction reduction, Where where);
unsigned match_any(unsigned mask, std::uint64_t bits, Where where);
unsigned match_all(unsigned mask, std::uint64_t bits, Where where);

// ---- barriers of a block ----------------------------------------------------------------------------

enum class Vote { kNone, kCount, kAnd, kOr };
int block_barrier(int predicate, Vote vote, Where where);
void named_barrier_sync(unsigned id, unsigned threads, Where where);
void named_barrier_arrive(unsigned id, unsigned threads, Where where);

// ---- scheduling -------------------------------------------------------------------------------------

void yield(Where where);        // __nanosleep
void atomic_step(Where where);  // every atomic: a thread that spins must let others run
void thread_fence();

// ---- shared memory ----------------------------------------------------------------------------------

// One static variable in shared memory (TT_SHARED). Its address is the same for all threads and blocks;
// its contents are poisoned when a block first touches it. A guard page lies behind it.
extern std::uint64_t shared_epoch;  // counts blocks
struct SharedVariable {
  const char* name;
  std::size_t size;
  Where where;
  std::uint64_t epoch = 0;
  void* address = nullptr;
  __attribute__((no_sanitize("thread"))) void* get() {
    if (epoch != shared_epoch) attach();
    return address;
  }
  void attach();
};
void* dynamic_shared();
std::size_t dynamic_shared_size();
bool is_shared(const void* p, std::size_t bytes);

// ---- cp.async ---------------------------------------------------------------------------------------

struct AsyncCopy {
  void* to;
  const void* from;
  int bytes, valid;  // the rest is filled with zeros
};
void async_copy_check(const AsyncCopy& copy,
                      Where where);  // then the caller poisons the destination
void async_copy_start(const AsyncCopy& copy);
void async_copy_commit();
// The copies that a wait for all but the last `left` groups makes visible; the caller performs them.
std::size_t async_copy_ready(int left);
AsyncCopy async_copy_at(std::size_t i);
void async_copy_done(std::size_t count);

// ---- mbarrier ---------------------------------------------------------------------------------------

void mbarrier_init(std::uint64_t* barrier, unsigned arrivals, Where where);
// bytes: added to what the phase waits for, or, negative, what has come.
void mbarrier_change(std::uint64_t* barrier, unsigned arrivals, std::int64_t bytes, Where where);
void mbarrier_wait(std::uint64_t* barrier, unsigned parity, Where where);

// ---- proxies ----------------------------------------------------------------------------------------

// Bulk copies and products reach shared memory by the async proxy, loads and stores by the generic one (PTX ISA 8.4,
// 8.2.1). The checker wants a fence between a generic access and an async one to the same bytes, in the thread that did
// the former: as CUTLASS has it, though PTX would accept one in the latter's. Back again, waiting for the copy or the
// product is enough.
void fence_async_proxy();
// While one lives, the current thread's accesses are async ones.
class AsyncProxy {
 public:
  AsyncProxy();
  ~AsyncProxy();
  AsyncProxy(const AsyncProxy&) = delete;
  AsyncProxy& operator=(const AsyncProxy&) = delete;
};

// ---- wgmma ------------------------------------------------------------------------------------------

// A matrix in shared memory, as a descriptor has it: distances in bytes.
struct MatrixInShared {
  const unsigned char* start;
  std::uint32_t leading, stride;
};

// A lane's part of a product.
struct Product {
  float* d;
  int count;                  // accumulators
  const std::uint32_t* rows;  // four registers of A, or NULL: from shared memory
  MatrixInShared a, b;
  bool add;
};

void products_fence();  // wgmma.fence
// Until it is done the accumulators hold a NaN that nothing else is.
void product_start(const Product& product, Where where);
void products_commit();
// How many products a wait for all but the last `left` groups makes visible; the caller does them in their order.
std::size_t products_ready(int left);
// The i-th, with the accumulators as they were. Fails if somebody touched its registers meanwhile.
Product product_begin(std::size_t i, Where where);
void products_done(std::size_t count);

// ---- tensor cores -----------------------------------------------------------------------------------

// c + sum of a[l] b[l], with what tensor cores round away (src/matrix.cpp).
float tensor_core_sum(float c, const float* a, const float* b, int count, int fraction_bits);
enum class MmaType { kBf16, kF16, kTf32 };
// D = A B + D for one warp: m = 16, n = 8; k as given. Fragments as in the PTX ISA (src/matrix.cpp).
void mma(float* d, const std::uint32_t* a, const std::uint32_t* b, int k, MmaType type,
         Where where);
// `row`: this lane's 16 bytes, read by itself from `address`; r: `count` registers.
void ldmatrix(std::uint32_t* r, const void* row, const void* address, int count, bool transposed,
              Where where);

}  // namespace simt
