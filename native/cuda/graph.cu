#include "graph.h"

#include <cstdlib>
#include <cstring>
#include <memory>
#include <type_traits>

#include "context.h"

namespace tt::cuda {
namespace {

constexpr const char* kDoing = "launching recorded calls as a CUDA graph";

bool graphs_allowed() {
  const char* text = std::getenv("TWINTAIL_CUDA_GRAPHS");
  if (text == nullptr || *text == '\0' || std::strcmp(text, "on") == 0) return true;
  if (std::strcmp(text, "off") == 0) return false;
  bad_argument("TWINTAIL_CUDA_GRAPHS", "on or off", std::string(text));
}

struct DestroyGraph {
  void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
};
using Graph = std::unique_ptr<std::remove_pointer_t<cudaGraph_t>, DestroyGraph>;

}  // namespace

cudaError_t ask_captured(cudaStream_t stream, bool* captured) noexcept {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  const cudaError_t asked = cudaStreamIsCapturing(stream, &status);
  if (asked != cudaSuccess) cudaGetLastError();
  *captured = asked == cudaErrorStreamCaptureImplicit ||
              (asked == cudaSuccess && status != cudaStreamCaptureStatusNone);
  return *captured ? cudaSuccess : asked;
}

Recording::Recording(cudaStream_t& stream)
    : stream_(stream), real_(stream), allowed_(graphs_allowed()) {}

Recording::~Recording() {
  if (active_) {
    cudaGraph_t graph = nullptr;
    cudaStreamEndCapture(capturing_, &graph);
    if (graph != nullptr) cudaGraphDestroy(graph);
    stream_ = real_;
  }
  drop_executable();
  if (capturing_ != nullptr) cudaStreamDestroy(capturing_);
  cudaGetLastError();
}

void Recording::begin() {
  const bool first = !warm_;
  warm_ = true;
  if (first || !allowed_) return;
  bool captured = false;
  check(ask_captured(real_, &captured), "tt_graph_begin");
  if (captured) return;
  if (capturing_ == nullptr) {
    check(cudaStreamCreateWithFlags(&capturing_, cudaStreamNonBlocking), "creating a stream");
  }
  check(cudaStreamBeginCapture(capturing_, cudaStreamCaptureModeRelaxed), "tt_graph_begin");
  stream_ = capturing_;
  active_ = true;
}

void Recording::end() {
  if (active_) launch();
}

void Recording::interrupt() {
  if (!active_) return;
  const int64_t before = counts_.launched;
  launch();
  counts_.cut += counts_.launched - before;
}

void Recording::launch() {
  active_ = false;
  stream_ = real_;
  cudaGraph_t captured = nullptr;
  const cudaError_t ended = cudaStreamEndCapture(capturing_, &captured);
  const Graph graph(captured);
  if (ended != cudaSuccess) {
    // Something that a capture cannot hold was called in it, by us or by a library: it would be so the next time, too.
    cudaGetLastError();
    allowed_ = false;
    check(ended,
          "recording calls in a CUDA graph (none since tt_graph_begin has run; from now on they go "
          "one by one to the "
          "stream, as with TWINTAIL_CUDA_GRAPHS=off)");
  }
  size_t nodes = 0;
  check(cudaGraphGetNodes(captured, nullptr, &nodes), kDoing);
  if (nodes == 0) return;
  make_executable(captured);
  check(cudaGraphLaunch(executable_, real_), kDoing);
  counts_.nodes = static_cast<int32_t>(nodes);
  ++counts_.launched;
}

// Neither an update nor the end of an executable graph touches a launch that is under way (cuGraphExecUpdate,
// cuGraphExecDestroy).
void Recording::make_executable(cudaGraph_t graph) {
  if (executable_ != nullptr) {
    cudaGraphExecUpdateResultInfo result{};
    if (cudaGraphExecUpdate(executable_, graph, &result) == cudaSuccess) return;
    // Mostly cudaErrorGraphExecUpdateFailure, but what a driver cannot update is its own affair. Where more is wrong,
    // building says so.
    cudaGetLastError();
    drop_executable();
  }
  check(cudaGraphInstantiate(&executable_, graph, 0), kDoing);
  ++counts_.built;
}

void Recording::drop_executable() noexcept {
  if (executable_ != nullptr) cudaGraphExecDestroy(executable_);
  executable_ = nullptr;
}

void graph_begin(Context& context) {
  context.recording.begin();
}

void graph_end(Context& context) {
  context.recording.end();
}

}  // namespace tt::cuda
