// What the tests of native/simt share.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "device.h"

namespace simt_test {

// Which tool watches the accesses of kernels in this build.
#if defined(SIMT_ASAN)
constexpr bool kAsan = true, kTsan = false, kCheck = false;
#elif defined(SIMT_TSAN)
constexpr bool kAsan = false, kTsan = true, kCheck = false;
#elif defined(SIMT_CHECK)
constexpr bool kAsan = false, kTsan = false, kCheck = true;
#else
constexpr bool kAsan = false, kTsan = false, kCheck = false;
#endif

constexpr unsigned kFull = 0xffffffffu;

// One of every schedule policy (see Options::seed).
constexpr std::uint64_t kSeeds[] = {0, 1, 2, 3, 4, 5};

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size) : size_(size) {
    EXPECT_EQ(cudaMalloc(&data_, size * sizeof(T)), cudaSuccess);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    EXPECT_EQ(cudaMemcpy(data_, values.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
  }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;
  ~DeviceArray() { cudaFree(data_); }

  T* get() const { return data_; }
  std::vector<T> values() const {
    std::vector<T> result(size_);
    cudaMemcpy(result.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost);
    return result;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

// Every test runs under every schedule, starts healthy and leaves nothing behind.
class SeededTest : public testing::TestWithParam<std::uint64_t> {
 protected:
  void SetUp() override { simt::options().seed = GetParam(); }
  void TearDown() override {
    EXPECT_EQ(simt::last_failure(), "");
    EXPECT_EQ(simt::live_allocations(), 0u) << simt::describe_allocations();
    simt::options() = simt::Options();
    simt::clear_failure();
  }
};
#define SIMT_SEEDED(suite)                       \
  class suite : public simt_test::SeededTest {}; \
  INSTANTIATE_TEST_SUITE_P(Seeds, suite, testing::ValuesIn(simt_test::kSeeds))

// What became of code that ran in a process of its own.
struct Outcome {
  int exit_code = 0;   // 128 + signal if one ended it
  bool right = false;  // the code said so, and nobody complained
  std::string text;    // its standard error
};
Outcome run_in_child(const std::function<bool()>& code);

inline std::vector<float> random_floats(std::size_t n, unsigned seed, float low = -1.0f,
                                        float high = 1.0f) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> distribution(low, high);
  std::vector<float> values(n);
  for (float& v : values) v = distribution(generator);
  return values;
}

}  // namespace simt_test
