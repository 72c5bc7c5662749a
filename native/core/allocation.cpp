// tt_alloc, tt_free, tt_memory_*, tt_live_bytes.
#include <pthread.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "handles.h"

namespace tt {
namespace {

struct Allocation {
  int64_t bytes;
  int32_t device;
  int32_t device_index;
  std::weak_ptr<Session> session;
  const Session* owner;
};

std::atomic<int64_t> total_bytes{0};
std::mutex allocations_mutex;

// Held during a fork: the child would otherwise find it locked for ever by a thread that it does not have.
[[maybe_unused]] const int forks_watched =
    pthread_atfork([] { allocations_mutex.lock(); }, [] { allocations_mutex.unlock(); },
                   [] { allocations_mutex.unlock(); });

std::unordered_map<void*, Allocation>& allocations() {
  static auto* map = new std::unordered_map<void*, Allocation>;  // outlives every static destructor
  return *map;
}

void remember(void* pointer, int64_t bytes, const std::shared_ptr<Session>& session) {
  const std::lock_guard<std::mutex> lock(allocations_mutex);
  allocations()[pointer] =
      Allocation{bytes, session->device(), session->device_index(), session, session.get()};
  session->live_bytes += bytes;
  total_bytes += bytes;
}

void forget(const Allocation& allocation) {
  if (const auto session = allocation.session.lock()) session->live_bytes -= allocation.bytes;
  total_bytes -= allocation.bytes;
}

/// Takes the pointer out of the book, if it may be freed on this session.
Allocation take(const Session& session, void* pointer) {
  const std::lock_guard<std::mutex> lock(allocations_mutex);
  const auto found = allocations().find(pointer);
  if (found == allocations().end()) {
    bad_argument("pointer", "a pointer from tt_alloc that was not freed yet",
                 format("%p", pointer));
  }
  const Allocation allocation = found->second;
  if (allocation.device != session.device() || allocation.device_index != session.device_index()) {
    bad_argument("pointer", "memory of the context's device",
                 std::string("memory of another device"));
  }
  allocations().erase(found);
  forget(allocation);
  return allocation;
}

/// Memory is freed in the order of the session's work, which knows nothing of another's: not even of the zeroing.
void wait_for_owner(const Session& session, const Allocation& allocation) {
  if (allocation.owner == &session) return;
  const auto owner = allocation.session.lock();
  tt_error ignored{};  // a dead context does nothing more to the memory
  if (owner != nullptr) owner->backend().synchronize(owner->impl(), &ignored);
}

}  // namespace

void count_bytes(int64_t delta) {
  total_bytes += delta;
}

void free_leftovers(Session& session) {
  if (session.device() == TT_DEVICE_CPU) return;  // memory outlives its context there
  std::vector<std::pair<void*, int64_t>> left;
  {
    const std::lock_guard<std::mutex> lock(allocations_mutex);
    for (auto it = allocations().begin(); it != allocations().end();) {
      if (it->second.owner == &session) {
        left.emplace_back(it->first, it->second.bytes);
        forget(it->second);
        it = allocations().erase(it);
      } else {
        ++it;
      }
    }
  }
  for (const auto& [pointer, bytes] : left) {
    tt_error ignored{};
    session.backend().free(session.impl(), &ignored, pointer, bytes);
  }
}

}  // namespace tt

tt_status tt_alloc(tt_context* context, int64_t bytes, void** pointer) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::pointer("pointer", pointer);
    *pointer = nullptr;
    tt::check::at_least("bytes", bytes, 0);
    const int64_t taken = bytes > 0 ? bytes : 1;  // every allocation has an address of its own
    void* memory = nullptr;
    session.call(session.backend().alloc, taken, &memory);
    try {
      tt::remember(memory, taken, context->session);
    } catch (...) {
      tt_error ignored{};
      session.backend().free(session.impl(), &ignored, memory, taken);
      throw;
    }
    *pointer = memory;
  });
}

tt_status tt_free(tt_context* context, void* pointer) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    if (pointer == nullptr) return;
    const tt::Allocation allocation = tt::take(session, pointer);
    tt::wait_for_owner(session, allocation);
    session.call(session.backend().free, pointer, allocation.bytes);
  });
}

tt_status tt_memory_copy(tt_context* context, void* to, const void* from, int64_t bytes,
                         int32_t direction) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::at_least("bytes", bytes, 0);
    tt::check::between("direction", direction, TT_HOST_TO_DEVICE, TT_DEVICE_TO_DEVICE);
    if (bytes == 0) return;
    tt::check::pointer("to", to);
    tt::check::pointer("from", from);
    session.call(session.backend().copy, to, from, bytes, direction);
  });
}

tt_status tt_memory_zero(tt_context* context, void* pointer, int64_t bytes) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::at_least("bytes", bytes, 0);
    if (bytes == 0) return;
    tt::check::pointer("pointer", pointer);
    session.call(session.backend().zero, pointer, bytes);
  });
}

int64_t tt_live_bytes(void) {
  return tt::total_bytes.load();
}
