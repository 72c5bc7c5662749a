// Many threads multiply at once and must get the bits that they get alone.
#include <cblas.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

// OpenBLAS's own, or what stands in for them.
extern "C" {
void* blas_memory_alloc(int position);
void blas_memory_free(void* buffer);
}

namespace {

class Product {
 public:
  explicit Product(int index) : n_(48 + 13 * index) {
    const auto size = static_cast<size_t>(n_) * static_cast<size_t>(n_);
    a_.resize(size);
    b_.resize(size);
    for (size_t i = 0; i < size; i++) {
      a_[i] = 0.37f * static_cast<float>((i * 7 + static_cast<size_t>(index)) % 13) - 2.f;
      b_[i] = 0.53f * static_cast<float>((i * 5 + static_cast<size_t>(index)) % 11) - 3.f;
    }
    alone_ = compute();
  }

  int wrong_of(int repetitions) const {
    int wrong = 0;
    for (int r = 0; r < repetitions; r++) {
      const std::vector<float> now = compute();
      wrong += std::memcmp(now.data(), alone_.data(), now.size() * sizeof(float)) != 0;
    }
    return wrong;
  }

 private:
  std::vector<float> compute() const {
    std::vector<float> c(a_.size());
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n_, n_, n_, 1, a_.data(), n_, b_.data(),
                n_, 0, c.data(), n_);
    return c;
  }

  int n_;
  std::vector<float> a_, b_, alone_;
};

TEST(Blas, ConcurrentCallsAreIndependent) {
  constexpr int kThreads = 16, kRepetitions = 400;
  std::vector<Product> products;
  for (int i = 0; i < kThreads; i++) products.emplace_back(i);

  std::vector<int> wrong(kThreads);
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([&products, &wrong, i] {
      wrong[static_cast<size_t>(i)] = products[static_cast<size_t>(i)].wrong_of(kRepetitions);
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(kThreads, 0)) << "wrong products of each thread";
}

// A key of a thread is destroyed after its thread_local variables. Exit handlers run after those of the main thread.
TEST(Blas, AnEndingThreadMayStillMultiply) {
  struct Last {
    Product product{3};
    int wrong = -1;
  } last;
  pthread_key_t key;
  ASSERT_EQ(pthread_key_create(&key,
                               [](void* value) {
                                 auto& it = *static_cast<Last*>(value);
                                 it.wrong = it.product.wrong_of(1);
                               }),
            0);
  std::thread([&] {
    pthread_setspecific(key, &last);
    EXPECT_EQ(last.product.wrong_of(1), 0);
  }).join();
  pthread_key_delete(key);
  EXPECT_EQ(last.wrong, 0);
}

#if TWINTAIL_OPENBLAS_STATIC
// OpenBLAS's own table has 128 places and as many calls at once; after 512 more than that it has no buffers left.
TEST(Blas, AnyNumberOfThreadsHasABufferEach) {
  constexpr int kThreads = 160, kRounds = 20;
  std::vector<int> wrong(kThreads);
  std::vector<std::thread> threads;
  std::atomic<int> arrived{0};
  const auto meet = [&arrived](int round) {
    ++arrived;
    while (arrived.load() < round * kThreads) std::this_thread::yield();
  };
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < kRounds; round++) {
        auto* buffer = static_cast<volatile int*>(blas_memory_alloc(0));
        if (buffer != nullptr) *buffer = i;
        meet(2 * round + 1);
        wrong[static_cast<size_t>(i)] += buffer == nullptr || *buffer != i;
        meet(2 * round + 2);
        blas_memory_free(const_cast<int*>(buffer));
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, std::vector<int>(kThreads, 0)) << "lost or shared buffers of each thread";
}
#endif

}  // namespace
