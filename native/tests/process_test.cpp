// What the process does meanwhile: it forks, ends, runs out of address space.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <thread>
#include <vector>

#include "harness.h"

namespace tt_test {
namespace {

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
const Target kPortable{TT_DEVICE_CPU, TT_ISA_PORTABLE, "Portable"};

/// y = x weights^T of [512, 64] and [64, 64], whose values are small whole numbers.
class Product {
 public:
  Product() {
    for (size_t i = 0; i < x_.size(); ++i) x_[i] = static_cast<float>(i % 5) - 2;
    for (size_t i = 0; i < weights_.size(); ++i) weights_[i] = static_cast<float>(i % 3) - 1;
  }
  tt_status compute(tt_context* context) {
    return tt_linear(context, kRows, kWidth, kWidth, x_.data(), weights_.data(), nullptr, TT_LINEAR,
                     y_.data());
  }
  bool is_right() const {
    for (size_t i = 0; i < y_.size(); ++i) {
      float sum = 0;
      for (size_t k = 0; k < kWidth; ++k)
        sum += x_[i / kWidth * kWidth + k] * weights_[i % kWidth * kWidth + k];
      if (y_[i] != sum) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kRows = 512, kWidth = 64;
  std::vector<float> x_ = std::vector<float>(kRows * kWidth),
                     weights_ = std::vector<float>(kWidth * kWidth),
                     y_ = std::vector<float>(kRows * kWidth);
};

/// Forks until a child fails, and at most `forks` times, while other threads do the same thing over and over.
void expect_children_can(int forks, bool (*thing)(tt_context*)) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "the sanitizer's own allocator may be locked in the child";
#endif
  const Context own(kPortable, 1), first(kPortable, 1), second(kPortable, 1);
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (const Context* context : {&first, &second}) {
    threads.emplace_back([&, context] {
      while (!stop.load()) thing(*context);
    });
  }
  int status = 0;
  for (int i = 0; i < forks && status == 0; ++i) {
    const pid_t child = fork();
    if (child < 0) break;
    if (child == 0) {
      alarm(60);  // a hang must not hang the tests
      _exit(thing(own) ? 0 : 1);
    }
    waitpid(child, &status, 0);
  }
  stop.store(true);
  for (std::thread& thread : threads) thread.join();
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

// A lock that another thread holds at the fork stays locked in the child.
TEST(Process, ChildForkedAmidAllocationsCanAllocate) {
  expect_children_can(300, [](tt_context* context) {
    void* memory = nullptr;
    return tt_alloc(context, 64, &memory) == TT_OK && tt_free(context, memory) == TT_OK;
  });
}

TEST(Process, ChildForkedAmidProbesCanProbe) {
  if (cuda_available()) GTEST_SKIP() << "a plugin that is loaded is not looked for again";
  const Environment set("TWINTAIL_CUDA_PLUGIN", "/nonexistent/libplugin.so");
  expect_children_can(100, [](tt_context*) {
    tt_backend_report report{};
    report.struct_size = sizeof report;
    return tt_backend_probe(TT_DEVICE_CUDA, &report) == TT_OK && report.available == 0;
  });
}

// Whatever a BLAS holds while it multiplies must not be missing in the child.
TEST(Process, ChildForkedAmidProductsCanMultiply) {
  expect_children_can(200, [](tt_context* context) {
    Product product;
    return product.compute(context) == TT_OK && product.is_right();
  });
}

/// The status of a child that does this and returns from it as from main.
int status_of_child(const std::function<int()>& work) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(20);  // a hang must not hang the tests
    std::exit(work());
  }
  int status = -1;
  waitpid(child, &status, 0);
  return status;
}

// A library's destructors run while other threads are still at work.
TEST(Process, EndsWhileAThreadMultiplies) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer looks at what is left at the end";
  for (int i = 0; i < 30; ++i) {
    const int status = status_of_child([] {
      for (int t = 0; t < 2; ++t) {
        std::thread([] {
          const Context context(kPortable, 1);
          Product product;
          while (product.compute(context) == TT_OK) {
          }
        }).detach();
      }
      usleep(20000);
      return 0;
    });
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status << ", child " << i;
  }
}

int64_t mapped_bytes() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

TEST(Process, WithoutAddressSpaceAProductIsOutOfMemory) {
  if (kSanitized) GTEST_SKIP() << "the sanitizer itself needs address space";
  const int status = status_of_child([] {
    int step = 0;
    std::thread([&] {  // one that has multiplied nothing yet
      const Context context(kPortable, 1);
      Product product;
      rlimit before{};
      getrlimit(RLIMIT_AS, &before);
      rlimit tight = before;
      tight.rlim_cur = static_cast<rlim_t>(mapped_bytes() + (4 << 20));
      setrlimit(RLIMIT_AS, &tight);
      const bool refused = product.compute(context) == TT_OUT_OF_MEMORY;
      setrlimit(RLIMIT_AS, &before);
      if (!refused) {
        step = 1;
      } else if (product.compute(context) != TT_OK || !product.is_right()) {
        step = 2;
      }
    })
        .join();
    return step;
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << status;
}

}  // namespace
}  // namespace tt_test
