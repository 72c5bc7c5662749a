// What a backend offers to the core: one table of plain functions over opaque objects.
//
// The CPU backend is linked in; the CUDA backend is the plugin libtwintail_cuda.so, which exports
// tt_backend_open. Both sides are built from the same commit, and kBackendVersion is compared at
// load.
//
// Division of labour
// - The core checks what needs no look at device memory: pointers for NULL, shapes, enums, finite
//   scalars, struct sizes. It keeps the public handles, counts bytes, and remembers a dead context.
// - The backend checks contents where it can do so cheaply, and does the work. No exception may
// leave
//   it: every function fills *error and returns its status (tt::guard, tt::Bind below).
#ifndef TWINTAIL_CORE_BACKEND_H
#define TWINTAIL_CORE_BACKEND_H

#include <cstddef>
#include <cstdint>
#include <utility>

#include "error.h"
#include "twintail.h"

namespace tt {

constexpr int32_t kBackendVersion = 5;

/// A feature table as the core hands it to an op: checked, and owned by the core.
struct Table {
  int32_t feature_count;
  const tt_feature* features;  // host
  int64_t rows;
  int64_t catalogue_rows;
  const int64_t* list_offsets;  // device, or NULL
  const int32_t* list_rows;     // device
  int64_t list_count;
  void* impl;  // what the backend's table_create returned; may be NULL
};

/// What the core offers to a backend.
struct Host {
  /// Adds to tt_live_bytes (workspace, tables); negative when given back.
  void (*count_bytes)(int64_t delta);
};

/// Every function but probe takes the backend's context first and the error to fill second.
struct Backend {
  int32_t version;    // kBackendVersion
  int32_t device;     // tt_device
  int32_t confirmed;  // 0: no real device has run its tests yet
  const char* name;

  /// Number of devices; reason [reason_size] gets one line on what was found or why nothing was.
  int32_t (*probe)(char* reason, size_t reason_size);

  tt_status (*create)(const tt_context_options* options, void** impl, tt_error* error);
  void (*destroy)(void* impl);
  /// Fills all but struct_size, device, device_index and live_bytes, which is filled already.
  tt_status (*get_info)(void* impl, tt_error* error, tt_context_info* info);
  tt_status (*synchronize)(void* impl, tt_error* error);
  tt_status (*trim)(void* impl, tt_error* error);

  /// bytes >= 1. The core knows the size of what it frees, and counts.
  tt_status (*alloc)(void* impl, tt_error* error, int64_t bytes, void** pointer);
  tt_status (*free)(void* impl, tt_error* error, void* pointer, int64_t bytes);
  tt_status (*copy)(void* impl, tt_error* error, void* to, const void* from, int64_t bytes,
                    int32_t direction);
  tt_status (*zero)(void* impl, tt_error* error, void* pointer, int64_t bytes);

  /// Alternating; the end is called for every begin that has succeeded, after failures in between, too.
  tt_status (*graph_begin)(void* impl, tt_error* error);
  tt_status (*graph_end)(void* impl, tt_error* error);

  tt_status (*fill_uniform)(void* impl, tt_error* error, uint64_t seed, uint32_t purpose,
                            int64_t step, float lo, float hi, int64_t count, float* out);
  tt_status (*sample_rows)(void* impl, tt_error* error, uint64_t seed, uint32_t purpose,
                           int64_t step, int64_t bound, int64_t n, int32_t* out);
  tt_status (*sample_clicks)(void* impl, tt_error* error, uint64_t seed, uint32_t purpose,
                             int64_t epoch, const int32_t* users, const int32_t* items,
                             int64_t count, int64_t start, int64_t n, int32_t* out_users,
                             int32_t* out_items);

  /// Checks the contents of the table (whose impl is NULL then) and returns its own part of it.
  tt_status (*table_create)(void* impl, tt_error* error, const Table* table, void** table_impl);
  void (*table_destroy)(void* impl, void* table_impl);

  tt_status (*embedding_gather)(void* impl, tt_error* error, const Table* table,
                                const tt_embedding* embeddings, int32_t embedding_count,
                                const tt_gather_view* views, int32_t view_count);
  tt_status (*augmented_values)(void* impl, tt_error* error, const Table* table,
                                const tt_gather_view* view, int32_t feature, uint64_t* masks,
                                int64_t* offsets, int32_t* values, int64_t capacity);
  tt_status (*embedding_gather_backward)(void* impl, tt_error* error, const Table* table,
                                         const tt_embedding* embeddings, int32_t embedding_count,
                                         const tt_gather_view* views, int32_t view_count,
                                         const tt_sparse_gradient* gradients);
  tt_status (*embedding_gather_update)(void* impl, tt_error* error, const tt_optimizer* optimizer,
                                       const Table* table, const tt_embedding* embeddings,
                                       int32_t embedding_count, const tt_gather_view* views,
                                       int32_t view_count);
  tt_status (*sparse_update)(void* impl, tt_error* error, const tt_optimizer* optimizer,
                             const tt_embedding* embedding, const int32_t* ids, const float* values,
                             int64_t count);
  tt_status (*dense_update)(void* impl, tt_error* error, const tt_optimizer* optimizer,
                            float* parameters, const float* gradients, float* state1, float* state2,
                            int64_t count);
  tt_status (*clip)(void* impl, tt_error* error, float low, float high, float* values,
                    int64_t count);

  tt_status (*linear)(void* impl, tt_error* error, int64_t n, int32_t in, int32_t out,
                      const float* x, const float* weights, const float* bias, int32_t activation,
                      float* y);
  tt_status (*linear_backward)(void* impl, tt_error* error, int64_t n, int32_t in, int32_t out,
                               const float* x, const float* weights, int32_t activation,
                               const float* y, const float* grad_y, float* grad_x,
                               float* grad_weights, float* grad_bias);

  tt_status (*sampled_softmax)(void* impl, tt_error* error, const tt_sampled_softmax_args* args);
  tt_status (*contrastive)(void* impl, tt_error* error, const tt_contrastive_args* args);

  tt_status (*top_k)(void* impl, tt_error* error, const tt_retrieval_args* args, int32_t k,
                     int32_t* ids, float* scores);
  tt_status (*rank)(void* impl, tt_error* error, const tt_retrieval_args* args,
                    const int64_t* target_offsets, const int32_t* targets, int32_t* ranks);

  tt_status (*pair_counts)(void* impl, tt_error* error, const Table* table, int32_t feature_a,
                           int32_t feature_b, int64_t row_begin, int64_t row_end, int64_t capacity,
                           int32_t* values_a, int32_t* values_b, int64_t* counts,
                           int64_t* pair_count);
};

/// The linked-in CPU backend (native/cpu/backend.cpp).
const Backend* cpu_backend(const Host* host);

/// Makes an entry of the table from `void op(Impl&, arguments...)`, which may throw.
///   table.linear = Bind<Context, linear>::call;
template <class Impl, auto Op>
struct Bind;

template <class Impl, class... Arguments, void (*Op)(Impl&, Arguments...)>
struct Bind<Impl, Op> {
  static tt_status call(void* impl, tt_error* error, Arguments... arguments) {
    return guard(*error, [&] { Op(*static_cast<Impl*>(impl), arguments...); });
  }
};

}  // namespace tt

/// The one symbol of a plugin. Returns NULL if it was built for another version. host outlives it.
extern "C" {
typedef const tt::Backend* (*tt_backend_open_function)(int32_t version, const tt::Host* host);
}
#define TT_BACKEND_OPEN_SYMBOL "tt_backend_open"

#endif
