#include "stream.h"

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <set>

#include "graph.h"
#include "host_thread.h"
#include "machine.h"
#include "memory_pool.h"

struct CUstream_st {
  unsigned flags = 0;
  CUcontext context = nullptr;
  std::deque<simt::Work> queue;
  std::shared_ptr<simt::Capture> capture;
};

struct EventState {
  std::uint64_t asked = 0, done = 0;  // records
  std::chrono::steady_clock::time_point time;
  cudaStream_t stream = nullptr;
  std::shared_ptr<simt::Capture> capture;  // recorded last in one
  std::set<std::size_t> captured_work;     // what whoever waits for it waits for
};
struct CUevent_st {
  unsigned flags = 0;
  std::shared_ptr<EventState> state{new EventState};
};

namespace simt {

namespace {

std::set<cudaStream_t> streams;
std::set<cudaEvent_t> events;
CUstream_st legacy;  // the default stream: in order with all streams that are not NonBlocking

using Lock = std::lock_guard<std::recursive_mutex>;

bool is_default(cudaStream_t s) {
  return s == nullptr || s == cudaStreamLegacy || s == cudaStreamPerThread;
}

CUstream_st* resolve(cudaStream_t stream) {
  if (is_default(stream)) return &legacy;
  return streams.count(stream) != 0 ? stream : nullptr;
}

cudaError_t device_state() {
  return machine.failure.empty() ? cudaSuccess : cudaErrorLaunchFailure;
}

cudaError_t run(const Work& work) {
  const cudaError_t state = device_state();
  return state != cudaSuccess ? state : work();
}

cudaError_t drain(CUstream_st& stream) {
  cudaError_t status = device_state();
  while (!stream.queue.empty()) {
    const Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    const cudaError_t own = run(work);
    if (status == cudaSuccess) status = own;
  }
  return status;
}

cudaError_t drain_blocking() {
  cudaError_t status = cudaSuccess;
  for (cudaStream_t s : streams)
    if ((s->flags & cudaStreamNonBlocking) == 0 && status == cudaSuccess) status = drain(*s);
  return status;
}

// Whether something that the default stream waits for is captured.
bool captures_blocking() {
  for (cudaStream_t s : streams)
    if (s->capture != nullptr && (s->flags & cudaStreamNonBlocking) == 0) return true;
  return false;
}

// Spoils the captures that the call may not be made beside.
template <class Forbids>
cudaError_t refuse_beside(Forbids&& forbids) {
  cudaError_t status = cudaSuccess;
  for (cudaStream_t s : streams) {
    if (s->capture == nullptr || !forbids(*s->capture)) continue;
    s->capture->spoilt = true;
    status = cudaErrorStreamCaptureUnsupported;
  }
  return status;
}

void leave_capture(const std::shared_ptr<Capture>& capture) {
  for (cudaStream_t s : streams)
    if (s->capture == capture) s->capture = nullptr;
  for (cudaEvent_t event : events)
    if (event->state->capture == capture) event->state->capture = nullptr;
}

// Until the record of `state` numbered `ticket` has happened.
cudaError_t reach(EventState& state, std::uint64_t ticket) {
  CUstream_st* stream = resolve(state.stream);
  while (state.done < ticket && stream != nullptr && !stream->queue.empty()) {
    const Work work = std::move(stream->queue.front());
    stream->queue.pop_front();
    const cudaError_t status = run(work);
    if (status != cudaSuccess) return status;
  }
  return device_state();
}

cudaError_t refuse_captured(Capture& capture) {
  capture.spoilt = true;
  return cudaErrorStreamCaptureUnsupported;
}
cudaError_t refuse_captured(const EventState& event) {
  event.capture->spoilt = true;
  return cudaErrorCapturedEvent;
}

// The stream waits for an event while either is captured.
cudaError_t wait_captured(CUstream_st* stream, const EventState& state) {
  if (state.capture == nullptr) {              // for what no graph knows of
    if (state.asked == 0) return cudaSuccess;  // never recorded: there is no wait
    stream->capture->spoilt = true;
    return cudaErrorStreamCaptureIsolation;
  }
  if (stream->capture != nullptr && stream->capture != state.capture) {
    stream->capture->spoilt = state.capture->spoilt = true;
    return cudaErrorStreamCaptureMerge;
  }
  if (stream == &legacy) return cudaErrorStreamCaptureImplicit;
  stream->capture = state.capture;
  stream->capture->ends[stream].insert(state.captured_work.begin(), state.captured_work.end());
  return cudaSuccess;
}

}  // namespace

cudaError_t submit(cudaStream_t handle, Job job, Work work) {
  if (const cudaError_t status = use_context()) return status;
  CUstream_st* stream = resolve(handle);
  if (stream == nullptr ||
      (job.kind == Job::kKernel && stream != &legacy && stream->context != current_context()))
    return cudaErrorInvalidResourceHandle;
  if (const cudaError_t state = device_state()) return state;
  if (stream->capture != nullptr) return stream->capture->add(stream, job, std::move(work));
  if (stream == &legacy) {
    if (captures_blocking()) return cudaErrorStreamCaptureImplicit;
    if (const cudaError_t status = drain_blocking()) return status;
    return run(work);
  }
  if (!machine.options.defer_streams) return run(work);
  stream->queue.push_back(std::move(work));
  return cudaSuccess;
}

cudaError_t refuse_wait() {
  const char* waits = std::getenv("SIMT_WAITS");
  return waits != nullptr && std::strcmp(waits, "0") == 0 ? cudaErrorNotPermitted : cudaSuccess;
}

cudaError_t finish(cudaStream_t handle) {
  if (const cudaError_t status = use_context()) return status;
  CUstream_st* stream = resolve(handle);
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t status = refuse_wait()) return status;
  if (stream->capture != nullptr) return refuse_captured(*stream->capture);
  if (stream == &legacy && captures_blocking()) return cudaErrorStreamCaptureImplicit;
  const cudaError_t status = stream == &legacy ? drain_blocking() : drain(*stream);
  pools_release();
  return status;
}

cudaError_t finish_all() {
  if (const cudaError_t status = refuse_in_capture()) return status;
  return finish_uncaptured();
}

cudaError_t finish_uncaptured() {
  if (const cudaError_t status = refuse_wait()) return status;
  cudaError_t status = device_state();
  for (cudaStream_t s : streams) {
    const cudaError_t own = drain(*s);
    if (status == cudaSuccess) status = own;
  }
  pools_release();
  return status;
}

cudaError_t refuse_in_capture() {
  return refuse_beside([](const Capture&) { return true; });
}

cudaError_t refuse_unsafe() {
  const cudaStreamCaptureMode mode = capture_mode();
  if (mode == cudaStreamCaptureModeRelaxed) return cudaSuccess;
  return refuse_beside([mode](const Capture& capture) {
    if (capture.thread == std::this_thread::get_id())
      return capture.mode != cudaStreamCaptureModeRelaxed;
    return mode == cudaStreamCaptureModeGlobal && capture.mode == cudaStreamCaptureModeGlobal;
  });
}

bool is_captured(cudaStream_t handle) {
  const CUstream_st* stream = resolve(handle);
  return stream != nullptr && stream->capture != nullptr;
}

}  // namespace simt

using simt::Lock;
using simt::machine;
using simt::record;

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const Lock lock(machine.mutex);
  if (stream == nullptr || flags > cudaStreamNonBlocking) return record(cudaErrorInvalidValue);
  if (const cudaError_t status = simt::use_context()) return record(status);
  *stream = new CUstream_st;
  (*stream)->flags = flags;
  (*stream)->context = simt::current_context();
  simt::streams.insert(*stream);
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const Lock lock(machine.mutex);
  if (simt::streams.count(stream) == 0) return record(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) {
    stream->capture->spoilt = true;
    if (stream->capture->origin == stream)
      simt::leave_capture(std::shared_ptr<simt::Capture>(stream->capture));
  }
  const cudaError_t status = simt::drain(*stream);  // its work still happens
  simt::streams.erase(stream);
  delete stream;
  return record(status);
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const Lock lock(machine.mutex);
  return record(simt::finish(stream));
}
cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const Lock lock(machine.mutex);
  const CUstream_st* stream = simt::resolve(handle);
  if (stream == nullptr) return record(cudaErrorInvalidResourceHandle);
  if (stream->capture != nullptr) return record(simt::refuse_captured(*stream->capture));
  if (const cudaError_t state = simt::device_state()) return record(state);
  return stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const Lock lock(machine.mutex);
  CUstream_st* stream = simt::resolve(handle);
  if (stream == nullptr || simt::events.count(event) == 0)
    return record(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<EventState> state = event->state;
  if (state->capture != nullptr || stream->capture != nullptr)
    return record(simt::wait_captured(stream, *state));
  const std::uint64_t ticket = state->asked;
  if (state->done >= ticket) return cudaSuccess;
  return record(simt::submit(handle, simt::Job::kOther,
                             [state, ticket] { return simt::reach(*state, ticket); }));
}
cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* user_data) {
  const Lock lock(machine.mutex);
  if (function == nullptr) return record(cudaErrorInvalidValue);
  return record(simt::submit(stream, simt::Job::kHost, [function, user_data] {
    function(user_data);
    return cudaSuccess;
  }));
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  const Lock lock(machine.mutex);
  if (event == nullptr) return record(cudaErrorInvalidValue);
  if (const cudaError_t status = simt::use_context()) return record(status);
  *event = new CUevent_st;
  (*event)->flags = flags;
  simt::events.insert(*event);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const Lock lock(machine.mutex);
  if (simt::events.erase(event) == 0) return record(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const Lock lock(machine.mutex);
  CUstream_st* stream = simt::resolve(handle);
  if (stream == nullptr || simt::events.count(event) == 0)
    return record(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<EventState> state = event->state;
  state->stream = handle;
  state->capture = stream->capture;
  if (stream->capture != nullptr) {
    state->captured_work = stream->capture->ends[stream];
    return cudaSuccess;
  }
  state->asked++;
  return record(simt::submit(handle, simt::Job::kOther, [state] {
    state->done++;
    state->time = std::chrono::steady_clock::now();
    return cudaSuccess;
  }));
}
cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const Lock lock(machine.mutex);
  if (simt::events.count(event) == 0) return record(cudaErrorInvalidResourceHandle);
  if (event->state->capture != nullptr) return record(simt::refuse_captured(*event->state));
  if (const cudaError_t status = simt::refuse_wait()) return record(status);
  return record(simt::reach(*event->state, event->state->asked));
}
cudaError_t cudaEventQuery(cudaEvent_t event) {
  const Lock lock(machine.mutex);
  if (simt::events.count(event) == 0) return record(cudaErrorInvalidResourceHandle);
  if (event->state->capture != nullptr) return record(simt::refuse_captured(*event->state));
  if (const cudaError_t state = simt::device_state()) return record(state);
  return event->state->done >= event->state->asked ? cudaSuccess : cudaErrorNotReady;
}
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const Lock lock(machine.mutex);
  if (milliseconds == nullptr) return record(cudaErrorInvalidValue);
  for (cudaEvent_t event : {start, end}) {
    if (simt::events.count(event) == 0 || (event->flags & cudaEventDisableTiming) != 0 ||
        event->state->asked == 0)
      return record(cudaErrorInvalidResourceHandle);
    if (event->state->done < event->state->asked) return cudaErrorNotReady;
  }
  *milliseconds =
      std::chrono::duration<float, std::milli>(end->state->time - start->state->time).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const Lock lock(machine.mutex);
  if (simt::is_default(stream)) return record(cudaErrorStreamCaptureUnsupported);
  if (simt::streams.count(stream) == 0) return record(cudaErrorInvalidResourceHandle);
  if (const cudaError_t state = simt::device_state()) return record(state);
  if (stream->capture != nullptr) return record(cudaErrorIllegalState);
  stream->capture.reset(
      new simt::Capture{stream, mode, std::this_thread::get_id(), {}, {{stream, {}}}});
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Lock lock(machine.mutex);
  if (graph == nullptr) return record(cudaErrorInvalidValue);
  *graph = nullptr;
  if (simt::streams.count(stream) == 0) return record(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<simt::Capture> capture = stream->capture;
  if (capture == nullptr) return record(cudaErrorIllegalState);
  if (capture->origin != stream) {
    capture->spoilt = true;
    return record(cudaErrorStreamCaptureUnmatched);
  }
  if (capture->mode != cudaStreamCaptureModeRelaxed &&
      capture->thread != std::this_thread::get_id())
    return record(cudaErrorStreamCaptureWrongThread);
  simt::leave_capture(capture);
  if (capture->spoilt) return record(cudaErrorStreamCaptureInvalidated);
  if (!capture->joined()) return record(cudaErrorStreamCaptureUnjoined);
  *graph = simt::make_graph(std::move(capture->nodes));
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  const Lock lock(machine.mutex);
  if (const cudaError_t none = simt::use_context()) return record(none);
  const CUstream_st* stream = simt::resolve(handle);
  if (stream == nullptr) return record(cudaErrorInvalidResourceHandle);
  if (const cudaError_t state = simt::device_state()) return record(state);
  // The default stream encompasses the others: asking for it counts as using it.
  if (stream == &simt::legacy && simt::captures_blocking())
    return record(cudaErrorStreamCaptureImplicit);
  *status = stream->capture == nullptr ? cudaStreamCaptureStatusNone
            : stream->capture->spoilt  ? cudaStreamCaptureStatusInvalidated
                                       : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}
