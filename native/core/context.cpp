// tt_context_*, tt_version, tt_backend_probe.
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>

#include "handles.h"

namespace tt {
namespace {

constexpr int64_t kContextBytes = sizeof(tt_context) + sizeof(Session);

void check_options(const tt_context_options& options) {
  check::struct_size("struct_size", &options, options.struct_size, sizeof options);
  check::between("device", options.device, TT_DEVICE_CPU, TT_DEVICE_CUDA);
  if (options.device == TT_DEVICE_CPU) {
    check::between("device_index", options.device_index, 0, 0);
    check::between("threads", options.threads, 0, 4096);
    check::between("isa", options.isa, TT_ISA_BEST, TT_ISA_AVX512);
    if (options.stream != nullptr) {
      bad_argument("stream", "NULL on the CPU", std::string("a pointer"));
    }
  } else {
    check::at_least("device_index", options.device_index, 0);
  }
}

/// Of an output struct: what the caller has room for and we know. first_size: that of its first version.
template <class T>
void write_struct(T* to, T from, size_t first_size = sizeof(T)) {
  check::at_least("struct_size", to->struct_size, static_cast<int64_t>(first_size));
  from.struct_size = to->struct_size;
  std::memcpy(to, &from, std::min(sizeof(T), static_cast<size_t>(to->struct_size)));
}

}  // namespace

Session::Session(const Backend* backend, void* impl, int32_t device_index)
    : backend_(backend), impl_(impl), device_index_(device_index) {
  count_bytes(kContextBytes);
}

Session::~Session() {
  backend_->destroy(impl_);
  count_bytes(-kContextBytes);
}

void Session::fail(const tt_error& error) {
  if (error.status == TT_DEVICE_ERROR) {
    dead_ = true;
    death_ = error;
  }
  throw Error(error);
}

}  // namespace tt

int32_t tt_abi_version(void) {
  return TT_ABI_VERSION;
}

const char* tt_version(void) {
  return TT_VERSION;
}

tt_status tt_context_create(const tt_context_options* options, tt_context** context) {
  return tt::guard([&] {
    tt::check::pointer("context", context);
    *context = nullptr;
    if (options != nullptr) tt::check_options(*options);
    tt_context_options known = options != nullptr ? *options : tt_context_options{};
    known.struct_size = sizeof known;

    const tt::Backend* backend = tt::find_backend(known.device, known.device_index);
    auto handle = std::make_unique<tt_context>();
    tt_error error{};
    void* impl = nullptr;
    if (backend->create(&known, &impl, &error) != TT_OK) throw tt::Error(error);
    try {
      handle->session = std::make_shared<tt::Session>(backend, impl, known.device_index);
    } catch (...) {
      backend->destroy(impl);
      throw;
    }
    *context = handle.release();
  });
}

tt_status tt_context_destroy(tt_context* context) {
  return tt::guard([&] {
    if (context == nullptr) return;
    const std::unique_ptr<tt_context> handle(context);
    tt::Session& session = *handle->session;
    if (session.in_graph) {  // what was called has happened, as without a graph
      tt_error ignored{};
      session.backend().graph_end(session.impl(), &ignored);
    }
    tt::free_leftovers(session);
  });
}

tt_status tt_context_get_info(tt_context* context, tt_context_info* info) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::pointer("info", info);
    tt_context_info filled{};
    filled.live_bytes = session.live_bytes.load();
    session.call(session.backend().get_info, &filled);
    filled.device = session.device();
    filled.device_index = session.device_index();
    tt::write_struct(info, filled, offsetof(tt_context_info, reserved_bytes));
  });
}

tt_status tt_context_synchronize(tt_context* context) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    session.call(session.backend().synchronize);
  });
}

tt_status tt_context_trim(tt_context* context) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    session.call(session.backend().trim);
  });
}

tt_status tt_backend_probe(int32_t device, tt_backend_report* report) {
  return tt::guard([&] {
    tt::check::between("device", device, TT_DEVICE_CPU, TT_DEVICE_CUDA);
    tt::check::pointer("report", report);
    tt_backend_report filled{};
    tt::report_backend(device, filled);
    tt::write_struct(report, filled);
  });
}
