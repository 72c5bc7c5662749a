// The CUDA backend's context: what every op gets first.
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "backend.h"
#include "dense/cublaslt.h"
#include "device.h"
#include "error.h"
#include "graph.h"
#include "memory_pool.h"
#include "twintail.h"

namespace tt::cuda {

/// Throws what the status means: nothing for cudaSuccess; TT_DEVICE_ERROR where the device's context is
/// lost; TT_OUT_OF_MEMORY; TT_UNSUPPORTED where this library has no code for the device, or the driver cannot compile it; else
/// TT_INTERNAL.
/// doing: e.g. "embedding_gather".
void check(cudaError_t status, const char* doing);

/// Memory of the current device that is free, or -1.
int64_t free_memory();

/// Temporary device memory that every op takes from and gives back. Grows to the high-water mark of
/// the ops run so far and is then reused, so that a training step allocates nothing. All work of a
/// context is ordered by its stream, so memory given back by one op may be taken by the next at once.
/// Its addresses change while it grows and in trim(): work that the stream's owner has captured holds as long as neither
/// happens; a Recording is launched before the former and takes the new addresses with the next.
class Workspace {
 public:
  Workspace(MemoryPool& pool, void (*count_bytes)(int64_t delta))
      : pool_(pool), count_bytes_(count_bytes) {}
  ~Workspace() { trim(); }
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  int64_t reserved() const { return reserved_; }

  /// Gives everything back to the pool. Only while no scope is open.
  void trim() noexcept;

 private:
  friend class Scope;
  struct Chunk {
    char* memory;
    size_t size, used;
  };

  void* take(size_t bytes);
  void add_chunk(size_t bytes);
  void join_chunks() noexcept;

  MemoryPool& pool_;
  std::vector<Chunk> chunks_;
  int64_t reserved_ = 0;
  bool open_ = false;
  void (*count_bytes_)(int64_t);
};

/// The memory of one op, until the scope ends. One scope at a time.
class Scope {
 public:
  explicit Scope(Workspace& workspace);
  ~Scope();
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;

  /// count elements of device memory, 256-byte aligned, not zeroed, never NULL. Throws TT_OUT_OF_MEMORY.
  template <class T>
  T* get(int64_t count) {
    static_assert(std::is_trivially_copyable_v<T>, "device memory is not constructed");
    return static_cast<T*>(take(count, sizeof(T)));
  }

 private:
  void* take(int64_t count, size_t size);

  Workspace& workspace_;
};

struct Device {
  int index;
  int multiprocessors;
  int capability;              // times 10: 800 for sm_80
  int shared_bytes_per_block;  // that a kernel may ask for
  size_t memory_bytes;
  bool pools;  // memory can be taken in a stream's order
  char name[128];
};

/// The most special kernels that may be used: TWINTAIL_CUDA_KERNELS = plain (the readable ones), tuned (the default) or
/// hopper (those for sm_90a too, which no GPU has confirmed).
enum class Kernels { kPlain, kTuned, kHopper };

/// A stream of one's own, or somebody else's.
class Stream {
 public:
  explicit Stream(void* adopted);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  cudaStream_t get() const { return stream_; }

 private:
  cudaStream_t stream_ = nullptr;
  bool owned_ = false;
};

struct Context {
  Context(const tt_context_options& options, void (*count_bytes)(int64_t));
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  /// kCounters numbers on the device that are zero between kernels: who counts with atomicInc leaves them so. The first
  /// call takes memory, which interrupts a recording.
  unsigned* counters();
  static constexpr int64_t kCounters = 512;

 private:
  Stream own_stream;  // outlives all that is ordered by it
  unsigned* counters_ = nullptr;

 public:
  Device device;
  cudaStream_t
      stream;  // that ops put their work on: recording's while it records, not to be kept over a Scope::get
  Recording recording;
  Kernels kernels;
  MemoryPool pool;
  Workspace workspace;
  CublasLt cublaslt;
};

/// Device memory to the host; waits for all work before it.
template <class T>
void read(Context& context, const T* from, int64_t count, T* to, const char* doing) {
  context.recording.interrupt();
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T), cudaMemcpyDeviceToHost,
                        context.stream),
        doing);
  check(cudaStreamSynchronize(context.stream), doing);
}

/// Host memory to the device; waits until it is there. A copy from pageable memory may return before it has read all, where the
/// device reads that by itself, and whoever owns the memory may not get as far as the next wait. Not part of a graph, which
/// would read the host's memory when it runs; see Staging for ops that may be, or must not wait.
template <class T>
void write(Context& context, const T* from, int64_t count, T* to, const char* doing) {
  context.recording.interrupt();
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(count) * sizeof(T), cudaMemcpyHostToDevice,
                        context.stream),
        doing);
  check(cudaStreamSynchronize(context.stream), doing);
}

/// A one-dimensional grid of blocks of `block` threads, one thread an element.
inline dim3 grid_for(int64_t count, int block) {
  return dim3(static_cast<unsigned>((count + block - 1) / block));
}

// The ops, one file each. Arguments were checked by the core; contents of device memory are not looked
// at. All may throw tt::Error; all only put work on the stream unless stated.
void graph_begin(Context&);
void graph_end(Context&);
void fill_uniform(Context&, uint64_t seed, uint32_t purpose, int64_t step, float lo, float hi,
                  int64_t count, float* out);
void sample_rows(Context&, uint64_t seed, uint32_t purpose, int64_t step, int64_t bound, int64_t n,
                 int32_t* out);
void sample_clicks(Context&, uint64_t seed, uint32_t purpose, int64_t epoch, const int32_t* users,
                   const int32_t* items, int64_t count, int64_t start, int64_t n,
                   int32_t* out_users, int32_t* out_items);
/// Waits for the device, here so that the ops on the table need not.
void table_create(Context&, const Table* table, void** table_impl);
void table_destroy(void* context, void* table_impl);
void embedding_gather(Context&, const Table* table, const tt_embedding* embeddings,
                      int32_t embedding_count, const tt_gather_view* views, int32_t view_count);
/// Waits for the device where values are wanted: their number is checked.
void augmented_values(Context&, const Table* table, const tt_gather_view* view, int32_t feature,
                      uint64_t* masks, int64_t* offsets, int32_t* values, int64_t capacity);
/// Waits for the device only where rows can be so long that memory for the worst case is not reserved.
void embedding_gather_backward(Context&, const Table* table, const tt_embedding* embeddings,
                               int32_t embedding_count, const tt_gather_view* views,
                               int32_t view_count, const tt_sparse_gradient* gradients);
void embedding_gather_update(Context&, const tt_optimizer* optimizer, const Table* table,
                             const tt_embedding* embeddings, int32_t embedding_count,
                             const tt_gather_view* views, int32_t view_count);
void sparse_update(Context&, const tt_optimizer* optimizer, const tt_embedding* embedding,
                   const int32_t* ids, const float* values, int64_t count);
void dense_update(Context&, const tt_optimizer* optimizer, float* parameters,
                  const float* gradients, float* state1, float* state2, int64_t count);
void clip(Context&, float low, float high, float* values, int64_t count);
void linear(Context&, int64_t n, int32_t in, int32_t out, const float* x, const float* weights,
            const float* bias, int32_t activation, float* y);
void linear_backward(Context&, int64_t n, int32_t in, int32_t out, const float* x,
                     const float* weights, int32_t activation, const float* y, const float* grad_y,
                     float* grad_x, float* grad_weights, float* grad_bias);
void sampled_softmax(Context&, const tt_sampled_softmax_args* args);
void contrastive(Context&, const tt_contrastive_args* args);
/// Waits for the device where there are exclusions, to learn how many.
void top_k(Context&, const tt_retrieval_args* args, int32_t k, int32_t* ids, float* scores);
/// Waits for the device, to learn how many targets and exclusions there are.
void rank(Context&, const tt_retrieval_args* args, const int64_t* target_offsets,
          const int32_t* targets, int32_t* ranks);
/// Waits for the device: the number of pairs is the host's.
void pair_counts(Context&, const Table* table, int32_t feature_a, int32_t feature_b,
                 int64_t row_begin, int64_t row_end, int64_t capacity, int32_t* values_a,
                 int32_t* values_b, int64_t* counts, int64_t* pair_count);

}  // namespace tt::cuda
