#include "bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <thread>

namespace bench {

double now() {
  using Clock = std::chrono::steady_clock;
  return std::chrono::duration<double>(Clock::now().time_since_epoch()).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
}

void print(const Result& r) {
  std::string line = "{\"case\":\"" + r.name + "\"";
  const auto number = [&](const char* key, double value, const char* format) {
    char text[64] = "null";
    if (value >= 0 && std::isfinite(value)) std::snprintf(text, sizeof text, format, value);
    line += std::string(",\"") + key + "\":" + text;
  };
  const auto string = [&](const char* key, const std::string& value) {
    line += std::string(",\"") + key + "\":" + (value.empty() ? "null" : "\"" + value + "\"");
  };
  number("n", static_cast<double>(r.n), "%.0f");
  number("m", static_cast<double>(r.m), "%.0f");
  number("d", r.d, "%.0f");
  number("threads", r.threads, "%.0f");
  string("dtype", r.dtype);
  string("isa", r.isa);
  number("ms_median", r.ms_median, "%.4f");
  number("ms_min", r.ms_min, "%.4f");
  number("gflops", r.gflops, "%.1f");
  number("peak_gflops", r.peak_gflops, "%.1f");
  number("fraction_of_peak", r.fraction_of_peak, "%.4f");
  number("fraction_best", r.fraction_best, "%.4f");
  number("gigabytes_per_second", r.gigabytes_per_second, "%.2f");
  number("extra_mib", r.extra_mib, "%.2f");
  std::printf("%s}\n", line.c_str());
  std::fflush(stdout);
}

void time_beside_peak(const std::function<void()>& f, double flops, const std::string& peak_isa,
                      int threads, double seconds, Result& result) {
  constexpr double kBurst = 0.004;
  f();  // grows the workspace, wakes the threads
  std::vector<double> times, peaks;
  const double end = now() + seconds;
  while (times.size() < 5 || (now() < end && times.size() < 1000)) {
    peaks.push_back(measure_peak(peak_isa, threads, kBurst));
    f();  // not timed: threads awake, clocks as they are in a training loop
    const double start = now();
    f();
    times.push_back(now() - start);
  }
  const double fastest = *std::min_element(times.begin(), times.end());
  const double best_peak = *std::max_element(peaks.begin(), peaks.end());
  result.threads = threads;
  result.ms_median = median(times) * 1e3;
  result.ms_min = fastest * 1e3;
  result.peak_gflops = median(peaks);
  result.gflops = flops / median(times) * 1e-9;
  result.fraction_of_peak = result.gflops / result.peak_gflops;
  result.fraction_best = flops / fastest * 1e-9 / best_peak;
}

std::vector<std::string> isas_of(const Options& options) {
  if (!options.isas.empty()) return options.isas;
  const uint32_t available = tt_cpu_isa_available();
  std::vector<std::string> isas;
  if ((available >> TT_ISA_AVX512 & 1) != 0) isas.push_back("avx512");
  if ((available >> TT_ISA_AVX2 & 1) != 0) isas.push_back("avx2");
  isas.push_back("portable");
  return isas;
}

std::vector<int> threads_of(const Options& options) {
  if (!options.threads.empty()) return options.threads;
  const int all = static_cast<int>(std::thread::hardware_concurrency());
  return all > 1 ? std::vector<int>{1, all} : std::vector<int>{1};
}

int isa_value(const std::string& isa) {
  if (isa == "avx512") return TT_ISA_AVX512;
  if (isa == "avx2") return TT_ISA_AVX2;
  return TT_ISA_PORTABLE;
}

tt_context* create_context(const std::string& isa, int threads) {
  tt_context_options o{};
  o.struct_size = sizeof o;
  o.device = TT_DEVICE_CPU;
  o.threads = threads;
  o.isa = isa_value(isa);
  tt_context* context = nullptr;
  check(tt_context_create(&o, &context), "tt_context_create");
  return context;
}

void check(tt_status status, const char* what) {
  if (status == TT_OK) return;
  tt_error error{};
  tt_last_error(&error);
  std::fprintf(stderr, "%s: %s\n", what, error.message);
  std::exit(1);
}

}  // namespace bench
