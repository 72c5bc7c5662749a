// Streams as queues of work. Everything asynchronous goes through submit().
#pragma once

#include <memory>
#include <vector>

#include "simt/runtime_api.h"

namespace simt {

using Work = std::function<cudaError_t()>;

// Runs `work` in the stream's order: at once, or later if streams are deferred; while the stream is
// captured it becomes part of the graph.
cudaError_t submit(cudaStream_t stream, Work work);
// Everything submitted so far is done: on one stream, or on all.
cudaError_t finish(cudaStream_t stream);
cudaError_t finish_all();
// cudaErrorStreamCaptureUnsupported (and the capture is spoilt) if a stream is being captured.
cudaError_t refuse_in_capture();
bool is_captured(cudaStream_t stream);
// cudaErrorNotPermitted where the environment says SIMT_WAITS=0: host code that waits for the device is
// refused, so that tests can show that a call does not. Read at each call.
cudaError_t refuse_wait();
// Remembers an error for cudaGetLastError; a failed kernel is remembered for good.
cudaError_t record(cudaError_t status);

}  // namespace simt
