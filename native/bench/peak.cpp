// The machine's own limits: multiply-add rate of each instruction set, copy bandwidth.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>

#include "bench.h"
#include "peak_loops.h"

namespace bench {

// Without fused multiply-adds a multiplication and an addition count as two.
double peak_portable(int64_t rounds) {
  typedef float Four __attribute__((vector_size(16)));
  Four x[6] = {}, y[6] = {};
  const Four a = {0.5f, 0.5f, 0.5f, 0.5f};
  for (int64_t k = 0; k < rounds; ++k) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
      x[i] = x[i] * a;
      y[i] = y[i] + a;
#if defined(__x86_64__)
      asm volatile("" : "+x"(x[i]), "+x"(y[i]));
#endif
    }
  }
  return 6 * 4 * 2;
}

namespace {

using Loop = double (*)(int64_t);

Loop loop_of(const std::string& isa) {
#if defined(__x86_64__)
  if (isa == "avx512") return peak_avx512;
  if (isa == "avx512bf16") return peak_avx512bf16;
  if (isa == "avx2") return peak_avx2;
#endif
  return peak_portable;
}

/// Seconds from the first thread's start to the last one's end; f(thread) runs on each.
template <class F>
double on_threads(int threads, F&& f) {
  std::atomic<int> ready{0};
  std::vector<double> starts(static_cast<size_t>(threads)), ends(starts);
  const auto body = [&](int t) {
    ready.fetch_add(1);
    while (ready.load() < threads)
      std::this_thread::yield();  // where another may wait for this processor
    starts[static_cast<size_t>(t)] = now();
    f(t);
    ends[static_cast<size_t>(t)] = now();
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t) others.emplace_back(body, t);
  body(0);
  for (std::thread& thread : others) thread.join();
  return *std::max_element(ends.begin(), ends.end()) -
         *std::min_element(starts.begin(), starts.end());
}

}  // namespace

double measure_peak(const std::string& isa, int threads, double seconds) {
  const Loop loop = loop_of(isa);
  constexpr int64_t kProbe = 20000;
  const double start = now();
  const double round = loop(kProbe);
  const auto rounds =
      static_cast<int64_t>(static_cast<double>(kProbe) * seconds / (now() - start)) + 1;
  const double took = on_threads(threads, [&](int) { loop(rounds); });
  return threads * static_cast<double>(rounds) * round / took * 1e-9;
}

double measure_copy(int threads, bool non_temporal) {
  constexpr int64_t kFloats = int64_t{1} << 24;  // 64 MiB a thread and side: far beyond the caches
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::vector<std::unique_ptr<float, Free>> memory;
  for (int i = 0; i < 2 * threads; ++i) {
    memory.emplace_back(static_cast<float*>(std::aligned_alloc(4096, kFloats * sizeof(float))));
    std::fill_n(memory.back().get(), kFloats, 1.0f);
  }
  double best = 0;
  for (int repeat = 0; repeat < 5; ++repeat) {
    const double took = on_threads(threads, [&](int t) {
      float* to = memory[2 * static_cast<size_t>(t)].get();
      const float* from = memory[2 * static_cast<size_t>(t) + 1].get();
#if defined(__x86_64__)
      if (non_temporal) return copy_non_temporal_avx2(to, from, kFloats);
#endif
      std::memcpy(to, from, kFloats * sizeof(float));
    });
    best = std::max(best, 2.0 * threads * static_cast<double>(kFloats * sizeof(float)) / took);
  }
  return best;
}

namespace {

constexpr int64_t kRowsAhead = 64;

/// Each line by a load of its own, as in a kernel: prefetchers tell loads apart by their instruction.
template <int kLines, bool kInOrder>
void read_rows(const char* memory, const uint32_t* row, int64_t reads) {
  constexpr int64_t kLine = 64;
  constexpr int kOrders[4][4] = {{0}, {0, 1}, {1, 2, 0}, {1, 3, 0, 2}};
  for (int64_t i = 0; i < reads; ++i) {
    const char* ahead = memory + row[i + kRowsAhead] * (kLines * kLine);
    for (int l = 0; l < kLines; ++l) __builtin_prefetch(ahead + l * kLine, 0, 2);
    const volatile char* lines = memory + row[i] * (kLines * kLine);
#pragma GCC unroll 4
    for (int l = 0; l < kLines; ++l) {
      static_cast<void>(lines[kLine * (kInOrder ? l : kOrders[kLines - 1][l])]);
    }
  }
}

using ReadRows = void (*)(const char*, const uint32_t*, int64_t);
constexpr ReadRows kReadRows[4][2] = {{read_rows<1, false>, read_rows<1, true>},
                                      {read_rows<2, false>, read_rows<2, true>},
                                      {read_rows<3, false>, read_rows<3, true>},
                                      {read_rows<4, false>, read_rows<4, true>}};

}  // namespace

double measure_random(const char* memory, int64_t bytes, int lines, bool in_order, int threads) {
  const int64_t size = lines * 64;
  const int64_t reads = (int64_t{1} << 21) / lines;
  const ReadRows read = kReadRows[lines - 1][in_order ? 1 : 0];
  std::vector<std::vector<uint32_t>> rows(static_cast<size_t>(threads));
  std::vector<double> times;
  uint64_t random = 1;
  for (int repeat = 0; repeat < 7; ++repeat) {
    for (auto& list : rows) {
      list.resize(static_cast<size_t>(reads + kRowsAhead));
      for (uint32_t& row : list) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        row = static_cast<uint32_t>((random >> 33) % static_cast<uint64_t>(bytes / size));
      }
    }
    times.push_back(on_threads(
        threads, [&](int t) { read(memory, rows[static_cast<size_t>(t)].data(), reads); }));
  }
  return static_cast<double>(threads * reads * size) / median(times);
}

void run_peak(const Options& options) {
  const double seconds = options.quick ? 0.05 : 0.3;
  std::vector<std::string> isas = isas_of(options);
  if (std::find(isas.begin(), isas.end(), "avx512") != isas.end()) {
    tt_context* context = nullptr;
    tt_context_info info{};
    info.struct_size = sizeof info;
    check(tt_context_create(nullptr, &context), "context");
    check(tt_context_get_info(context, &info), "info");
    if (info.bfloat16 != 0) isas.push_back("avx512bf16");
    tt_context_destroy(context);
  }
  for (const int threads : threads_of(options)) {
    for (const std::string& isa : isas) {
      Result r;
      r.name = "peak_multiply_add";
      r.threads = threads;
      r.isa = isa;
      r.dtype = isa == "avx512bf16" ? "bfloat16" : "float32";
      for (int repeat = 0; repeat < 3; ++repeat) {
        r.peak_gflops = std::max(r.peak_gflops, measure_peak(isa, threads, seconds));
      }
      print(r);
    }
    for (const bool non_temporal : {false, true}) {
      if (non_temporal && isas.front() == "portable") continue;
      Result r;
      r.name = non_temporal ? "copy_non_temporal" : "copy";
      r.threads = threads;
      r.gigabytes_per_second = measure_copy(threads, non_temporal) * 1e-9;
      print(r);
    }
  }
}

}  // namespace bench
