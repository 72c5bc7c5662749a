// tt_graph_begin to tt_graph_end: what ops do in between reaches the stream as one CUDA graph.
#pragma once

#include <cstdint>

#include "device.h"

namespace tt::cuda {

/// Sets captured to whether the stream is under capture: the legacy stream also while another capture keeps it from being
/// used. What it returns otherwise are errors of earlier work, such as that the device is lost; captured is false then.
cudaError_t ask_captured(cudaStream_t stream, bool* captured) noexcept;

/// Records the work of a section of calls by stream capture. Since a training step never repeats its arguments (counters
/// of random draws, rows of the batch, rates), each section is recorded anew, and the executable graph of the one before is
/// updated to it; where its shape has changed, it is built again.
///
/// The capture is that of a stream of its own, which is the context's while it goes on: the real one, which may be somebody
/// else's, never is under capture, and the graph is launched there. The capture is relaxed: the process may go on allocating
/// and freeing. What waits for the whole device fails all the same while a capture goes on there, in any thread, and spoils it.
class Recording {
 public:
  /// stream: where the context's ops put their work; changed while a capture goes on.
  explicit Recording(cudaStream_t& stream);
  /// What was recorded and not launched is dropped.
  ~Recording();
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;

  /// Begins a section. Its work goes straight to the stream in the first one, which loads kernels and grows the workspace,
  /// and where the stream is captured by its owner or TWINTAIL_CUDA_GRAPHS is "off".
  void begin();

  /// Launches what has been recorded.
  void end();

  /// For work that a graph cannot hold, before it: launches what has been recorded. The rest of the section goes straight
  /// to the stream.
  void interrupt();

  bool active() const { return active_; }

  /// For tt_context_info.
  struct Counts {
    int64_t launched, built, cut;
    int32_t nodes;  // of the graph launched last
  };
  const Counts& counts() const { return counts_; }
  bool allowed() const { return allowed_; }

 private:
  void launch();
  void make_executable(cudaGraph_t graph);
  void drop_executable() noexcept;

  cudaStream_t& stream_;
  const cudaStream_t real_;
  cudaStream_t capturing_ = nullptr;  // made when it is needed first
  cudaGraphExec_t executable_ = nullptr;
  bool allowed_, warm_ = false, active_ = false;
  Counts counts_{};
};

}  // namespace tt::cuda
