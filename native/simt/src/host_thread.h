// What each host thread has of its own: the context that is current, the last error, the mode towards captures.
#pragma once

#include "simt/runtime_api.h"

namespace simt {

// What calls that need a context do first. cudaErrorNoDevice, or cudaErrorInsufficientDriver where there is no driver.
cudaError_t use_context();
cudaStreamCaptureMode capture_mode();

}  // namespace simt
