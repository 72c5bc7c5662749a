#include "error.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <new>

namespace tt {
namespace {

template <size_t N>
void copy_cut(char (&to)[N], const char* from) noexcept {
  size_t length = std::strlen(from);
  if (length > N - 1) {
    length = N - 1;
    // Do not cut inside a UTF-8 sequence: step back over its continuation bytes.
    while (length > 0 && (static_cast<unsigned char>(from[length]) & 0xC0) == 0x80) --length;
  }
  std::memcpy(to, from, length);
  to[length] = '\0';
}

tt_error make(tt_status status, const std::string& message) {
  tt_error error{};
  error.status = status;
  copy_cut(error.message, message.c_str());
  return error;
}

tt_status describe(tt_error& error, tt_status status, const char* message) noexcept {
  error = tt_error{};
  error.status = status;
  copy_cut(error.message, message);
  return status;
}

}  // namespace

std::string format(const char* pattern, ...) {
  va_list arguments;
  va_start(arguments, pattern);
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, pattern, arguments);
  va_end(arguments);
  std::string text(length > 0 ? static_cast<size_t>(length) : 0, '\0');
  if (length > 0) std::vsnprintf(&text[0], text.size() + 1, pattern, again);
  va_end(again);
  return text;
}

void bad_argument(const std::string& argument, const std::string& expected,
                  const std::string& got) {
  tt_error error =
      make(TT_BAD_ARGUMENT, argument + ": expected " + expected + ", got " + got + ".");
  copy_cut(error.argument, argument.c_str());
  copy_cut(error.expected, expected.c_str());
  copy_cut(error.got, got.c_str());
  throw Error(error);
}

void bad_argument(const std::string& argument, const std::string& expected, int64_t got) {
  bad_argument(argument, expected, std::to_string(got));
}

void bad_argument(const std::string& argument, const std::string& expected, double got) {
  bad_argument(argument, expected, format("%.9g", got));
}

void out_of_memory(int64_t asked_bytes, int64_t free_bytes, const std::string& what) {
  const std::string left = free_bytes < 0 ? "an unknown number of bytes is"
                                          : format("%lld bytes are", (long long)free_bytes);
  tt_error error =
      make(TT_OUT_OF_MEMORY, format("Out of memory: %lld bytes asked for %s, %s free.",
                                    (long long)asked_bytes, what.c_str(), left.c_str()));
  error.asked_bytes = asked_bytes;
  error.free_bytes = free_bytes;
  throw Error(error);
}

void no_device(const std::string& message) {
  throw Error(make(TT_NO_DEVICE, message));
}
void device_error(const std::string& message) {
  throw Error(make(TT_DEVICE_ERROR, message));
}
void unsupported(const std::string& message) {
  throw Error(make(TT_UNSUPPORTED, message));
}
void internal_error(const std::string& message) {
  throw Error(make(TT_INTERNAL, message));
}

tt_status describe_current_exception(tt_error& error) noexcept {
  try {
    throw;
  } catch (const Error& e) {
    error = e.fields();
    return static_cast<tt_status>(error.status);
  } catch (const std::bad_alloc&) {
    describe(error, TT_OUT_OF_MEMORY, "Out of memory: a small host allocation failed.");
    error.free_bytes = -1;
    return TT_OUT_OF_MEMORY;
  } catch (const std::exception& e) {
    return describe(error, TT_INTERNAL, e.what());
  } catch (...) {
    return describe(error, TT_INTERNAL, "An unknown exception was caught.");
  }
}

}  // namespace tt
