// The CUDA backend's table of functions: libtwintail_cuda.so's only export.
#include "backend.h"

#include <cstdio>
#include <memory>

#include "context.h"
#include "current_device.h"

namespace tt::cuda {
namespace {

void (*count_bytes)(int64_t) = nullptr;  // the core's; set once

/// Like tt::Bind, with the context's device current.
template <auto Op>
struct OnDevice;

template <class... Arguments, void (*Op)(Context&, Arguments...)>
struct OnDevice<Op> {
  static tt_status call(void* impl, tt_error* error, Arguments... arguments) {
    return guard(*error, [&] {
      auto& context = *static_cast<Context*>(impl);
      const CurrentDevice current(context.device.index);
      Op(context, arguments...);
    });
  }
};

/// Who multiplies, or why the environment's choice cannot.
std::string describe_linear() {
  tt_error error{};
  std::string text;
  const tt_status status = guard(error, [&] { text = cublaslt::Library::get().description; });
  return status == TT_OK ? text : error.message;
}

int32_t probe(char* reason, size_t reason_size) {
  int count = 0, driver = 0, runtime = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  cudaDriverGetVersion(&driver);
  if (status != cudaSuccess) {
    cudaGetLastError();
    // The runtime calls a driver that is not there one that is too old.
    std::snprintf(reason, reason_size, "no CUDA device: %s (%s)",
                  driver == 0 ? "no NVIDIA driver" : cudaGetErrorString(status),
                  cudaGetErrorName(status));
    return 0;
  }
  if (count == 0) {
    std::snprintf(reason, reason_size, "no CUDA device");
    return 0;
  }
  cudaRuntimeGetVersion(&runtime);
  cudaDeviceProp first;
  const char* name = cudaGetDeviceProperties(&first, 0) == cudaSuccess ? first.name : "unnamed";
  std::snprintf(reason, reason_size,
                "%d device%s, the first: %s; driver for CUDA %d.%d, built for %d.%d; %s", count,
                count == 1 ? "" : "s", name, driver / 1000, driver / 10 % 100, runtime / 1000,
                runtime / 10 % 100, describe_linear().c_str());
  return count;
}

tt_status create(const tt_context_options* options, void** impl, tt_error* error) {
  return guard(*error, [&] {
    const CurrentDevice current(options->device_index);
    *impl = new Context(*options, count_bytes);
  });
}

void destroy(void* impl) {
  tt_error ignored{};
  guard(ignored, [&] {
    std::unique_ptr<Context> context(static_cast<Context*>(impl));
    const CurrentDevice current(context->device.index);
    context.reset();
  });
}

void get_info(Context& context, tt_context_info* info) {
  info->threads = 0;
  info->isa = 0;
  info->bfloat16 = context.device.capability >= 800 ? 1 : 0;
  info->workspace_bytes = context.workspace.reserved();
  const int64_t reserved = context.pool.reserved();
  info->reserved_bytes = reserved >= 0 ? reserved : info->live_bytes + info->workspace_bytes;
  std::snprintf(info->name, sizeof info->name, "%s", context.device.name);
  const Recording::Counts& graphs = context.recording.counts();
  info->graphs = context.recording.allowed() ? 1 : 0;
  info->graph_nodes = graphs.nodes;
  info->graph_launches = graphs.launched;
  info->graph_builds = graphs.built;
  info->graph_cuts = graphs.cut;
}

void synchronize(Context& context) {
  context.recording.interrupt();
  check(cudaStreamSynchronize(context.stream), "waiting for the stream");
}

void trim(Context& context) {
  synchronize(context);
  context.workspace.trim();
  context.pool.trim();
}

void alloc(Context& context, int64_t bytes, void** pointer) {
  void* memory = context.pool.take(static_cast<size_t>(bytes), "tt_alloc");
  const cudaError_t zeroed = cudaMemsetAsync(memory, 0, static_cast<size_t>(bytes), context.stream);
  if (zeroed != cudaSuccess) {
    context.pool.give_back(memory);
    check(zeroed, "tt_alloc");
  }
  *pointer = memory;
}

void free(Context& context, void* pointer, int64_t) {
  check(context.pool.give_back(pointer), "tt_free");
}

void copy(Context& context, void* to, const void* from, int64_t bytes, int32_t direction) {
  constexpr cudaMemcpyKind kinds[] = {cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost,
                                      cudaMemcpyDeviceToDevice};
  if (direction != TT_DEVICE_TO_DEVICE) context.recording.interrupt();
  check(cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), kinds[direction], context.stream),
        "tt_memory_copy");
  // Pinned host memory is read and written while the call has long returned.
  if (direction != TT_DEVICE_TO_DEVICE)
    check(cudaStreamSynchronize(context.stream), "tt_memory_copy");
}

void zero(Context& context, void* pointer, int64_t bytes) {
  check(cudaMemsetAsync(pointer, 0, static_cast<size_t>(bytes), context.stream), "tt_memory_zero");
}

Backend make_backend() {
  Backend b{};
  b.version = kBackendVersion;
  b.device = TT_DEVICE_CUDA;
  b.confirmed = 0;  // when it becomes 1: bench/gpu/README.md, "After a run"
  b.name = "cuda";
  b.probe = probe;
  b.create = create;
  b.destroy = destroy;
  b.get_info = OnDevice<get_info>::call;
  b.synchronize = OnDevice<synchronize>::call;
  b.trim = OnDevice<trim>::call;
  b.alloc = OnDevice<alloc>::call;
  b.free = OnDevice<free>::call;
  b.copy = OnDevice<copy>::call;
  b.zero = OnDevice<zero>::call;
  b.graph_begin = OnDevice<graph_begin>::call;
  b.graph_end = OnDevice<graph_end>::call;
  b.fill_uniform = OnDevice<fill_uniform>::call;
  b.sample_rows = OnDevice<sample_rows>::call;
  b.sample_clicks = OnDevice<sample_clicks>::call;
  b.table_create = OnDevice<table_create>::call;
  b.table_destroy = table_destroy;
  b.embedding_gather = OnDevice<embedding_gather>::call;
  b.augmented_values = OnDevice<augmented_values>::call;
  b.embedding_gather_backward = OnDevice<embedding_gather_backward>::call;
  b.embedding_gather_update = OnDevice<embedding_gather_update>::call;
  b.sparse_update = OnDevice<sparse_update>::call;
  b.dense_update = OnDevice<dense_update>::call;
  b.clip = OnDevice<clip>::call;
  b.linear = OnDevice<linear>::call;
  b.linear_backward = OnDevice<linear_backward>::call;
  b.sampled_softmax = OnDevice<sampled_softmax>::call;
  b.contrastive = OnDevice<contrastive>::call;
  b.top_k = OnDevice<top_k>::call;
  b.rank = OnDevice<rank>::call;
  b.pair_counts = OnDevice<pair_counts>::call;
  return b;
}

}  // namespace
}  // namespace tt::cuda

extern "C" __attribute__((visibility("default"))) const tt::Backend* tt_backend_open(
    int32_t version, const tt::Host* host) {
  if (version != tt::kBackendVersion) return nullptr;
  static const tt::Backend backend = [host] {
    tt::cuda::count_bytes = host->count_bytes;
    return tt::cuda::make_backend();
  }();
  return &backend;
}
