// What is behind the public handles.
#ifndef TWINTAIL_CORE_HANDLES_H
#define TWINTAIL_CORE_HANDLES_H

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "backend.h"
#include "check.h"
#include "error.h"

namespace tt {

/// Adds to tt_live_bytes.
void count_bytes(int64_t delta);

/// One context of a backend. Feature tables share it, so that they may be destroyed after it.
class Session {
 public:
  /// Takes ownership of impl.
  Session(const Backend* backend, void* impl, int32_t device_index);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  const Backend& backend() const { return *backend_; }
  int32_t device() const { return backend_->device; }
  int32_t device_index() const { return device_index_; }
  void* impl() const { return impl_; }

  /// Calls a function of the backend: call(backend().linear, n, in, ...). Throws what it reports.
  /// After a device error every further call fails with that same error.
  template <class... Parameters, class... Arguments>
  void call(tt_status (*function)(void*, tt_error*, Parameters...), Arguments... arguments) {
    if (dead_) throw Error(death_);
    tt_error error{};
    if (function(impl_, &error, arguments...) != TT_OK) fail(error);
  }

  std::atomic<int64_t> live_bytes{0};  // taken by tt_alloc
  bool in_graph = false;               // between tt_graph_begin and tt_graph_end

 private:
  [[noreturn]] void fail(const tt_error& error);

  const Backend* backend_;
  void* impl_;
  int32_t device_index_;
  bool dead_ = false;
  tt_error death_{};
};

/// A linked or loaded backend that has a device; throws TT_NO_DEVICE with everything that was
/// tried.
const Backend* find_backend(int32_t device, int32_t device_index);
/// Frees what was allocated on a session and not given back (devices other than the CPU).
void free_leftovers(Session& session);
/// For the probe.
void report_backend(int32_t device, tt_backend_report& report);

}  // namespace tt

struct tt_context {
  std::shared_ptr<tt::Session> session;
};

struct tt_feature_table {
  tt::Table table{};
  std::vector<tt_feature> features;
  std::shared_ptr<tt::Session> session;
  int64_t counted_bytes = 0;
};

namespace tt {

inline Session& session_of(tt_context* context) {
  check::pointer("context", context);
  return *context->session;
}

/// The table, if it lives on the context's device.
const Table& table_of(const Session& session, const tt_feature_table* table);

}  // namespace tt
#endif
