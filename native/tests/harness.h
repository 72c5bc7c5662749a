// The small fixture of the op tests: which backends and instruction sets to run on, contexts, and
// device memory between guard bands. Tests reach device memory through it only, so that they run
// unchanged on every backend.
#ifndef TWINTAIL_TESTS_HARNESS_H
#define TWINTAIL_TESTS_HARNESS_H

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "twintail.h"

namespace tt_test {

inline std::string last_message() {
  tt_error error{};
  tt_last_error(&error);
  return error.message;
}

#define TT_OK_OR_FAIL(call) ASSERT_EQ(call, TT_OK) << ::tt_test::last_message()
#define TT_EXPECT_OK(call) EXPECT_EQ(call, TT_OK) << ::tt_test::last_message()

/// For helpers that return values: a failure there ends the test program's sense, so it aborts.
inline void must(tt_status status, const char* what) {
  if (status == TT_OK) return;
  std::fprintf(stderr, "%s: %s\n", what, last_message().c_str());
  std::abort();
}
#define TT_MUST(call) ::tt_test::must(call, #call)

/// The call must fail with TT_BAD_ARGUMENT and name this argument.
#define EXPECT_BAD_ARGUMENT(call, name)                                                     \
  do {                                                                                      \
    EXPECT_EQ(call, TT_BAD_ARGUMENT) << "should name " << name;                             \
    tt_error error_{};                                                                      \
    tt_last_error(&error_);                                                                 \
    EXPECT_STREQ(error_.argument, name) << error_.message;                                  \
    EXPECT_STRNE(error_.expected, "") << error_.message;                                    \
    EXPECT_STRNE(error_.got, "") << error_.message;                                         \
    EXPECT_NE(std::string(error_.message).find(name), std::string::npos) << error_.message; \
  } while (false)

inline void expect_expected(const char* expected) {
  tt_error error{};
  tt_last_error(&error);
  EXPECT_STREQ(error.expected, expected);
}
inline void expect_got(const char* got) {
  tt_error error{};
  tt_last_error(&error);
  EXPECT_STREQ(error.got, got);
}

/// A seed that differs from run to run; TWINTAIL_TEST_SEED repeats one.
inline uint32_t fresh_seed() {
  static const uint32_t seed = [] {
    const char* text = std::getenv("TWINTAIL_TEST_SEED");
    const uint32_t s = text != nullptr ? static_cast<uint32_t>(std::strtoul(text, nullptr, 10))
                                       : std::random_device{}();
    std::printf("TWINTAIL_TEST_SEED=%u\n", s);
    return s;
  }();
  return seed;
}

/// An environment variable for as long as this lives.
class Environment {
 public:
  Environment(const char* name, const char* value) : name_(name) {
    const char* old = std::getenv(name);
    had_ = old != nullptr;
    if (had_) old_ = old;
    setenv(name, value, 1);
  }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;
  ~Environment() {
    if (had_) {
      setenv(name_, old_.c_str(), 1);
    } else {
      unsetenv(name_);
    }
  }

 private:
  const char* name_;
  bool had_;
  std::string old_;
};

/// Random inputs; the seed is shown with every failure in its scope.
class Random {
 public:
  explicit Random(uint32_t salt = 0) : seed_(fresh_seed() + salt), engine_(seed_) {}

  int64_t integer(int64_t low, int64_t high) {
    return std::uniform_int_distribution<int64_t>(low, high)(engine_);
  }
  bool chance(double p) { return std::bernoulli_distribution(p)(engine_); }
  float normal() { return std::normal_distribution<float>()(engine_); }
  std::vector<float> normals(int64_t count) {
    std::vector<float> v(static_cast<size_t>(count));
    for (float& x : v) x = normal();
    return v;
  }
  std::vector<int32_t> integers(int64_t count, int64_t low, int64_t high) {
    std::vector<int32_t> v(static_cast<size_t>(count));
    for (int32_t& x : v) x = static_cast<int32_t>(integer(low, high));
    return v;
  }
  std::mt19937& engine() { return engine_; }

 private:
  uint32_t seed_;
  std::mt19937 engine_;
};

/// A device, and on the CPU an instruction set.
struct Target {
  int32_t device;
  int32_t isa;
  const char* name;
};
inline void PrintTo(const Target& target, std::ostream* os) {
  *os << target.name;
}

inline bool cuda_available() {
  tt_backend_report report{};
  report.struct_size = sizeof report;
  return tt_backend_probe(TT_DEVICE_CUDA, &report) == TT_OK && report.available == 1;
}

/// Everything this machine can run. Read while tests are registered.
inline std::vector<Target> targets() {
  std::vector<Target> all;
  const uint32_t isas = tt_cpu_isa_available();
  if ((isas & 1u << TT_ISA_PORTABLE) != 0)
    all.push_back({TT_DEVICE_CPU, TT_ISA_PORTABLE, "Portable"});
  if ((isas & 1u << TT_ISA_AVX2) != 0) all.push_back({TT_DEVICE_CPU, TT_ISA_AVX2, "Avx2"});
  if ((isas & 1u << TT_ISA_AVX512) != 0) all.push_back({TT_DEVICE_CPU, TT_ISA_AVX512, "Avx512"});
  if (cuda_available()) all.push_back({TT_DEVICE_CUDA, 0, "Cuda"});
  return all;
}

class Context {
 public:
  explicit Context(const Target& target, int32_t threads = 2) {
    tt_context_options options{};
    options.struct_size = sizeof options;
    options.device = target.device;
    if (target.device == TT_DEVICE_CPU) {
      options.threads = threads;
      options.isa = target.isa;
    }
    TT_MUST(tt_context_create(&options, &handle_));
  }
  ~Context() { TT_MUST(tt_context_destroy(handle_)); }
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  tt_context* get() const { return handle_; }
  operator tt_context*() const { return handle_; }

 private:
  tt_context* handle_ = nullptr;
};

/// Device memory for `count` elements, with a guard band on both sides that must stay as it was. The
/// first element is aligned to its own size only. Outputs start as NaN (floats) or -1.
template <class T>
class Buffer {
 public:
  Buffer(const Context& context, int64_t count) : context_(context), count_(count) {
    allocate(nullptr);
  }
  Buffer(const Context& context, const std::vector<T>& contents)
      : context_(context), count_(static_cast<int64_t>(contents.size())) {
    allocate(contents.data());
  }
  ~Buffer() {
    check_guards();
    TT_MUST(tt_free(context_, memory_));
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* get() const { return reinterpret_cast<T*>(static_cast<char*>(memory_) + kGuard); }
  operator T*() const { return get(); }
  int64_t size() const { return count_; }

  std::vector<T> read() const {
    const std::vector<char> all = read_all();
    std::vector<T> contents(static_cast<size_t>(count_));
    if (count_ > 0) std::memcpy(contents.data(), all.data() + kGuard, bytes());
    return contents;
  }
  void write(const std::vector<T>& contents) {
    ASSERT_EQ(static_cast<int64_t>(contents.size()), count_);
    if (count_ > 0) {
      TT_MUST(tt_memory_copy(context_, get(), contents.data(), static_cast<int64_t>(bytes()),
                             TT_HOST_TO_DEVICE));
    }
  }

 private:
  static constexpr size_t kGuard = 64 + sizeof(T);
  static constexpr unsigned char kPoison = 0xFF;  // NaN as a float, -1 as an integer

  size_t bytes() const { return static_cast<size_t>(count_) * sizeof(T); }

  void allocate(const T* contents) {
    TT_MUST(tt_alloc(context_, static_cast<int64_t>(bytes() + 2 * kGuard), &memory_));
    std::vector<char> all(bytes() + 2 * kGuard, static_cast<char>(kPoison));
    if (contents != nullptr && count_ > 0) std::memcpy(all.data() + kGuard, contents, bytes());
    TT_MUST(tt_memory_copy(context_, memory_, all.data(), static_cast<int64_t>(all.size()),
                           TT_HOST_TO_DEVICE));
  }
  std::vector<char> read_all() const {
    std::vector<char> all(bytes() + 2 * kGuard);
    TT_MUST(tt_memory_copy(context_, all.data(), memory_, static_cast<int64_t>(all.size()),
                           TT_DEVICE_TO_HOST));
    return all;
  }
  void check_guards() const {
    const std::vector<char> all = read_all();
    for (size_t i = 0; i < kGuard; ++i) {
      const bool before = static_cast<unsigned char>(all[i]) == kPoison;
      const bool after = static_cast<unsigned char>(all[all.size() - 1 - i]) == kPoison;
      if (before && after) continue;
      ADD_FAILURE() << "a guard band was overwritten " << (before ? "behind" : "before")
                    << " a buffer of " << count_ << " elements";
      return;
    }
  }

  const Context& context_;
  int64_t count_;
  void* memory_ = nullptr;
};

template <class T>
std::string bits(const std::vector<T>& v) {
  return std::string(reinterpret_cast<const char*>(v.data()), v.size() * sizeof(T));
}

/// The error of `got` against float64 may be at most twice that of the same computation in plain
/// float32, and some units in the last place. `magnitude`: the largest sum of absolute terms behind one
/// result, where terms cancel (a few results alone can be luckily exact in plain float32).
inline void expect_as_good_as_plain(const std::vector<float>& got, const std::vector<float>& plain,
                                    const std::vector<double>& exact, const std::string& what,
                                    double magnitude = 0) {
  ASSERT_EQ(got.size(), exact.size()) << what;
  ASSERT_EQ(plain.size(), exact.size()) << what;
  constexpr double kHalfUnit = 6e-8;
  double worst = 0, worst_plain = 0, largest = 0;
  size_t where = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - exact[i]);
    if (!(error <= worst)) {  // NaN counts as worst
      worst = error;
      where = i;
    }
    worst_plain = std::max(worst_plain, std::abs(static_cast<double>(plain[i]) - exact[i]));
    largest = std::max(largest, std::abs(exact[i]));
  }
  EXPECT_TRUE(worst <= 2 * worst_plain + kHalfUnit * (4 * largest + magnitude))
      << what << ": error " << worst << " at " << where << " (" << got[where] << " for "
      << exact[where] << "), plain float32 has " << worst_plain;
}

/// Root mean square error, for comparisons over many results.
inline double rms_error(const std::vector<float>& got, const std::vector<double>& exact) {
  double squares = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double error = static_cast<double>(got[i]) - exact[i];
    squares += error * error;
  }
  return std::sqrt(squares / static_cast<double>(exact.size()));
}

/// Tests of an op run on every target.
class OpTest : public ::testing::TestWithParam<Target> {
 protected:
  Target target() const { return GetParam(); }
  bool on_cpu() const { return target().device == TT_DEVICE_CPU; }
  /// Thread counts that must all give the same bits.
  std::vector<int32_t> thread_counts() const {
    return on_cpu() ? std::vector<int32_t>{1, 2, 3, 8} : std::vector<int32_t>{0};
  }
};

inline std::string target_name(const ::testing::TestParamInfo<Target>& parameter) {
  return parameter.param.name;
}

#define TT_ON_ALL_TARGETS(fixture)                                                  \
  INSTANTIATE_TEST_SUITE_P(All, fixture, ::testing::ValuesIn(::tt_test::targets()), \
                           ::tt_test::target_name)

}  // namespace tt_test
#endif
