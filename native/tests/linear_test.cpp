#include <dlfcn.h>

#include "harness.h"

namespace tt_test {
namespace {

struct Layer {
  int64_t n;
  int32_t in, out;
  std::vector<float> x, weights, bias;  // bias empty: none
  int32_t activation;

  static Layer random(Random& random, int64_t n, int32_t in, int32_t out, bool bias, bool relu) {
    return {n,
            in,
            out,
            random.normals(n * in),
            random.normals(int64_t{in} * out),
            bias ? random.normals(out) : std::vector<float>(),
            relu ? TT_RELU : TT_LINEAR};
  }
};

template <class Real>
std::vector<Real> reference_forward(const Layer& l) {
  std::vector<Real> y;
  for (int64_t i = 0; i < l.n; ++i) {
    for (int32_t j = 0; j < l.out; ++j) {
      Real sum = 0;
      for (int32_t k = 0; k < l.in; ++k) {
        sum += static_cast<Real>(l.x[static_cast<size_t>(i * l.in + k)]) *
               static_cast<Real>(l.weights[static_cast<size_t>(int64_t{j} * l.in + k)]);
      }
      if (!l.bias.empty()) sum += static_cast<Real>(l.bias[static_cast<size_t>(j)]);
      y.push_back(l.activation == TT_RELU && sum < 0 ? 0 : sum);
    }
  }
  return y;
}

template <class Real>
struct Gradients {
  std::vector<Real> x, weights, bias;
};

/// y decides where the ReLU lets gradients through.
template <class Real>
Gradients<Real> reference_backward(const Layer& l, const std::vector<float>& y,
                                   const std::vector<float>& grad_y) {
  Gradients<Real> g{std::vector<Real>(static_cast<size_t>(l.n * l.in)),
                    std::vector<Real>(static_cast<size_t>(int64_t{l.in} * l.out)),
                    std::vector<Real>(static_cast<size_t>(l.out))};
  for (int64_t i = 0; i < l.n; ++i) {
    for (int32_t j = 0; j < l.out; ++j) {
      const auto at = static_cast<size_t>(i * l.out + j);
      if (l.activation == TT_RELU && !(y[at] > 0)) continue;
      const auto d = static_cast<Real>(grad_y[at]);
      g.bias[static_cast<size_t>(j)] += d;
      for (int32_t k = 0; k < l.in; ++k) {
        const auto w = static_cast<size_t>(int64_t{j} * l.in + k);
        const auto x = static_cast<size_t>(i * l.in + k);
        g.x[x] += d * static_cast<Real>(l.weights[w]);
        g.weights[w] += d * static_cast<Real>(l.x[x]);
      }
    }
  }
  return g;
}

class LinearTest : public OpTest {
 protected:
  static std::vector<float> forward(const Context& context, const Layer& l) {
    const Buffer<float> x(context, l.x), weights(context, l.weights), bias(context, l.bias);
    const Buffer<float> y(context, l.n * l.out);
    TT_EXPECT_OK(tt_linear(context, l.n, l.in, l.out, x, weights,
                           l.bias.empty() ? nullptr : bias.get(), l.activation, y));
    return y.read();
  }

  static Gradients<float> backward(const Context& context, const Layer& l,
                                   const std::vector<float>& y, const std::vector<float>& grad_y) {
    const Buffer<float> x(context, l.x), weights(context, l.weights);
    const Buffer<float> device_y(context, y), device_grad(context, grad_y);
    const Buffer<float> grad_x(context, l.n * l.in);
    const Buffer<float> grad_weights(context, int64_t{l.in} * l.out);
    const Buffer<float> grad_bias(context, l.out);
    TT_EXPECT_OK(tt_linear_backward(context, l.n, l.in, l.out, x, weights, l.activation, device_y,
                                    device_grad, grad_x, grad_weights, grad_bias));
    return {grad_x.read(), grad_weights.read(), grad_bias.read()};
  }
};
TT_ON_ALL_TARGETS(LinearTest);

// x = (1, 2), weights rows (3, 4), (-1, 0), bias (0.5, 0): (1*3 + 2*4 + 0.5, -1) = (11.5, -1).
TEST_P(LinearTest, ByHand) {
  const Context context(target());
  Layer l{1, 2, 2, {1, 2}, {3, 4, -1, 0}, {0.5f, 0}, TT_LINEAR};
  EXPECT_EQ(forward(context, l), (std::vector<float>{11.5f, -1}));
  l.activation = TT_RELU;
  EXPECT_EQ(forward(context, l), (std::vector<float>{11.5f, 0}));
  // Only the first output is on: grad_x = 2 * (3, 4), grad_weights = 2 * (1, 2) in its row.
  const Gradients<float> g = backward(context, l, {11.5f, 0}, {2, 7});
  EXPECT_EQ(g.x, (std::vector<float>{6, 8}));
  EXPECT_EQ(g.weights, (std::vector<float>{2, 4, 0, 0}));
  EXPECT_EQ(g.bias, (std::vector<float>{2, 0}));
}

TEST_P(LinearTest, AnyShape) {
  const struct {
    int64_t n;
    int32_t in, out;
  } shapes[] = {{1, 1, 1},     {2, 3, 5},      {127, 129, 2},  {255, 64, 33},
                {256, 64, 32}, {257, 31, 17},  {1000, 48, 64}, {3000, 20, 10},
                {1, 500, 300}, {600, 130, 200}};  // the last: in large tiles on a GPU, too
  uint32_t salt = 0;
  for (const auto& shape : shapes) {
    for (const bool relu : {false, true}) {
      Random random(++salt);
      SCOPED_TRACE(std::to_string(shape.n) + " x " + std::to_string(shape.in) + " x " +
                   std::to_string(shape.out));
      const Context context(target());
      const Layer l = Layer::random(random, shape.n, shape.in, shape.out, salt % 3 != 0, relu);
      const std::vector<float> y = forward(context, l);
      expect_as_good_as_plain(y, reference_forward<float>(l), reference_forward<double>(l), "y",
                              shape.in);
      const std::vector<float> grad_y = random.normals(l.n * l.out);
      const Gradients<float> got = backward(context, l, y, grad_y);
      const auto plain = reference_backward<float>(l, y, grad_y);
      const auto exact = reference_backward<double>(l, y, grad_y);
      expect_as_good_as_plain(got.x, plain.x, exact.x, "grad_x", shape.out);
      expect_as_good_as_plain(got.weights, plain.weights, exact.weights, "grad_weights",
                              static_cast<double>(shape.n));
      expect_as_good_as_plain(got.bias, plain.bias, exact.bias, "grad_bias",
                              static_cast<double>(shape.n));
    }
  }
}

/// A layer none of whose units is so near the kink of its ReLU that a small step crosses it.
Layer away_from_kinks(Random& random) {
  for (;;) {
    Layer l = Layer::random(random, 7, 5, 4, true, false);
    const std::vector<double> sums = reference_forward<double>(l);
    l.activation = TT_RELU;
    if (std::all_of(sums.begin(), sums.end(), [](double x) { return std::abs(x) > 0.01; })) {
      return l;
    }
  }
}

// Central differences of <grad_y, y>: (f(w + h) - f(w - h)) / 2h, in float64 by the reference. Without kinks they are exact.
TEST_P(LinearTest, GradientsMatchFiniteDifferences) {
  Random random;
  const Context context(target());
  Layer l = away_from_kinks(random);
  const std::vector<float> y = forward(context, l);
  const std::vector<float> grad_y = random.normals(l.n * l.out);
  const Gradients<float> got = backward(context, l, y, grad_y);
  const auto objective = [&] {
    const std::vector<double> values = reference_forward<double>(l);
    double sum = 0;
    for (size_t i = 0; i < values.size(); ++i) sum += values[i] * static_cast<double>(grad_y[i]);
    return sum;
  };
  constexpr float kStep = 1.0f / 4096;
  const auto expect_slopes = [&](std::vector<float>& parameters, const std::vector<float>& slopes) {
    for (size_t i = 0; i < parameters.size(); ++i) {
      const float saved = parameters[i];
      parameters[i] = saved + kStep;
      const double high = objective();
      const double up = static_cast<double>(parameters[i]);
      parameters[i] = saved - kStep;
      const double slope = (high - objective()) / (up - static_cast<double>(parameters[i]));
      parameters[i] = saved;
      EXPECT_NEAR(slope, static_cast<double>(slopes[i]), 1e-4) << i;
    }
  };
  expect_slopes(l.weights, got.weights);
  expect_slopes(l.bias, got.bias);
  expect_slopes(l.x, got.x);
}

TEST_P(LinearTest, SameBitsForAnyThreads) {
  Random random;
  const Layer l = Layer::random(random, 5000, 40, 24, true, true);
  const std::vector<float> grad_y = random.normals(l.n * l.out);
  std::string first;
  for (const int32_t threads : thread_counts()) {
    const Context context(target(), threads);
    const std::vector<float> y = forward(context, l);
    const Gradients<float> g = backward(context, l, y, grad_y);
    const std::string all = bits(y) + bits(g.x) + bits(g.weights) + bits(g.bias);
    if (first.empty()) first = all;
    EXPECT_EQ(all, first) << threads;
  }
}

TEST_P(LinearTest, OutputsAreOptional) {
  Random random;
  const Context context(target());
  const Layer l = Layer::random(random, 300, 10, 6, true, true);
  const std::vector<float> y = forward(context, l);
  const std::vector<float> grad_y = random.normals(l.n * l.out);
  const Gradients<float> all = backward(context, l, y, grad_y);
  const Buffer<float> x(context, l.x), weights(context, l.weights);
  const Buffer<float> device_y(context, y), device_grad(context, grad_y);
  const Buffer<float> grad_x(context, l.n * l.in), grad_weights(context, 60), grad_bias(context, 6);
  const auto call = [&](float* gx, float* gw, float* gb) {
    TT_EXPECT_OK(tt_linear_backward(context, l.n, l.in, l.out, gw != nullptr ? x.get() : nullptr,
                                    gx != nullptr ? weights.get() : nullptr, l.activation, device_y,
                                    device_grad, gx, gw, gb));
  };
  call(grad_x, nullptr, nullptr);
  EXPECT_EQ(bits(grad_x.read()), bits(all.x));
  call(nullptr, grad_weights, nullptr);
  EXPECT_EQ(bits(grad_weights.read()), bits(all.weights));
  call(nullptr, nullptr, grad_bias);
  EXPECT_EQ(bits(grad_bias.read()), bits(all.bias));
  call(nullptr, nullptr, nullptr);
}

// A bias at a multiple of 16 bytes, which a library may add by itself, and behind one.
TEST_P(LinearTest, AnyAlignmentOfBias) {
  Random random;
  const Context context(target());
  for (const bool relu : {false, true}) {
    const Layer l = Layer::random(random, 20, 12, 8, true, relu);
    const Buffer<float> x(context, l.x), weights(context, l.weights), y(context, l.n * l.out);
    Buffer<float> space(context, l.out + 7);
    for (size_t shift = 0; shift < 4; ++shift) {
      const size_t begin = (4 - reinterpret_cast<uintptr_t>(space.get()) / 4 % 4) % 4 + shift;
      std::vector<float> contents(static_cast<size_t>(space.size()), NAN);
      std::copy(l.bias.begin(), l.bias.end(), contents.begin() + static_cast<int64_t>(begin));
      space.write(contents);
      TT_EXPECT_OK(
          tt_linear(context, l.n, l.in, l.out, x, weights, space + begin, l.activation, y));
      expect_as_good_as_plain(y.read(), reference_forward<float>(l), reference_forward<double>(l),
                              "y", l.in);
    }
  }
}

// Else the run with native/simt/cublaslt in the place of cuBLASLt would show nothing.
TEST_P(LinearTest, GoesThroughTheNamedCublasLt) {
  const char* path = std::getenv("TWINTAIL_CUBLASLT");
  if (on_cpu() || path == nullptr) GTEST_SKIP() << "TWINTAIL_CUBLASLT names no library";
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void* counter = library != nullptr ? dlsym(library, "fake_cublaslt_calls") : nullptr;
  if (counter == nullptr) GTEST_SKIP() << "a library that does not count";
  const auto calls = [&] {
    return reinterpret_cast<int (*)(const char*)>(counter)("cublasLtMatmul");
  };
  Random random;
  const Context context(target());
  const Layer l = Layer::random(random, 30, 10, 6, true, true);
  const int before = calls();
  const std::vector<float> y = forward(context, l);
  EXPECT_EQ(calls(), before + 1);
  backward(context, l, y, random.normals(l.n * l.out));
  EXPECT_EQ(calls(), before + 3);
}

TEST_P(LinearTest, NoRowsHaveZeroGradients) {
  const Context context(target());
  const Buffer<float> weights(context, std::vector<float>(6, 1));
  const Buffer<float> grad_weights(context, 6), grad_bias(context, 2);
  TT_EXPECT_OK(tt_linear(context, 0, 3, 2, nullptr, weights, nullptr, TT_LINEAR, nullptr));
  TT_EXPECT_OK(tt_linear_backward(context, 0, 3, 2, nullptr, weights, TT_LINEAR, nullptr, nullptr,
                                  nullptr, grad_weights, grad_bias));
  EXPECT_EQ(grad_weights.read(), std::vector<float>(6, 0));
  EXPECT_EQ(grad_bias.read(), std::vector<float>(2, 0));
}

TEST_P(LinearTest, NanIsNotHidden) {
  const Context context(target());
  const Layer l{1, 1, 2, {NAN}, {1, 1}, {}, TT_RELU};
  for (const float y : forward(context, l)) EXPECT_TRUE(std::isnan(y));
}

TEST_P(LinearTest, BadArguments) {
  const Context context(target());
  const Buffer<float> a(context, std::vector<float>(4)), out(context, 4);
  EXPECT_BAD_ARGUMENT(tt_linear(nullptr, 2, 2, 2, a, a, a, 0, out), "context");
  EXPECT_BAD_ARGUMENT(tt_linear(context, -1, 2, 2, a, a, a, 0, out), "n");
  EXPECT_BAD_ARGUMENT(tt_linear(context, int64_t{1} << 61, 2, 2, a, a, a, 0, out), "n");
  EXPECT_BAD_ARGUMENT(tt_linear(context, 2, 0, 2, a, a, a, 0, out), "in");
  EXPECT_BAD_ARGUMENT(tt_linear(context, 2, 2, 0, a, a, a, 0, out), "out");
  EXPECT_BAD_ARGUMENT(tt_linear(context, 2, 2, 2, nullptr, a, a, 0, out), "x");
  EXPECT_BAD_ARGUMENT(tt_linear(context, 2, 2, 2, a, nullptr, a, 0, out), "weights");
  EXPECT_BAD_ARGUMENT(tt_linear(context, 2, 2, 2, a, a, a, 2, out), "activation");
  EXPECT_BAD_ARGUMENT(tt_linear(context, 2, 2, 2, a, a, a, 0, nullptr), "y");
  const auto back = [&](const float* x, const float* w, int32_t activation, const float* y,
                        const float* g) {
    return tt_linear_backward(context, 2, 2, 2, x, w, activation, y, g, out, out, out);
  };
  EXPECT_BAD_ARGUMENT(tt_linear_backward(nullptr, 2, 2, 2, a, a, 0, a, a, out, out, out),
                      "context");
  EXPECT_BAD_ARGUMENT(tt_linear_backward(context, -2, 2, 2, a, a, 0, a, a, out, out, out), "n");
  EXPECT_BAD_ARGUMENT(tt_linear_backward(context, 2, -2, 2, a, a, 0, a, a, out, out, out), "in");
  EXPECT_BAD_ARGUMENT(tt_linear_backward(context, 2, 2, -2, a, a, 0, a, a, out, out, out), "out");
  EXPECT_BAD_ARGUMENT(back(nullptr, a, 0, a, a), "x");
  EXPECT_BAD_ARGUMENT(back(a, nullptr, 0, a, a), "weights");
  EXPECT_BAD_ARGUMENT(back(a, a, -1, a, a), "activation");
  EXPECT_BAD_ARGUMENT(back(a, a, TT_RELU, nullptr, a), "y");
  EXPECT_BAD_ARGUMENT(back(a, a, 0, a, nullptr), "grad_y");
}

}  // namespace
}  // namespace tt_test
