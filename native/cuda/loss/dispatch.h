// From a context to the solver of both losses.
#pragma once

#include "context.h"
#include "loss/solver.h"

namespace tt::cuda::loss {

/// Solves the problem with the best engine of the context's device. op: for errors.
void dispatch(Context& context, const Problem& problem, const char* op);

/// Problem::scale for the arguments of an op.
inline double row_scale(const float* weights, float scale, int64_t rows) {
  return weights != nullptr ? scale : static_cast<double>(scale) / static_cast<double>(rows);
}

}  // namespace tt::cuda::loss
