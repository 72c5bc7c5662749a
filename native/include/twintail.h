/* Twintail: the one public C header.
 *
 * Rules of the ABI
 * - Every function returns a tt_status; details of the last failure are kept per thread (tt_last_error).
 *   Nothing throws across this boundary, nothing aborts the process, nothing calls back into the host.
 * - A tt_context owns device, stream, thread pool and workspace. Calls on one context are ordered; use one
 *   context from one thread at a time. Two contexts are independent.
 * - "device" pointers must be valid on the context's device (plain host memory for the CPU backend), may come
 *   from tt_alloc or from anybody else, and need natural alignment only. "host" pointers are always host memory.
 * - Structs start with struct_size = sizeof(the struct) so that fields can be appended later; those that an older caller's
 *   struct lacks count as zero. Zero every struct before filling it. A NULL for a pointer described as "or NULL" switches that input or output off.
 * - Every op is deterministic: same inputs, same bits, run to run and for any number of threads.
 * - Outputs may not overlap inputs unless stated. Matrices are row-major and dense unless a leading dimension is
 *   given. After a failed call the contents of its outputs are unspecified.
 *
 * Randomness
 * Everything random comes from Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 *   key     = { lo32(seed) ^ purpose * 0x9E3779B9 (mod 2^32), hi32(seed) }
 *   counter = { position, row, lo32(step), feature | view << 8 | draw << 12 | (step >> 32 & 0xFFFF) << 16 }
 * `draw` tells uses apart (tt_draw). An event of rate r happens iff the 32-bit output u < round(r * 2^32).
 * An integer in [0, bound) is the high 64 bits of (output0 | output1 << 32) * bound.
 */
#ifndef TWINTAIL_H
#define TWINTAIL_H

#include <stdint.h>

/* Declarations and the shapes beside them are laid out as tables. */
/* clang-format off */

#if defined(_WIN32)
#define TT_API __declspec(dllexport)
#else
#define TT_API __attribute__((visibility("default")))
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* Raised when an existing symbol or struct field changes meaning, which should never happen. */
#define TT_ABI_VERSION 1

/* A table has at most this many features: the masks of one row are one 64-bit word. */
#define TT_MAX_FEATURES 64

typedef enum tt_status {
  TT_OK = 0,
  TT_BAD_ARGUMENT = 1,  /* tt_error names argument, what was expected and what came */
  TT_OUT_OF_MEMORY = 2, /* tt_error has asked_bytes and free_bytes; the context still works */
  TT_NO_DEVICE = 3,     /* no such device; message lists what was tried and why it failed */
  TT_DEVICE_ERROR = 4,  /* the device failed; the context is dead and can only be destroyed */
  TT_UNSUPPORTED = 5,   /* valid, but this backend cannot do it */
  TT_INTERNAL = 6       /* a defect of Twintail */
} tt_status;

typedef enum tt_device { TT_DEVICE_CPU = 0, TT_DEVICE_CUDA = 1 } tt_device;

/* Instruction set of the CPU backend. The environment variable TWINTAIL_ISA (portable, avx2, avx512) overrides
 * TT_ISA_BEST. Asking for one that the machine lacks fails with TT_UNSUPPORTED. */
typedef enum tt_isa { TT_ISA_BEST = 0, TT_ISA_PORTABLE = 1, TT_ISA_AVX2 = 2, TT_ISA_AVX512 = 3 } tt_isa;

typedef enum tt_dtype { TT_FLOAT32 = 0, TT_BFLOAT16 = 1 } tt_dtype;

typedef enum tt_copy { TT_HOST_TO_DEVICE = 0, TT_DEVICE_TO_HOST = 1, TT_DEVICE_TO_DEVICE = 2 } tt_copy;

/* ---- errors ------------------------------------------------------------------------------------------------ */

/* The last failure on this thread. Strings are UTF-8, zero-terminated, cut to fit. */
typedef struct tt_error {
  int32_t status;
  int32_t reserved;
  int64_t asked_bytes; /* TT_OUT_OF_MEMORY, else 0 */
  int64_t free_bytes;  /* TT_OUT_OF_MEMORY, -1 where unknown */
  char argument[64];   /* TT_BAD_ARGUMENT: e.g. "positives[17]" */
  char expected[192];  /* e.g. "an index in [0, 512)" */
  char got[128];       /* e.g. "512" */
  char message[2048];  /* the whole story in one line */
} tt_error;

/* Copies the calling thread's last failure; status TT_OK if there was none. Never fails itself. */
TT_API void tt_last_error(tt_error* error);

TT_API int32_t tt_abi_version(void);

/* "1.2.3" of this build; static storage. */
TT_API const char* tt_version(void);

/* ---- backends and contexts ----------------------------------------------------------------------------------- */

typedef struct tt_context tt_context;

typedef struct tt_context_options {
  int32_t struct_size;
  int32_t device;       /* tt_device */
  int32_t device_index; /* CUDA ordinal; 0 for the CPU */
  int32_t threads;      /* CPU: worker threads including the caller, 0 = all of the process's cores */
  int32_t isa;          /* tt_isa, CPU only */
  int32_t reserved;
  void* stream;         /* CUDA: an adopted cudaStream_t (not cudaStreamPerThread), or NULL for an own one */
} tt_context_options;

typedef struct tt_context_info {
  int32_t struct_size;
  int32_t device;
  int32_t device_index;
  int32_t threads;
  int32_t isa;             /* in use; 0 on CUDA */
  int32_t bfloat16;        /* 1: TT_BFLOAT16 precision is accelerated here */
  int64_t live_bytes;      /* taken by tt_alloc on this context and not yet freed */
  int64_t workspace_bytes; /* reserved by the context for its own temporary needs */
  char name[128];          /* e.g. the processor's or the GPU's name */
  int64_t reserved_bytes;  /* held on the device for this context: live, workspace, and what was freed and is kept for the next */
  int32_t graphs;          /* 1: tt_graph_begin records what follows; 0: it has no effect */
  int32_t graph_nodes;     /* kernels, copies and fills in the graph launched last */
  int64_t graph_launches;  /* graphs launched so far */
  int64_t graph_builds;    /* of them, those that were built anew; the others are the one before with other arguments */
  int64_t graph_cuts;      /* of them, those launched before tt_graph_end, for a call that no graph can hold */
} tt_context_info;

/* options: host, or NULL for the CPU with defaults. Fails with TT_NO_DEVICE, TT_UNSUPPORTED, TT_OUT_OF_MEMORY. */
TT_API tt_status tt_context_create(const tt_context_options* options, tt_context** context);
/* Memory from tt_alloc outlives its context on the CPU only: free it first. NULL is fine. */
TT_API tt_status tt_context_destroy(tt_context* context);
TT_API tt_status tt_context_get_info(tt_context* context, tt_context_info* info);
/* Waits until all work of the context is done. */
TT_API tt_status tt_context_synchronize(tt_context* context);
/* Gives the workspace and memory kept for reuse back to the system. */
TT_API tt_status tt_context_trim(tt_context* context);

/* What happened when the backend was looked for, for `doctor` and for error texts. */
typedef struct tt_backend_report {
  int32_t struct_size;
  int32_t device;          /* tt_device */
  int32_t available;       /* 1: a context can be created */
  int32_t device_count;
  char path[512];          /* file tried last, "" if built in */
  char reason[1024];       /* one line: why (not) available, every path tried with the system's error */
  int32_t confirmed;       /* 0: no real device has run the backend's tests yet: to be asked for, not chosen by itself */
  int32_t reserved;
} tt_backend_report;
/* Looks for the backend of `device` (loading its plugin on first use) and reports. Never fails for lack of a device. */
TT_API tt_status tt_backend_probe(int32_t device, tt_backend_report* report);

/* Bit set of 1 << tt_isa that this machine and build can run; always includes TT_ISA_PORTABLE. */
TT_API uint32_t tt_cpu_isa_available(void);

/* ---- graphs --------------------------------------------------------------------------------------------------
 * A section of calls that does the same again and again, with other arguments - a training step -, may be put between
 * tt_graph_begin and tt_graph_end: on CUDA it then reaches the stream as one graph, which leaves smaller gaps between its
 * kernels than one launch after the other. Results are the same bits, and any call may stand in between: one that waits
 * for the device, takes memory or copies to or from the host first launches what has been recorded, and the rest of the section
 * runs call by call (as does a context's first section, which grows the workspace, whatever is in it). On the CPU, with
 * TWINTAIL_CUDA_GRAPHS=off, and on an adopted stream that its owner is capturing, neither function has an effect.
 *
 * A call that fails leaves what it leaves without a graph; the section goes on, and tt_graph_end is to be called all the same. An adopted
 * stream is never under capture itself, but has the section's work only after tt_graph_end: an event recorded there before does not wait
 * for it. Until then nothing in the process may wait for the whole GPU (cudaDeviceSynchronize): tt_graph_end would fail, see docs/interop.md. */

/* TT_BAD_ARGUMENT after a tt_graph_begin without tt_graph_end. */
TT_API tt_status tt_graph_begin(tt_context* context);
/* Launches the graph, without waiting. TT_BAD_ARGUMENT without a tt_graph_begin before it. The section has ended also where it
 * fails; then calls since tt_graph_begin may not have run. */
TT_API tt_status tt_graph_end(tt_context* context);

/* ---- memory ------------------------------------------------------------------------------------------------ */

/* bytes >= 0 of zeroed memory on the context's device, aligned to at least 64 bytes. */
TT_API tt_status tt_alloc(tt_context* context, int64_t bytes, void** pointer);
/* In the order of the context's calls, without waiting; through another context than tt_alloc's it waits for that one, which no other thread
 * may use meanwhile. On CUDA the order is that of the context's stream: other streams must be done with the memory, or waited for by
 * that stream, before tt_free, and must wait for it after tt_alloc (tt_context_synchronize, or an event). */
TT_API tt_status tt_free(tt_context* context, void* pointer);
/* direction: tt_copy. Ordered with the context's other calls; host data may be reused when it returns. */
TT_API tt_status tt_memory_copy(tt_context* context, void* to, const void* from, int64_t bytes, int32_t direction);
TT_API tt_status tt_memory_zero(tt_context* context, void* pointer, int64_t bytes);
/* Bytes of all contexts of the process taken by tt_alloc, feature tables and contexts themselves and not yet
 * given back; 0 when everything has been freed. */
TT_API int64_t tt_live_bytes(void);

/* ---- randomness ---------------------------------------------------------------------------------------------- */

typedef enum tt_draw {
  TT_DRAW_ELEMENT = 0,     /* tt_fill_uniform, tt_sample_rows */
  TT_DRAW_MASK = 1,        /* random mask: position f / 4, output f % 4 */
  TT_DRAW_SPLIT = 2,       /* complementary split: Fisher-Yates step t uses position t, outputs 0 and 1 */
  TT_DRAW_SEED = 3,        /* correlated mask: position 0, outputs 0 and 1 */
  TT_DRAW_VALUE = 4,       /* value dropout: position p / 4, output p % 4 */
  TT_DRAW_LIST = 5,        /* list dropout: position p / 4, output p % 4 */
  TT_DRAW_ROUNDING = 6,    /* bfloat16 weights after an update, see tt_optimizer: position column / 4, output column % 4 */
  TT_DRAW_ORDER = 7        /* tt_sample_clicks: position r / 4, output r % 4 is the key k_r of round r */
} tt_draw;
/* Fields of the counter that a draw does not use are 0. `feature` is used by TT_DRAW_VALUE only; `view` by TT_DRAW_MASK,
 * TT_DRAW_VALUE, TT_DRAW_LIST, and TT_DRAW_SEED for view 2 of TT_VIEW_INDEPENDENT (both views of TT_VIEW_COMPLEMENT and of
 * TT_DRAW_SPLIT share their draw, with view 0). Positions p count before anything is removed: values of the row (through a
 * list: of all its catalogue rows, one after the other), or positions of the row's list. Among TT_COMPLEMENTARY's k maskable
 * features in ascending order, Fisher-Yates step t = 0 .. floor(k/2) - 1 exchanges entry t with entry t + [0, k - t); the first
 * floor(k/2) are the half. TT_CORRELATED's seed is number [0, count) of the possible seeds in ascending order. */

/* output [4], host: one Philox4x32-10 block for the given key [2] and counter [4], host. */
TT_API tt_status tt_philox(const uint32_t* key, const uint32_t* counter, uint32_t* output);
/* out [count], device: element i = lo + (hi - lo) * (u >> 8) * 2^-24, u = output i % 4 at position lo32(i / 4),
 * row hi32(i / 4), step, draw TT_DRAW_ELEMENT, feature 0, view 0. */
TT_API tt_status tt_fill_uniform(tt_context* context, uint64_t seed, uint32_t purpose, int64_t step, float lo, float hi,
                                 int64_t count, float* out);
/* out [n], device: integers uniform in [0, bound), with replacement; position i, row 0, step, TT_DRAW_ELEMENT. */
TT_API tt_status tt_sample_rows(tt_context* context, uint64_t seed, uint32_t purpose, int64_t step, int64_t bound, int64_t n,
                                int32_t* out);
/* The n clicks from `start` on in the order of an epoch, which is a permutation of all: out_users[i] = users[at(start + i)],
 * out_items[i] = items[at(start + i)]. users, items [count], out_users, out_items [n], device; 1 <= count <= 2^60, start + n <= count.
 * Every place is found by itself: no order is stored, and whatever is drawn of it, in parts or as a whole, is the same.
 *   at(x): x = shuffle(x), again while x >= count.
 *   shuffle permutes the numbers of b = max(6, bits of count - 1) bits: low(x), the lowest floor(b / 2), and high(x), the others,
 *   change in turns, for r = 0 .. 11: even r: low ^= mix(high + k_r); odd r: high ^= mix(low + k_r); each cut to its bits.
 *   mix(h), 32 bits: h ^= h >> 16, h *= 0x85EBCA6B, h ^= h >> 13, h *= 0xC2B2AE35, h ^= h >> 16. k_r: TT_DRAW_ORDER, row 0, step epoch. */
TT_API tt_status tt_sample_clicks(tt_context* context, uint64_t seed, uint32_t purpose, int64_t epoch, const int32_t* users,
                                  const int32_t* items, int64_t count, int64_t start, int64_t n, int32_t* out_users,
                                  int32_t* out_items);

/* ---- feature tables --------------------------------------------------------------------------------------------
 * rows x features; each feature is single- or multi-valued (CSR). Value id 0 of every feature is the trainable
 * default: it stands for masked, emptied, missing and unseen alike.
 * A table may also have one *list* per row (a user's history): features with through_list = 1 are then read
 * from the rows of another catalogue: the values of row r are those of all catalogue rows in r's list. */

typedef enum tt_pooling { TT_POOL_SUM = 0, TT_POOL_MEAN = 1, TT_POOL_SQRTN = 2 /* sum / sqrt(count) */ } tt_pooling;

typedef struct tt_feature {
  const int64_t* offsets; /* device [rows + 1], or NULL: exactly one value a row. rows: of the catalogue if through_list */
  const int32_t* values;  /* device [offsets[rows]] or [rows], in [0, vocabulary) */
  int64_t value_count;    /* length of values */
  int32_t vocabulary;     /* >= 1 */
  int32_t embedding;      /* which embedding table of the call holds this feature's vectors; two may share one */
  int32_t pooling;        /* tt_pooling over the values that are kept */
  int32_t through_list;   /* 0 or 1 */
} tt_feature;

typedef struct tt_feature_table_options {
  int32_t struct_size;
  int32_t feature_count;       /* 1 .. TT_MAX_FEATURES */
  const tt_feature* features;  /* host [feature_count] */
  int64_t rows;
  int64_t catalogue_rows;      /* rows that lists point into; 0 without lists */
  const int64_t* list_offsets; /* device [rows + 1], or NULL: no lists */
  const int32_t* list_rows;    /* device [list_count], in [0, catalogue_rows) */
  int64_t list_count;
} tt_feature_table_options;

typedef struct tt_feature_table tt_feature_table;

/* Checks every offset and value once, so that ops need not. Keeps the pointers: the memory must outlive the table and
 * stay as it is. */
TT_API tt_status tt_feature_table_create(tt_context* context, const tt_feature_table_options* options, tt_feature_table** table);
TT_API tt_status tt_feature_table_destroy(tt_feature_table* table);

/* ---- augmentation ----------------------------------------------------------------------------------------------
 * The four transformations of Yao et al., "Self-supervised Learning for Large-scale Item Recommendations" (CIKM 2021)
 * and Wang's course, decided inside the gather. k = number of maskable features.
 * - random mask: each maskable feature becomes the default with probability mask_rate, independently in each view;
 * - value dropout: each value of a multi-valued maskable feature is dropped with probability value_rate,
 *   independently in each view; a feature left without values becomes the default;
 * - complementary: a random half (floor(k/2)) of the maskable features is masked in view 1, all the others in view 2;
 * - correlated: a seed feature is drawn uniformly among those with correlated[f] != 0; view 1 masks the set
 *   correlated[f]; view 2 masks the maskable rest (TT_VIEW_COMPLEMENT) or the set of its own seed (TT_VIEW_INDEPENDENT).
 * Transformations add up (a feature is masked if any masks it), but complementary and correlated exclude each other.
 * A view other than 2 behaves as view 1 in the last two. */

typedef enum tt_transform {
  TT_RANDOM_MASK = 1,
  TT_VALUE_DROPOUT = 2,
  TT_COMPLEMENTARY = 4,
  TT_CORRELATED = 8,
  TT_LIST_DROPOUT = 16 /* each position of the row's list is dropped with probability list_rate, for all its features */
} tt_transform;

typedef enum tt_second_view { TT_VIEW_COMPLEMENT = 0, TT_VIEW_INDEPENDENT = 1 } tt_second_view;
/* Whether whole-feature decisions (mask, split, seed) are drawn for each row or once for the batch (row counter 0). */
typedef enum tt_seed_scope { TT_SEED_PER_ROW = 0, TT_SEED_PER_BATCH = 1 } tt_seed_scope;

typedef struct tt_augmentation {
  int32_t struct_size;
  uint32_t transforms;        /* set of tt_transform */
  uint64_t maskable;          /* bit f: feature f may be masked or lose values */
  const uint64_t* correlated; /* host [feature_count]: set masked when f is the seed; TT_CORRELATED only */
  float mask_rate;            /* [0, 1] */
  float value_rate;           /* [0, 1] */
  float list_rate;            /* [0, 1] */
  int32_t second_view;        /* tt_second_view */
  int32_t seed_scope;         /* tt_seed_scope */
  uint32_t purpose;           /* Philox */
  uint64_t seed;
  int64_t step;
} tt_augmentation;

/* ---- embedding_gather ------------------------------------------------------------------------------------------ */

typedef struct tt_embedding {
  void* weights;  /* device [rows, dim] */
  float* state1;  /* device: optimiser state (tt_optimizer), or NULL */
  float* state2;  /* device, or NULL */
  int64_t rows;
  int32_t dim;    /* >= 1 */
  int32_t dtype;  /* tt_dtype of weights */
} tt_embedding;

/* One reading of n rows. The row that enters the Philox counter is row_base + i (batch position, not table row). */
typedef struct tt_gather_view {
  const int32_t* rows;                 /* device [n], in [0, table rows) */
  const int32_t* left_out;             /* device [n] or NULL: catalogue row removed from row i's list (every occurrence); -1: none */
  const tt_augmentation* augmentation; /* host, or NULL: as it is */
  float* vectors;                      /* device [n, ld]: forward writes, backward reads its gradient */
  int64_t n;
  int64_t ld;                          /* >= sum of dims */
  int64_t row_base;
  int32_t view;                        /* 0, 1 or 2 */
  int32_t reserved;
} tt_gather_view;

/* vectors[i, :] = concatenation over features of pool(embedding rows of the values kept); columns in feature order.
 * Views that follow each other with the same rows are read in one pass. embeddings: host [embedding_count]. */
TT_API tt_status tt_embedding_gather(tt_context* context, const tt_feature_table* table, const tt_embedding* embeddings,
                                     int32_t embedding_count, const tt_gather_view* views, int32_t view_count);

/* The kept values of one feature in one view, for previews and tests: offsets [n + 1], values [capacity], device.
 * masks [n], device or NULL: bit f set where feature f is masked as a whole. values NULL: only offsets and masks.
 * A feature masked or left empty yields the single value 0. */
TT_API tt_status tt_augmented_values(tt_context* context, const tt_feature_table* table, const tt_gather_view* view, int32_t feature,
                                     uint64_t* masks, int64_t* offsets, int32_t* values, int64_t capacity);

typedef struct tt_sparse_gradient {
  int32_t* ids;     /* device [capacity]: touched rows, ascending, each once */
  float* values;    /* device [capacity, dim] */
  int64_t* count;   /* device [1] */
  int64_t capacity; /* min(rows of the table, lookups) always suffices; too small is TT_BAD_ARGUMENT */
} tt_sparse_gradient;

/* Gradient of sum over views <vectors gradient, gathered vectors> for each embedding table, duplicates merged in an order
 * that does not depend on threads. gradients: host [embedding_count]. The masks are drawn again from their counters. */
TT_API tt_status tt_embedding_gather_backward(tt_context* context, const tt_feature_table* table, const tt_embedding* embeddings,
                                              int32_t embedding_count, const tt_gather_view* views, int32_t view_count,
                                              const tt_sparse_gradient* gradients);

/* ---- optimisers ------------------------------------------------------------------------------------------------
 * g: gradient of one weight (of one row: g_r), t: step counted from 1. weight_decay is decoupled for Adam
 * (w -= lr * decay * w) and added to g for the others.
 * SGD:              w -= lr * g
 * Adagrad:          state1 [rows, dim] += g^2;             w -= lr * g / (sqrt(state1) + epsilon)
 * row-wise Adagrad: state1 [rows] += mean over dim of g^2; w -= lr * g / (sqrt(state1) + epsilon)
 * Adam:             state1, state2 [rows, dim] (or [count]): Kingma & Ba with bias correction. For sparse gradients only
 *                   touched rows move ("lazy"). */
typedef enum tt_optimizer_kind { TT_SGD = 0, TT_ADAGRAD = 1, TT_ROWWISE_ADAGRAD = 2, TT_ADAM = 3 } tt_optimizer_kind;

typedef struct tt_optimizer {
  int32_t struct_size;
  int32_t kind;          /* tt_optimizer_kind */
  float learning_rate;   /* >= 0 */
  float epsilon;         /* > 0 except SGD */
  float beta1, beta2;    /* [0, 1), Adam */
  float weight_decay;    /* >= 0 */
  int32_t reserved;
  int64_t step;          /* t >= 1, Adam; else any number >= 0 that changes with every step */
} tt_optimizer;
/* Weights in bfloat16 are updated in float32 and rounded stochastically: up iff the 16 bits that are cut off plus the low 16
 * bits of the draw (seed 0, purpose 0, row, step, TT_DRAW_ROUNDING) carry. */

/* ids [count] in [0, embedding rows), values [count, dim], device; duplicates are summed first, in the order given. */
TT_API tt_status tt_sparse_update(tt_context* context, const tt_optimizer* optimizer, const tt_embedding* embedding,
                                  const int32_t* ids, const float* values, int64_t count);

/* tt_embedding_gather_backward followed by tt_sparse_update on every table, without storing the gradient: bit for bit
 * the same result. */
TT_API tt_status tt_embedding_gather_update(tt_context* context, const tt_optimizer* optimizer, const tt_feature_table* table,
                                            const tt_embedding* embeddings, int32_t embedding_count, const tt_gather_view* views,
                                            int32_t view_count);

/* parameters, gradients [count], device; state1, state2 as in the table above (row-wise Adagrad is not dense: unsupported). */
TT_API tt_status tt_dense_update(tt_context* context, const tt_optimizer* optimizer, float* parameters, const float* gradients,
                                 float* state1, float* state2, int64_t count);

/* values [count], device: those below low become low, those above high high; NaN stays. low <= high, neither NaN. Keeps a
 * parameter within bounds after an update, as CLIP does with its temperature. */
TT_API tt_status tt_clip(tt_context* context, float low, float high, float* values, int64_t count);

/* ---- linear ---------------------------------------------------------------------------------------------------- */

typedef enum tt_activation { TT_LINEAR = 0, TT_RELU = 1 } tt_activation;

/* y [n, out] = act(x [n, in] * weights^T + bias); weights [out, in], bias [out] or NULL, all device. */
TT_API tt_status tt_linear(tt_context* context, int64_t n, int32_t in, int32_t out, const float* x, const float* weights,
                           const float* bias, int32_t activation, float* y);
/* y: the forward's output (its sign is the ReLU's mask). grad_y [n, out]. Outputs, each or NULL: grad_x [n, in],
 * grad_weights [out, in], grad_bias [out]; overwritten, not added to. */
TT_API tt_status tt_linear_backward(tt_context* context, int64_t n, int32_t in, int32_t out, const float* x, const float* weights,
                                    int32_t activation, const float* y, const float* grad_y, float* grad_x, float* grad_weights,
                                    float* grad_bias);

/* ---- sampled_softmax and contrastive ----------------------------------------------------------------------------
 * cos(x, y) = <x, y> / (|x| |y|); a row with |x| < 1e-12 counts as the zero vector: cosine 0, gradient 0.
 *
 * sampled_softmax (Yi et al., "Sampling-bias-corrected neural modeling for large corpus item recommendations", RecSys 2019):
 *   s_ij = inverse_temperature * cos(q_i, c_j) - log_q_j       (the temperature comes before the correction)
 *   loss_i = -s_i,pos(i) + log sum_j exp(s_ij), j over all columns that are not accidental hits of row i
 *   accidental hit: j != pos(i) and candidate_ids[j] == candidate_ids[pos(i)]
 *   total = sum_i w_i loss_i, w_i = scale * (weights ? weights[i] : 1 / n); the gradients are those of total.
 * The n x m matrix is never stored: extra memory is O((n + m) d) and a block of rows a thread. */
typedef struct tt_sampled_softmax_args {
  int32_t struct_size;
  int32_t d;                   /* >= 1 */
  int64_t n, m;                /* queries, candidates; >= 1 */
  const float* queries;        /* device [n, d] */
  const float* candidates;     /* device [m, d] */
  const float* log_q;          /* device [m] or NULL (no correction); finite */
  const int32_t* positives;    /* device [n], in [0, m), or NULL: pos(i) = i, needs n <= m */
  const int32_t* candidate_ids;/* device [m] or NULL: no accidental-hit mask */
  const float* weights;        /* device [n] or NULL */
  float inverse_temperature;   /* > 0, at most 1e30 */
  float scale;
  int32_t precision;           /* tt_dtype of the operands inside the products; accumulation is always float32 */
  int32_t reserved;
  float* loss;                 /* device [n] or NULL: unweighted loss_i */
  float* log_sum_exp;          /* device [n] or NULL */
  double* total;               /* device [1] or NULL */
  float* grad_queries;         /* device [n, d] or NULL */
  float* grad_candidates;      /* device [m, d] or NULL */
  float* grad_inverse_temperature; /* device [1] or NULL */
  /* A temperature that is learnt: log 1/tau on the device, in place of inverse_temperature, which is not read then. It is not looked at
   * by the host: where it is not finite, or its exponential is none of float32, so are the results. */
  const float* log_inverse_temperature; /* device [1] or NULL */
  float* grad_log_inverse_temperature;  /* device [1] or NULL; needs log_inverse_temperature */
} tt_sampled_softmax_args;
TT_API tt_status tt_sampled_softmax(tt_context* context, const tt_sampled_softmax_args* args);

/* contrastive (Yao et al. 2021, eq. 2): s_ij = inverse_temperature * cos(x_i, y_j), x: view 1, y: view 2
 *   loss_i = -s_ii + log sum_j exp(s_ij); symmetric: the mean of that and the same with the views exchanged.
 *   ids: columns j != i with ids[j] == ids[i] are the same item drawn twice and are left out.
 *   total = sum_i w_i loss_i, w_i = scale * (weights ? weights[i] : 1 / m). */
typedef struct tt_contrastive_args {
  int32_t struct_size;
  int32_t d;
  int64_t m;
  const float* view1;          /* device [m, d] */
  const float* view2;          /* device [m, d] */
  const int32_t* ids;          /* device [m] or NULL */
  const float* weights;        /* device [m] or NULL */
  float inverse_temperature;   /* > 0, at most 1e30 */
  float scale;
  int32_t symmetric;           /* 0 or 1 */
  int32_t precision;           /* tt_dtype */
  float* loss;                 /* device [m] or NULL */
  double* total;               /* device [1] or NULL */
  float* grad_view1;           /* device [m, d] or NULL */
  float* grad_view2;           /* device [m, d] or NULL */
  float* grad_inverse_temperature; /* device [1] or NULL */
} tt_contrastive_args;
TT_API tt_status tt_contrastive(tt_context* context, const tt_contrastive_args* args);

/* ---- retrieval ------------------------------------------------------------------------------------------------- */

typedef enum tt_similarity { TT_DOT = 0, TT_COSINE = 1 } tt_similarity;

typedef struct tt_retrieval_args {
  int32_t struct_size;
  int32_t d;
  int64_t n, m;
  const float* queries;          /* device [n, d] */
  const float* items;            /* device [m, d] */
  const int64_t* exclude_offsets;/* device [n + 1] or NULL: nothing is excluded */
  const int32_t* exclude_items;  /* device [exclude_offsets[n]], in [0, m), any order */
  int32_t similarity;            /* tt_similarity */
  int32_t reserved;
} tt_retrieval_args;

/* ids [n, k], scores [n, k] (or NULL), device: best first; equal scores: lower id first; where fewer than k items are left,
 * id -1 and score -infinity. NaN scores rank last. Exact; the n x m scores are never stored. 1 <= k <= 4096. */
TT_API tt_status tt_top_k(tt_context* context, const tt_retrieval_args* args, int32_t k, int32_t* ids, float* scores);

/* The rank (1 = best) of each target among the items not excluded, in the order of tt_top_k, which makes recall, NDCG and MRR
 * over the full ranking exact for every k at once. target_offsets [n + 1], targets [target_offsets[n]], device;
 * ranks [target_offsets[n]], device: -1 where the target itself is excluded. */
TT_API tt_status tt_rank(tt_context* context, const tt_retrieval_args* args, const int64_t* target_offsets, const int32_t* targets,
                         int32_t* ranks);

/* ---- pair_counts -----------------------------------------------------------------------------------------------
 * Contingency counts of two features over rows [row_begin, row_end) for mutual information: each row counts every pair of
 * its values once; a row without values of a feature has the single value 0.
 * Writes distinct pairs ascending by (a, b): values_a, values_b [capacity], counts [capacity], device; *pair_count, host.
 * values_a NULL: only *pair_count. Too small a capacity is TT_BAD_ARGUMENT. Features through lists are unsupported. */
TT_API tt_status tt_pair_counts(tt_context* context, const tt_feature_table* table, int32_t feature_a, int32_t feature_b,
                                int64_t row_begin, int64_t row_end, int64_t capacity, int32_t* values_a, int32_t* values_b,
                                int64_t* counts, int64_t* pair_count);

#ifdef __cplusplus
}
#endif
#endif
