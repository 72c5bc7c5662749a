// Streams as queues of work. Everything asynchronous goes through submit().
#pragma once

#include <memory>
#include <vector>

#include "simt/runtime_api.h"

namespace simt {

using Work = std::function<cudaError_t()>;

// What kind of node a piece of work becomes in a graph, and what of it an update may not change.
struct Job {
  enum Kind { kKernel, kCopy, kFill, kHost, kGraph, kOther };
  Job(Kind k = kOther, int f = 0) : kind(k), fixed(f) {}
  Kind kind;
  int fixed;
};

// Runs `work` in the stream's order: at once, or later if streams are deferred; while the stream is
// captured it becomes part of the graph.
cudaError_t submit(cudaStream_t stream, Job job, Work work);
// Everything submitted so far is done: on one stream; on all; on all that are not captured.
cudaError_t finish(cudaStream_t stream);
cudaError_t finish_all();
cudaError_t finish_uncaptured();
// cudaErrorStreamCaptureUnsupported (and the captures are spoilt) if a stream is being captured: for what
// encompasses all streams.
cudaError_t refuse_in_capture();
// The same for what CUDA calls potentially unsafe: as the modes of the captures say.
cudaError_t refuse_unsafe();
bool is_captured(cudaStream_t stream);
// cudaErrorNotPermitted where the environment says SIMT_WAITS=0: host code that waits for the device is
// refused, so that tests can show that a call does not. Read at each call.
cudaError_t refuse_wait();
// Remembers an error for cudaGetLastError; a failed kernel is remembered for good.
cudaError_t record(cudaError_t status);

}  // namespace simt
