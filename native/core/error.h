// Errors inside Twintail: one exception type that carries the fields of tt_error, and the barrier
// that turns every exception into a status at a C boundary.
#ifndef TWINTAIL_CORE_ERROR_H
#define TWINTAIL_CORE_ERROR_H

#include <cstdint>
#include <exception>
#include <string>

#include "twintail.h"

namespace tt {

class Error : public std::exception {
 public:
  explicit Error(const tt_error& fields) noexcept : fields_(fields) {}
  const tt_error& fields() const noexcept { return fields_; }
  const char* what() const noexcept override { return fields_.message; }

 private:
  tt_error fields_;
};

/// printf into a string.
std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));

/// TT_BAD_ARGUMENT. argument: e.g. "positives[17]"; expected: e.g. "an index in [0, 512)".
[[noreturn]] void bad_argument(const std::string& argument, const std::string& expected,
                               const std::string& got);
[[noreturn]] void bad_argument(const std::string& argument, const std::string& expected,
                               int64_t got);
[[noreturn]] void bad_argument(const std::string& argument, const std::string& expected,
                               double got);

/// TT_OUT_OF_MEMORY. free_bytes: -1 where unknown; what: for what it was asked, e.g. "workspace".
[[noreturn]] void out_of_memory(int64_t asked_bytes, int64_t free_bytes, const std::string& what);

[[noreturn]] void no_device(const std::string& message);
[[noreturn]] void device_error(const std::string& message);
[[noreturn]] void unsupported(const std::string& message);
[[noreturn]] void internal_error(const std::string& message);

/// Writes the exception being handled into `error` and returns its status. Only inside a catch.
tt_status describe_current_exception(tt_error& error) noexcept;

/// Runs f and turns whatever it throws into a status and `error`.
template <class F>
tt_status guard(tt_error& error, F&& f) noexcept {
  try {
    f();
    return TT_OK;
  } catch (...) {
    return describe_current_exception(error);
  }
}

/// The calling thread's last failure. Defined in libtwintail only, not in plugins.
tt_error& last_error() noexcept;

/// The barrier of the public functions: what f throws is kept as the thread's last failure.
template <class F>
tt_status guard(F&& f) noexcept {
  return guard(last_error(), f);
}

}  // namespace tt
#endif
