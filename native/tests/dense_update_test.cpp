#include <algorithm>

#include "optimizer_reference.h"

namespace tt_test {
namespace {

class DenseUpdateTest : public OpTest {};
TT_ON_ALL_TARGETS(DenseUpdateTest);

constexpr int32_t kKinds[] = {TT_SGD, TT_ADAGRAD, TT_ADAM};

/// |start| and the sizes of all changes since, so many roundings for each: steps that cancel leave what they cost.
class Terms {
 public:
  explicit Terms(const std::vector<double>& start, double roundings = 1)
      : roundings_(roundings), last_(start), sums_(start) {
    for (double& sum : sums_) sum = std::abs(sum);
  }
  void add(const std::vector<double>& next) {
    for (size_t i = 0; i < next.size(); ++i) sums_[i] += roundings_ * std::abs(next[i] - last_[i]);
    last_ = next;
  }
  double largest() const { return *std::max_element(sums_.begin(), sums_.end()); }

 private:
  double roundings_;
  std::vector<double> last_, sums_;
};

TEST_P(DenseUpdateTest, FollowsTheFormulas) {
  for (const int32_t kind : kKinds) {
    for (const float decay : {0.0f, 0.03f}) {
      for (const int64_t count : {1, 15, 16, 17, 1000, 40001}) {
        Random random(static_cast<uint32_t>(count));
        std::vector<float> w = random.normals(count), s1(w.size()), s2(w.size());
        std::vector<double> exact_w(w.begin(), w.end()), exact1(w.size()), exact2(w.size());
        const Context context(target());
        const Buffer<float> device_w(context, w), device1(context, s1), device2(context, s2);
        // What Adam adds is the quotient of two rounded means, corrected and scaled.
        Terms terms_w(exact_w, kind == TT_ADAM ? 4 : 1), terms1(exact1), terms2(exact2);
        for (int64_t step = 1; step <= 3; ++step) {
          const tt_optimizer o = make_optimizer(kind, decay, step);
          const std::vector<float> g = random.normals(count);
          const std::vector<double> exact_g(g.begin(), g.end());
          const Buffer<float> device_g(context, g);
          TT_OK_OR_FAIL(tt_dense_update(context, &o, device_w, device_g,
                                        states_of(kind) >= 1 ? device1.get() : nullptr,
                                        states_of(kind) >= 2 ? device2.get() : nullptr, count));
          const auto size = static_cast<int32_t>(count);
          reference_update(o, w.data(), g.data(), s1.data(), s2.data(), size);
          reference_update(o, exact_w.data(), exact_g.data(), exact1.data(), exact2.data(), size);
          terms_w.add(exact_w);
          terms1.add(exact1);
          terms2.add(exact2);
        }
        const std::string what =
            std::string(optimizer_name(kind)) + " count " + std::to_string(count);
        expect_as_good_as_plain(device_w.read(), w, exact_w, what, terms_w.largest());
        expect_as_good_as_plain(device1.read(), s1, exact1, what + " state1", terms1.largest());
        expect_as_good_as_plain(device2.read(), s2, exact2, what + " state2", terms2.largest());
      }
    }
  }
}

// Adam's first step from zero states: m = 0.1 g, v = 0.01 g^2, corrected to g and g^2, so that
// w -= lr * g / (|g| + epsilon): 0.05 against the sign of g.
TEST_P(DenseUpdateTest, AdamByHand) {
  const Context context(target());
  const Buffer<float> w(context, std::vector<float>{1, 1});
  const Buffer<float> g(context, std::vector<float>{4, -0.5f});
  const Buffer<float> m(context, std::vector<float>(2)), v(context, std::vector<float>(2));
  const tt_optimizer o = make_optimizer(TT_ADAM);
  TT_OK_OR_FAIL(tt_dense_update(context, &o, w, g, m, v, 2));
  EXPECT_NEAR(w.read()[0], 0.95, 1e-6);
  EXPECT_NEAR(w.read()[1], 1.05, 1e-6);
  EXPECT_NEAR(m.read()[0], 0.4, 1e-6);
  EXPECT_NEAR(v.read()[0], 0.16, 1e-6);
}

TEST_P(DenseUpdateTest, SameBitsForAnyThreads) {
  for (const int32_t kind : kKinds) {
    std::string first;
    for (const int32_t threads : thread_counts()) {
      Random random;
      const Context context(target(), threads);
      const Buffer<float> w(context, random.normals(100003)), g(context, random.normals(100003));
      const Buffer<float> s1(context, std::vector<float>(100003)),
          s2(context, std::vector<float>(100003));
      const tt_optimizer o = make_optimizer(kind);
      TT_OK_OR_FAIL(tt_dense_update(context, &o, w, g, s1, s2, 100003));
      if (first.empty()) first = bits(w.read());
      EXPECT_EQ(bits(w.read()), first) << threads;
    }
  }
}

// Every operation is rounded alike on every device and with every instruction set.
TEST_P(DenseUpdateTest, SameBitsOnEveryTarget) {
  constexpr int64_t kCount = 1003;
  const auto update = [](const Target& where, const tt_optimizer& o) {
    Random random(7);
    const Context context(where);
    const Buffer<float> w(context, random.normals(kCount)), g(context, random.normals(kCount));
    const Buffer<float> s1(context, std::vector<float>(kCount, 0.3f)),
        s2(context, std::vector<float>(kCount, 0.2f));
    TT_EXPECT_OK(tt_dense_update(context, &o, w, g, s1, s2, kCount));
    return bits(w.read()) + bits(s1.read()) + bits(s2.read());
  };
  for (const int32_t kind : kKinds) {
    for (const float decay : {0.0f, 0.03f}) {
      const tt_optimizer o = make_optimizer(kind, decay, 5);
      EXPECT_EQ(update(target(), o), update(targets().front(), o)) << optimizer_name(kind);
    }
  }
}

TEST_P(DenseUpdateTest, BadArguments) {
  const Context context(target());
  const Buffer<float> a(context, std::vector<float>(4)), b(context, std::vector<float>(4));
  const Buffer<float> c(context, std::vector<float>(4)), d(context, std::vector<float>(4));
  const tt_optimizer adam = make_optimizer(TT_ADAM);
  EXPECT_BAD_ARGUMENT(tt_dense_update(nullptr, &adam, a, b, c, d, 4), "context");
  EXPECT_BAD_ARGUMENT(tt_dense_update(context, nullptr, a, b, c, d, 4), "optimizer");
  EXPECT_BAD_ARGUMENT(tt_dense_update(context, &adam, nullptr, b, c, d, 4), "parameters");
  EXPECT_BAD_ARGUMENT(tt_dense_update(context, &adam, a, nullptr, c, d, 4), "gradients");
  EXPECT_BAD_ARGUMENT(tt_dense_update(context, &adam, a, b, nullptr, d, 4), "state1");
  EXPECT_BAD_ARGUMENT(tt_dense_update(context, &adam, a, b, c, nullptr, 4), "state2");
  EXPECT_BAD_ARGUMENT(tt_dense_update(context, &adam, a, b, c, d, -4), "count");
  const tt_optimizer wrong = make_optimizer(-1);
  EXPECT_BAD_ARGUMENT(tt_dense_update(context, &wrong, a, b, c, d, 4), "optimizer.kind");
  const tt_optimizer rowwise = make_optimizer(TT_ROWWISE_ADAGRAD);
  EXPECT_EQ(tt_dense_update(context, &rowwise, a, b, c, d, 4), TT_UNSUPPORTED);
  EXPECT_NE(last_message().find("row-wise"), std::string::npos);
}

}  // namespace
}  // namespace tt_test
