#include "flash_softmax.h"

#include <chrono>

#include "simt_test.h"

namespace {

using flash::Bug;
using simt_test::DeviceArray;

std::vector<__nv_bfloat16> unit_rows(int rows, int d, unsigned seed) {
  const std::vector<float> values =
      simt_test::random_floats(static_cast<std::size_t>(rows) * d, seed);
  std::vector<__nv_bfloat16> result(values.size());
  for (int i = 0; i < rows; i++) {
    double square = 0.0;
    for (int k = 0; k < d; k++)
      square += static_cast<double>(values[i * d + k]) * values[i * d + k];
    for (int k = 0; k < d; k++)
      result[i * d + k] =
          __float2bfloat16(static_cast<float>(values[i * d + k] / std::sqrt(square)));
  }
  return result;
}

struct Errors {
  cudaError_t status;
  double log_sum, mean;
};

double worse(double error, double found, double expected) {
  const double difference = std::fabs(found - expected);
  return difference <= error ? error : std::isnan(difference) ? INFINITY : difference;
}

Errors run_and_compare(int n, int m, int d, Bug bug) {
  const std::vector<__nv_bfloat16> q = unit_rows(n, d, 1), c = unit_rows(m, d, 2);
  const std::vector<float> log_q = simt_test::random_floats(m, 3, -8.0f, -2.0f);
  const DeviceArray<__nv_bfloat16> device_q(q), device_c(c);
  const DeviceArray<float> device_log_q(log_q), log_sum(n), mean(static_cast<std::size_t>(n) * d);
  const float inverse_temperature = 20.0f;
  Errors errors{flash::run({device_q.get(), device_c.get(), device_log_q.get(), n, m, d,
                            inverse_temperature, log_sum.get(), mean.get()},
                           bug, nullptr),
                0.0, 0.0};
  const std::vector<float> found_log_sum = log_sum.values(), found_mean = mean.values();
  for (int i = 0; i < n; i++) {
    double z = 0.0;
    std::vector<double> u(d, 0.0);
    for (int j = 0; j < m; j++) {
      double dot = 0.0;
      for (int k = 0; k < d; k++)
        dot += static_cast<double>(__bfloat162float(q[i * d + k])) * __bfloat162float(c[j * d + k]);
      const double e = std::exp(inverse_temperature * dot - log_q[j]);
      z += e;
      for (int k = 0; k < d; k++) u[k] += e * __bfloat162float(c[j * d + k]);
    }
    errors.log_sum = worse(errors.log_sum, found_log_sum[i], std::log(z));
    for (int k = 0; k < d; k++) errors.mean = worse(errors.mean, found_mean[i * d + k], u[k] / z);
  }
  return errors;
}

// Weights are rounded to bfloat16 (relative 2^-9) before they meet candidates of at most 1: their mean is
// off by at most 2^-9. The logarithm sees float rounding alone.
constexpr double kMeanError = 1.0 / 512, kLogSumError = 1e-5;

SIMT_SEEDED(FlashSoftmax);

TEST_P(FlashSoftmax, MatchesDoublePrecision) {
  const int sizes[][3] = {{64, 64, 64}, {256, 256, 64}, {1, 1, 64}, {65, 129, 128}, {100, 77, 64}};
  for (const auto& size : sizes) {
    SCOPED_TRACE(testing::Message() << "n " << size[0] << " m " << size[1] << " d " << size[2]);
    const Errors errors = run_and_compare(size[0], size[1], size[2], Bug::kNone);
    EXPECT_EQ(errors.status, cudaSuccess);
    EXPECT_LT(errors.log_sum, kLogSumError);
    EXPECT_LT(errors.mean, kMeanError);
  }
}

TEST_P(FlashSoftmax, LoadsMatricesWithoutBankConflicts) {
  simt::stats() = simt::Stats();
  EXPECT_EQ(run_and_compare(64, 128, 64, Bug::kNone).status, cudaSuccess);
  EXPECT_GT(simt::stats().matrix_loads, 0u);
  EXPECT_EQ(simt::stats().matrix_load_conflicts, 0u);
}

TEST(FlashSoftmaxSchedules, GiveTheSameBits) {
  std::vector<float> first;
  for (std::uint64_t seed : simt_test::kSeeds) {
    simt::options().seed = seed;
    const DeviceArray<__nv_bfloat16> q(unit_rows(130, 64, 1)), c(unit_rows(200, 64, 2));
    const DeviceArray<float> log_q(simt_test::random_floats(200, 3)), log_sum(130), mean(130 * 64);
    ASSERT_EQ(
        flash::run({q.get(), c.get(), log_q.get(), 130, 200, 64, 10.0f, log_sum.get(), mean.get()},
                   Bug::kNone, nullptr),
        cudaSuccess);
    std::vector<float> values = mean.values();
    if (first.empty()) first = values;
    EXPECT_EQ(0, std::memcmp(first.data(), values.data(), values.size() * sizeof(float)));
  }
  simt::options() = simt::Options();
}

// Each mistake is found by at least one of the four first schedules in every build, and by all of them
// where a tool sees the accesses.
class FlashSoftmaxBug : public testing::TestWithParam<Bug> {};

TEST_P(FlashSoftmaxBug, IsCaught) {
  int caught = 0;
  std::string text;
  for (std::uint64_t seed = 0; seed < 4; seed++) {
    const simt_test::Outcome outcome = simt_test::run_in_child([&] {
      simt::options().seed = seed;
      simt::options().locate_code = false;
      const Errors errors = run_and_compare(100, 256, 64, GetParam());
      return errors.status == cudaSuccess && errors.log_sum < kLogSumError &&
             errors.mean < kMeanError;
    });
    caught += outcome.right ? 0 : 1;
    text += outcome.text;
  }
  EXPECT_GE(caught, 1);
  if (simt_test::kCheck) {
    EXPECT_EQ(caught, 4) << text;
  }
}

INSTANTIATE_TEST_SUITE_P(All, FlashSoftmaxBug,
                         testing::Values(Bug::kNoCopyWait, Bug::kNoBarrierAfterCopy,
                                         Bug::kNoBarrierBeforeReuse, Bug::kRowTooMany));

}  // namespace
