// Small device memory that begins as zeros: tickets, sums that are waited for, counters.
#pragma once

#include <algorithm>
#include <cstdint>

#include "context.h"

namespace tt::cuda {

/// Hands out zeros from regions that are cleared as a whole, so that one fill serves all that an op needs.
class Zeroed {
 public:
  Zeroed(Context& context, Scope& scope) : context_(context), scope_(scope) {}

  /// count elements, 16-byte aligned, never NULL. Throws TT_OUT_OF_MEMORY.
  template <class T>
  T* get(int64_t count) {
    static_assert(alignof(T) <= kAlignment);
    const int64_t size = std::max<int64_t>(count, 1) * static_cast<int64_t>(sizeof(T));
    const int64_t bytes = (size + kAlignment - 1) / kAlignment * kAlignment;
    if (bytes > left_) add(bytes);
    void* taken = next_;
    next_ += bytes;
    left_ -= bytes;
    return static_cast<T*>(taken);
  }

 private:
  static constexpr int64_t kAlignment = 16;
  static constexpr int64_t kRegion = 64 << 10;  // the tiles of some million lookups

  void add(int64_t bytes) {
    left_ = std::max(bytes, kRegion);
    next_ = scope_.get<unsigned char>(left_);
    check(cudaMemsetAsync(next_, 0, static_cast<size_t>(left_), context_.stream),
          "clearing memory");
  }

  Context& context_;
  Scope& scope_;
  unsigned char* next_ = nullptr;
  int64_t left_ = 0;
};

}  // namespace tt::cuda
