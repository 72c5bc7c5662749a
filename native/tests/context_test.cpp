// Contexts, backends, errors, threads and forks.
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <string>
#include <thread>
#include <vector>

#include "gather_fixture.h"
#include "optimizer_reference.h"

namespace tt_test {
namespace {

tt_context_options cpu_options() {
  tt_context_options options{};
  options.struct_size = sizeof options;
  return options;
}

tt_context_info info_of(tt_context* context) {
  tt_context_info info{};
  info.struct_size = sizeof info;
  TT_MUST(tt_context_get_info(context, &info));
  return info;
}

/// Creates a context, and returns what it is; or aborts.
tt_context_info created(const tt_context_options& options) {
  tt_context* context = nullptr;
  TT_MUST(tt_context_create(&options, &context));
  const tt_context_info info = info_of(context);
  TT_MUST(tt_context_destroy(context));
  return info;
}

TEST(Context, VersionsAndDefaults) {
  EXPECT_EQ(tt_abi_version(), TT_ABI_VERSION);
  EXPECT_STRNE(tt_version(), "");
  tt_context* context = nullptr;
  TT_OK_OR_FAIL(tt_context_create(nullptr, &context));
  const tt_context_info info = info_of(context);
  EXPECT_EQ(info.device, TT_DEVICE_CPU);
  EXPECT_EQ(info.device_index, 0);
  EXPECT_GE(info.threads, 1);
  EXPECT_NE(info.isa, 0);
  EXPECT_STRNE(info.name, "");
  EXPECT_EQ(info.live_bytes, 0);
  TT_EXPECT_OK(tt_context_synchronize(context));
  TT_EXPECT_OK(tt_context_destroy(context));
  TT_EXPECT_OK(tt_context_destroy(nullptr));
}

TEST(Context, InstructionSets) {
  const uint32_t available = tt_cpu_isa_available();
  EXPECT_NE(available & 1u << TT_ISA_PORTABLE, 0u);
  for (int32_t isa = TT_ISA_PORTABLE; isa <= TT_ISA_AVX512; ++isa) {
    tt_context_options options = cpu_options();
    options.isa = isa;
    if ((available >> isa & 1) != 0) {
      EXPECT_EQ(created(options).isa, isa);
    } else {
      tt_context* context = nullptr;
      EXPECT_EQ(tt_context_create(&options, &context), TT_UNSUPPORTED);
      EXPECT_EQ(context, nullptr);
    }
  }
}

TEST(Context, EnvironmentChoosesTheInstructionSet) {
  const Environment set("TWINTAIL_ISA", "portable");
  EXPECT_EQ(created(cpu_options()).isa, TT_ISA_PORTABLE);
  EXPECT_EQ(created(cpu_options()).bfloat16, 0);
  if ((tt_cpu_isa_available() >> TT_ISA_AVX2 & 1) != 0) {
    tt_context_options options = cpu_options();
    options.isa = TT_ISA_AVX2;
    EXPECT_EQ(created(options).isa, TT_ISA_AVX2) << "an explicit choice goes before";
  }
  {
    const Environment slow("TWINTAIL_BFLOAT16", "0");
    tt_context_options options = cpu_options();
    for (const int32_t isa : {TT_ISA_PORTABLE, TT_ISA_AVX2, TT_ISA_AVX512}) {
      if ((tt_cpu_isa_available() >> isa & 1) == 0) continue;
      options.isa = isa;
      EXPECT_EQ(created(options).bfloat16, 0);
    }
    const Environment other("TWINTAIL_BFLOAT16", "yes");
    tt_context* context = nullptr;
    EXPECT_BAD_ARGUMENT(tt_context_create(&options, &context), "TWINTAIL_BFLOAT16");
    expect_got("yes");
  }
  const Environment wrong("TWINTAIL_ISA", "sse9");
  tt_context* context = nullptr;
  const tt_context_options options = cpu_options();
  EXPECT_BAD_ARGUMENT(tt_context_create(&options, &context), "TWINTAIL_ISA");
  expect_got("sse9");
}

TEST(Context, ThreadsDefaultToTheAffinityMask) {
  cpu_set_t all, one;
  ASSERT_EQ(sched_getaffinity(0, sizeof all, &all), 0);
  EXPECT_LE(created(cpu_options()).threads, CPU_COUNT(&all));
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &all)) continue;
    CPU_SET(cpu, &one);
    break;
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
  EXPECT_EQ(created(cpu_options()).threads, 1);
  ASSERT_EQ(sched_setaffinity(0, sizeof all, &all), 0);
  tt_context_options options = cpu_options();
  options.threads = 5;
  EXPECT_EQ(created(options).threads, 5);
}

TEST(Context, BadArguments) {
  tt_context* context = nullptr;
  const tt_context_options good = cpu_options();
  EXPECT_BAD_ARGUMENT(tt_context_create(&good, nullptr), "context");
  const auto with = [&](auto change, const char* name) {
    tt_context_options changed = good;
    change(changed);
    EXPECT_BAD_ARGUMENT(tt_context_create(&changed, &context), name);
    EXPECT_EQ(context, nullptr);
  };
  using O = tt_context_options;
  with([](O& o) { o.struct_size = 0; }, "struct_size");
  with([](O& o) { o.device = 2; }, "device");
  with([](O& o) { o.device_index = 1; }, "device_index");
  with([](O& o) { o.threads = -1; }, "threads");
  with([](O& o) { o.isa = 4; }, "isa");
  with([](O& o) { o.stream = &o; }, "stream");
  with(
      [](O& o) {
        o.device = TT_DEVICE_CUDA;
        o.device_index = -1;
      },
      "device_index");
  TT_OK_OR_FAIL(tt_context_create(&good, &context));
  tt_context_info info{};
  EXPECT_BAD_ARGUMENT(tt_context_get_info(context, &info), "struct_size");
  EXPECT_BAD_ARGUMENT(tt_context_get_info(context, nullptr), "info");
  EXPECT_BAD_ARGUMENT(tt_context_get_info(nullptr, &info), "context");
  EXPECT_BAD_ARGUMENT(tt_context_synchronize(nullptr), "context");
  EXPECT_BAD_ARGUMENT(tt_context_trim(nullptr), "context");
  TT_EXPECT_OK(tt_context_destroy(context));
}

// A caller with a newer header has longer structs: fine as long as what we do not know is zero.
TEST(Context, LongerStructsOfALaterVersion) {
  struct Later {
    tt_context_options options;
    int64_t new_field;
  } later{};
  later.options.struct_size = sizeof later;
  tt_context* context = nullptr;
  TT_EXPECT_OK(tt_context_create(&later.options, &context));
  TT_EXPECT_OK(tt_context_destroy(context));
  later.new_field = 1;
  EXPECT_BAD_ARGUMENT(tt_context_create(&later.options, &context), "struct_size");
}

// A caller with the first header has a shorter struct, which must not be written beyond.
TEST(Context, InfoOfAnEarlierVersion) {
  tt_context* context = nullptr;
  TT_OK_OR_FAIL(tt_context_create(nullptr, &context));
  constexpr auto kFirst = static_cast<int32_t>(offsetof(tt_context_info, reserved_bytes));
  tt_context_info info{};
  info.struct_size = kFirst;
  info.reserved_bytes = 12345;
  TT_EXPECT_OK(tt_context_get_info(context, &info));
  EXPECT_EQ(info.struct_size, kFirst);
  EXPECT_STRNE(info.name, "");
  EXPECT_EQ(info.reserved_bytes, 12345);
  info.struct_size = kFirst - 1;
  EXPECT_BAD_ARGUMENT(tt_context_get_info(context, &info), "struct_size");
  TT_OK_OR_FAIL(tt_context_destroy(context));
}

TEST(Backend, CpuIsThere) {
  tt_backend_report report{};
  report.struct_size = sizeof report;
  TT_OK_OR_FAIL(tt_backend_probe(TT_DEVICE_CPU, &report));
  EXPECT_EQ(report.available, 1);
  EXPECT_EQ(report.device_count, 1);
  EXPECT_STREQ(report.path, "");
  EXPECT_STRNE(report.reason, "");
  EXPECT_BAD_ARGUMENT(tt_backend_probe(2, &report), "device");
  EXPECT_BAD_ARGUMENT(tt_backend_probe(TT_DEVICE_CPU, nullptr), "report");
}

// It says the same as creating a context with the default options does.
TEST(Backend, CpuIsNotThereIfTheEnvironmentIsWrong) {
  for (const char* name : {"TWINTAIL_ISA", "TWINTAIL_BFLOAT16"}) {
    const Environment wrong(name, "avx1024");
    tt_context* context = nullptr;
    EXPECT_BAD_ARGUMENT(tt_context_create(nullptr, &context), name);
    tt_backend_report report{};
    report.struct_size = sizeof report;
    TT_OK_OR_FAIL(tt_backend_probe(TT_DEVICE_CPU, &report));
    EXPECT_EQ(report.available, 0);
    EXPECT_EQ(report.device_count, 0);
    EXPECT_EQ(report.confirmed, 1);
    EXPECT_EQ(report.reason, last_message());
  }
  const Environment wrong("TWINTAIL_ISA", "avx1024");
  tt_context_options options = cpu_options();
  options.isa = TT_ISA_PORTABLE;
  EXPECT_EQ(created(options).isa, TT_ISA_PORTABLE) << "an explicit choice does not ask it";
}

// A plugin that is loaded stays loaded, so a process of its own is asked. To see what it says, run the
// disabled tests MissingPlugin.* with TWINTAIL_CUDA_PLUGIN set as here.
TEST(Backend, MissingPluginTellsWhatWasTried) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    // Its summary must not be mistaken for this program's.
    if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(4);
    setenv("TWINTAIL_CUDA_PLUGIN", "/nonexistent/libplugin.so", 1);
    execl("/proc/self/exe", "twintail_tests", "--gtest_filter=MissingPlugin.*",
          "--gtest_also_run_disabled_tests", "--gtest_brief=1", static_cast<char*>(nullptr));
    _exit(3);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// First, since the other one may load a real plugin at its end.
TEST(MissingPlugin, DISABLED_ForeignLibraryIsNoBackend) {
  const Environment set("TWINTAIL_CUDA_PLUGIN", "libm.so.6");
  tt_backend_report report{};
  report.struct_size = sizeof report;
  TT_OK_OR_FAIL(tt_backend_probe(TT_DEVICE_CUDA, &report));
  EXPECT_EQ(report.available, 0);
  EXPECT_NE(std::string(report.reason).find("not a backend"), std::string::npos) << report.reason;
}

TEST(MissingPlugin, DISABLED_IsReported) {
  tt_backend_report report{};
  report.struct_size = sizeof report;
  TT_OK_OR_FAIL(tt_backend_probe(TT_DEVICE_CUDA, &report));
  EXPECT_EQ(report.available, 0);
  EXPECT_EQ(report.device_count, 0);
  EXPECT_STREQ(report.path, "/nonexistent/libplugin.so");
  const std::string reason = report.reason;
  EXPECT_NE(reason.find("/nonexistent/libplugin.so"), std::string::npos) << reason;
  EXPECT_NE(reason.find("No such file"), std::string::npos) << reason;
  tt_context_options options = cpu_options();
  options.device = TT_DEVICE_CUDA;
  tt_context* context = nullptr;
  EXPECT_EQ(tt_context_create(&options, &context), TT_NO_DEVICE);
  EXPECT_NE(last_message().find(reason), std::string::npos) << last_message();
  // Without the variable: beside the library, then the loader's path; a library that is no backend is
  // told apart from a missing one.
  unsetenv("TWINTAIL_CUDA_PLUGIN");
  TT_OK_OR_FAIL(tt_backend_probe(TT_DEVICE_CUDA, &report));
  if (report.available == 0 &&
      std::string(report.reason).find("could be loaded") != std::string::npos) {
    EXPECT_NE(std::string(report.reason).find("; "), std::string::npos) << report.reason;
    EXPECT_STREQ(report.path, "libtwintail_cuda.so");
  }
}

TEST(Errors, AreKeptPerThread) {
  EXPECT_EQ(tt_context_synchronize(nullptr), TT_BAD_ARGUMENT);
  std::thread([] {
    tt_error error{};
    tt_last_error(&error);
    EXPECT_EQ(error.status, TT_OK) << "another thread's failure";
    uint32_t word[4] = {};
    EXPECT_EQ(tt_philox(nullptr, word, word), TT_BAD_ARGUMENT);
    tt_last_error(&error);
    EXPECT_STREQ(error.argument, "key");
  }).join();
  tt_error error{};
  tt_last_error(&error);
  EXPECT_STREQ(error.argument, "context");
  EXPECT_STREQ(error.message, "context: expected a pointer, got NULL.");
  tt_last_error(nullptr);
}

/// A job that uses the pool's threads, and its result.
std::string some_work(tt_context* context) {
  std::vector<float> out(300000);
  TT_MUST(tt_fill_uniform(context, 5, 6, 7, 0, 1, static_cast<int64_t>(out.size()), out.data()));
  return bits(out);
}

TEST(Threads, ManyContextsAtOnce) {
  std::string expected;
  {
    tt_context* context = nullptr;
    TT_OK_OR_FAIL(tt_context_create(nullptr, &context));
    expected = some_work(context);
    TT_OK_OR_FAIL(tt_context_destroy(context));
  }
  std::vector<std::thread> threads;
  std::vector<int> wrong(6);
  for (size_t t = 0; t < wrong.size(); ++t) {
    threads.emplace_back([&, t] {
      tt_context_options options = cpu_options();
      options.threads = static_cast<int32_t>(1 + t);
      tt_context* context = nullptr;
      TT_MUST(tt_context_create(&options, &context));
      for (int i = 0; i < 20; ++i) wrong[t] += some_work(context) != expected;
      TT_MUST(tt_context_destroy(context));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(wrong.size(), 0));
}

// Short jobs in quick succession and after pauses, when the workers have gone to sleep.
TEST(Threads, ManySmallJobs) {
  tt_context_options options = cpu_options();
  options.threads = 4;
  tt_context* context = nullptr;
  TT_OK_OR_FAIL(tt_context_create(&options, &context));
  std::vector<float> p(40000), g(40000, 1.0f);
  const tt_optimizer sgd = make_optimizer(TT_SGD);
  constexpr int kRounds = 3000;
  for (int i = 0; i < kRounds; ++i) {
    TT_OK_OR_FAIL(tt_dense_update(context, &sgd, p.data(), g.data(), nullptr, nullptr, 40000));
    if (i % 100 == 0) usleep(1000);
  }
  float expected = 0;
  for (int i = 0; i < kRounds; ++i) expected -= 0.05f * 1.0f;
  EXPECT_EQ(p, std::vector<float>(40000, expected)) << "every block exactly once in every job";
  TT_OK_OR_FAIL(tt_context_destroy(context));
}

// A child of fork() has none of the threads, yet its copy of the context works, and is destroyed in peace.
TEST(Threads, ForkedChildCanWork) {
  tt_context_options options = cpu_options();
  options.threads = 3;
  tt_context* context = nullptr;
  TT_OK_OR_FAIL(tt_context_create(&options, &context));
  const std::string expected = some_work(context);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(20);  // a hang must not hang the tests
    bool good = some_work(context) == expected;
    good = good && some_work(context) == expected;
    tt_context* other = nullptr;
    good = good && tt_context_create(&options, &other) == TT_OK;
    good = good && some_work(other) == expected;
    good = good && tt_context_destroy(other) == TT_OK && tt_context_destroy(context) == TT_OK;
    _exit(good ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
  EXPECT_EQ(some_work(context), expected);
  TT_OK_OR_FAIL(tt_context_destroy(context));
}

}  // namespace
}  // namespace tt_test
