// The CPU backend's table of functions.
#include "backend.h"

#include <cstdio>
#include <cstring>
#include <memory>

#include "context.h"
#include "float_mode.h"
#include "isa.h"
#include "memory.h"

namespace tt {
namespace cpu {
namespace {

void (*count_bytes)(int64_t) = nullptr;  // the core's; set once

int32_t probe(char* reason, size_t reason_size) {
  const Isa isa = choose_isa(TT_ISA_BEST);
  has_bfloat16(isa);  // a context would throw what this throws
  std::snprintf(reason, reason_size, "%s, %s, %d threads", processor_name().c_str(), isa_name(isa),
                Pool::available_processors());
  return 1;
}

int32_t probe_safely(char* reason, size_t reason_size) {
  tt_error error{};
  int32_t count = 0;
  if (guard(error, [&] { count = probe(reason, reason_size); }) == TT_OK) return count;
  // TWINTAIL_ISA or TWINTAIL_BFLOAT16 is wrong.
  std::snprintf(reason, reason_size, "%s", error.message);
  return 0;
}

/// Bind, in the mode of arithmetic that the workers have.
template <auto Op>
struct Entry;

template <class... Arguments, void (*Op)(Context&, Arguments...)>
struct Entry<Op> {
  static tt_status call(void* impl, tt_error* error, Arguments... arguments) {
    const DefaultFloatMode mode;
    return Bind<Context, Op>::call(impl, error, arguments...);
  }
};

tt_status create(const tt_context_options* options, void** impl, tt_error* error) {
  return guard(*error, [&] {
    const Isa isa = choose_isa(options->isa);
    const int threads = options->threads > 0 ? options->threads : Pool::available_processors();
    *impl = new Context(threads, isa, has_bfloat16(isa), count_bytes);
  });
}

void destroy(void* impl) {
  delete static_cast<Context*>(impl);
}

void get_info(Context& context, tt_context_info* info) {
  info->threads = context.pool.threads();
  info->isa = static_cast<int32_t>(context.isa);
  info->bfloat16 = context.bfloat16 ? 1 : 0;
  info->workspace_bytes = context.arena.reserved();
  info->reserved_bytes = info->live_bytes + info->workspace_bytes;
  std::snprintf(info->name, sizeof info->name, "%s", processor_name().c_str());
}

void synchronize(Context&) {}  // every op is done when it returns

void graph_begin(Context&) {}  // calls are run at once
void graph_end(Context&) {}

void trim(Context& context) {
  context.arena.trim();
}

void alloc(Context&, int64_t bytes, void** pointer) {
  *pointer = map_memory(static_cast<size_t>(bytes), "tt_alloc");
}

void free(Context&, void* pointer, int64_t bytes) {
  unmap_memory(pointer, static_cast<size_t>(bytes));
}

void copy(Context& context, void* to, const void* from, int64_t bytes, int32_t) {
  constexpr int64_t kBlock = int64_t{4} << 20;
  context.pool.run((bytes + kBlock - 1) / kBlock, [&](int64_t block, int) {
    const int64_t begin = block * kBlock;
    const int64_t size = bytes - begin < kBlock ? bytes - begin : kBlock;
    std::memcpy(static_cast<char*>(to) + begin, static_cast<const char*>(from) + begin,
                static_cast<size_t>(size));
  });
}

void zero(Context&, void* pointer, int64_t bytes) {
  std::memset(pointer, 0, static_cast<size_t>(bytes));
}

void destroy_table(void*, void* table_impl) {
  table_destroy(table_impl);
}

void sampled_softmax_op(Context& context, const tt_sampled_softmax_args* args) {
  sampled_softmax(context, *args);
}

void contrastive_op(Context& context, const tt_contrastive_args* args) {
  contrastive(context, *args);
}

Backend make_backend() {
  Backend b{};
  b.version = kBackendVersion;
  b.device = TT_DEVICE_CPU;
  b.confirmed = 1;
  b.name = "cpu";
  b.probe = probe_safely;
  b.create = create;
  b.destroy = destroy;
  b.get_info = Entry<get_info>::call;
  b.synchronize = Entry<synchronize>::call;
  b.trim = Entry<trim>::call;
  b.alloc = Entry<alloc>::call;
  b.free = Entry<free>::call;
  b.copy = Entry<copy>::call;
  b.zero = Entry<zero>::call;
  b.graph_begin = Entry<graph_begin>::call;
  b.graph_end = Entry<graph_end>::call;
  b.fill_uniform = Entry<fill_uniform>::call;
  b.sample_rows = Entry<sample_rows>::call;
  b.sample_clicks = Entry<sample_clicks>::call;
  b.table_create = Entry<table_create>::call;
  b.table_destroy = destroy_table;
  b.embedding_gather = Entry<embedding_gather>::call;
  b.augmented_values = Entry<augmented_values>::call;
  b.embedding_gather_backward = Entry<embedding_gather_backward>::call;
  b.embedding_gather_update = Entry<embedding_gather_update>::call;
  b.sparse_update = Entry<sparse_update>::call;
  b.dense_update = Entry<dense_update>::call;
  b.clip = Entry<clip>::call;
  b.linear = Entry<linear>::call;
  b.linear_backward = Entry<linear_backward>::call;
  b.sampled_softmax = Entry<sampled_softmax_op>::call;
  b.contrastive = Entry<contrastive_op>::call;
  b.top_k = Entry<top_k>::call;
  b.rank = Entry<rank>::call;
  b.pair_counts = Entry<pair_counts>::call;
  return b;
}

}  // namespace
}  // namespace cpu

const Backend* cpu_backend(const Host* host) {
  static const Backend backend = [host] {
    cpu::count_bytes = host->count_bytes;
    return cpu::make_backend();
  }();
  return &backend;
}

}  // namespace tt
