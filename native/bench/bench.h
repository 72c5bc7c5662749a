// Shared by the benches: repeated timing beside the machine's measured peak, and JSON lines.
#ifndef TWINTAIL_BENCH_BENCH_H
#define TWINTAIL_BENCH_BENCH_H

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "twintail.h"

namespace bench {

struct Options {
  bool quick = false;
  std::vector<int> threads;       // empty: 1 and all
  std::vector<std::string> isas;  // empty: all that the machine has
  double seconds = 0;             // per case; 0: chosen by quick
};

double now();  // seconds

double median(std::vector<double> values);

/// What a bench reports, in the order of issue; negative numbers and empty strings become null.
struct Result {
  std::string name;
  int64_t n = -1, m = -1;
  int d = -1, threads = -1;
  std::string dtype, isa;
  double ms_median = -1, ms_min = -1;
  double peak_gflops = -1;       // measured between the repetitions, same threads and instructions
  double gflops = -1;            // at ms_median
  double fraction_of_peak = -1;  // median against median
  double fraction_best = -1;     // fastest repetition against the fastest peak
  double extra_mib = -1;
  double gigabytes_per_second = -1;
};
void print(const Result& result);

/// Floating-point rate of `threads` threads, multiply-add counted as two, for about `seconds`.
/// isa: "avx512", "avx2", "portable" or "avx512bf16". In 1e9 a second.
double measure_peak(const std::string& isa, int threads, double seconds);
/// Bytes read and written per second by plain and by non-temporal copies.
double measure_copy(int threads, bool non_temporal);
/// Bytes per second of reading rows of `lines` (1 to 4) cache lines each at random places of [memory, memory + bytes),
/// asked for some rows ahead: what a gather of such rows can reach. in_order: a row's lines one behind the other, which
/// hardware prefetchers take for the begin of an array; otherwise as the kernels read them.
double measure_random(const char* memory, int64_t bytes, int lines, bool in_order, int threads);

/// Runs f, a call worth `flops`, interleaved with peak measurements, and fills the times of result.
void time_beside_peak(const std::function<void()>& f, double flops, const std::string& peak_isa,
                      int threads, double seconds, Result& result);

std::vector<std::string> isas_of(const Options& options);
std::vector<int> threads_of(const Options& options);
int isa_value(const std::string& isa);
/// On the CPU; the caller destroys it.
tt_context* create_context(const std::string& isa, int threads);
/// Ends the program with the library's message where status is not TT_OK.
void check(tt_status status, const char* what);

void run_peak(const Options& options);
void run_loss(const Options& options);
void run_gather(const Options& options);
void run_top_k(const Options& options);

}  // namespace bench
#endif
