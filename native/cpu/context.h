// The CPU backend's context: what every op gets first.
#ifndef TWINTAIL_CPU_CONTEXT_H
#define TWINTAIL_CPU_CONTEXT_H

#include "arena.h"
#include "backend.h"
#include "error.h"
#include "pool.h"
#include "twintail.h"

namespace tt::cpu {

/// The instruction set whose kernels are used; the values are those of tt_isa.
enum class Isa {
  portable = TT_ISA_PORTABLE,
  avx2 = TT_ISA_AVX2,      // AVX2, FMA, F16C
  avx512 = TT_ISA_AVX512,  // AVX-512 F, BW, VL, DQ
};

struct Context {
  Context(int threads, Isa isa_in_use, bool has_bfloat16, void (*count_bytes)(int64_t))
      : pool(threads), arena(count_bytes), isa(isa_in_use), bfloat16(has_bfloat16) {}

  Pool pool;
  Arena arena;
  Isa isa;
  bool bfloat16;  // AVX512-BF16 is used
};

// The ops, one file each. Arguments were checked by the core; contents of host memory are checked
// here. All may throw tt::Error.
void fill_uniform(Context&, uint64_t seed, uint32_t purpose, int64_t step, float lo, float hi,
                  int64_t count, float* out);
void sample_rows(Context&, uint64_t seed, uint32_t purpose, int64_t step, int64_t bound, int64_t n,
                 int32_t* out);
void sample_clicks(Context&, uint64_t seed, uint32_t purpose, int64_t epoch, const int32_t* users,
                   const int32_t* items, int64_t count, int64_t start, int64_t n,
                   int32_t* out_users, int32_t* out_items);
void table_create(Context&, const Table* table, void** table_impl);
void table_destroy(void* table_impl);
void embedding_gather(Context&, const Table* table, const tt_embedding* embeddings,
                      int32_t embedding_count, const tt_gather_view* views, int32_t view_count);
void augmented_values(Context&, const Table* table, const tt_gather_view* view, int32_t feature,
                      uint64_t* masks, int64_t* offsets, int32_t* values, int64_t capacity);
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
void sampled_softmax(Context&, const tt_sampled_softmax_args& args);
void contrastive(Context&, const tt_contrastive_args& args);
void top_k(Context&, const tt_retrieval_args* args, int32_t k, int32_t* ids, float* scores);
void rank(Context&, const tt_retrieval_args* args, const int64_t* target_offsets,
          const int32_t* targets, int32_t* ranks);
void pair_counts(Context&, const Table* table, int32_t feature_a, int32_t feature_b,
                 int64_t row_begin, int64_t row_end, int64_t capacity, int32_t* values_a,
                 int32_t* values_b, int64_t* counts, int64_t* pair_count);

}  // namespace tt::cpu
#endif
