// What a kernel file sees in place of <cuda_runtime.h> when it is compiled as plain C++ for the CPU.
#pragma once

#include "simt/atomics.h"
#include "simt/half.h"
#include "simt/math.h"
#include "simt/memory.h"
#include "simt/ptx.h"
#include "simt/runtime_api.h"
#include "simt/sync.h"
