#include <algorithm>
#include <map>
#include <memory>

#include "gather_reference.h"
#include "optimizer_reference.h"

namespace tt_test {
namespace {

constexpr int32_t kKinds[] = {TT_SGD, TT_ADAGRAD, TT_ROWWISE_ADAGRAD, TT_ADAM};

/// One embedding table with its optimiser states, on the host.
template <class Real>
struct State {
  std::vector<Real> weights, state1, state2;

  static State make(const std::vector<float>& weights, int64_t rows, int32_t kind) {
    State s;
    s.weights.assign(weights.begin(), weights.end());
    if (states_of(kind) >= 1) {
      s.state1.resize(kind == TT_ROWWISE_ADAGRAD ? static_cast<size_t>(rows) : weights.size());
    }
    if (states_of(kind) >= 2) s.state2.resize(weights.size());
    return s;
  }
};

struct Updates {
  std::vector<int32_t> ids;
  std::vector<float> values;
};

template <class Real>
void apply(State<Real>& s, const tt_optimizer& o, const Updates& u, int32_t dim) {
  std::map<int32_t, std::vector<Real>> merged;
  for (size_t i = 0; i < u.ids.size(); ++i) {
    std::vector<Real>& sum = merged[u.ids[i]];
    sum.resize(static_cast<size_t>(dim));
    for (size_t c = 0; c < sum.size(); ++c) {
      sum[c] += static_cast<Real>(u.values[i * sum.size() + c]);
    }
  }
  for (const auto& [id, g] : merged) {
    const int64_t at = int64_t{id} * dim;
    Real* s1 =
        s.state1.empty() ? nullptr : s.state1.data() + (o.kind == TT_ROWWISE_ADAGRAD ? id : at);
    Real* s2 = s.state2.empty() ? nullptr : s.state2.data() + at;
    reference_update(o, s.weights.data() + at, g.data(), s1, s2, dim);
  }
}

class DeviceState {
 public:
  DeviceState(const Context& context, const State<float>& s, int64_t rows, int32_t dim)
      : weights_(context, s.weights), state1_(context, s.state1), state2_(context, s.state2) {
    embedding = tt_embedding{weights_,
                             s.state1.empty() ? nullptr : state1_.get(),
                             s.state2.empty() ? nullptr : state2_.get(),
                             rows,
                             dim,
                             TT_FLOAT32};
  }
  State<float> read() const { return {weights_.read(), state1_.read(), state2_.read()}; }

  tt_embedding embedding{};

 private:
  Buffer<float> weights_, state1_, state2_;
};

std::string all_bits(const State<float>& s) {
  return bits(s.weights) + bits(s.state1) + bits(s.state2);
}

class SparseUpdateTest : public OpTest {
 protected:
  /// Several steps, so that states carry over.
  void expect_right(uint32_t salt, int32_t kind, float decay, int64_t rows, int32_t dim,
                    int64_t count) {
    Random random(salt);
    const std::vector<float> weights = random.normals(rows * dim);
    auto plain = State<float>::make(weights, rows, kind);
    auto exact = State<double>::make(weights, rows, kind);
    const Context context(target());
    const DeviceState device(context, plain, rows, dim);
    for (int64_t step = 1; step <= 3; ++step) {
      const Updates u{random.integers(count, 0, rows - 1), random.normals(count * dim)};
      const tt_optimizer o = make_optimizer(kind, decay, step);
      const Buffer<int32_t> ids(context, u.ids);
      const Buffer<float> values(context, u.values);
      TT_OK_OR_FAIL(tt_sparse_update(context, &o, &device.embedding, ids, values, count));
      apply(plain, o, u, dim);
      apply(exact, o, u, dim);
    }
    const State<float> got = device.read();
    const std::string what = std::string(optimizer_name(kind)) + " dim " + std::to_string(dim);
    expect_as_good_as_plain(got.weights, plain.weights, exact.weights, what + " weights");
    expect_as_good_as_plain(got.state1, plain.state1, exact.state1, what + " state1");
    expect_as_good_as_plain(got.state2, plain.state2, exact.state2, what + " state2");
  }
};
TT_ON_ALL_TARGETS(SparseUpdateTest);

TEST_P(SparseUpdateTest, FollowsTheFormulas) {
  uint32_t salt = 0;
  for (const int32_t kind : kKinds) {
    for (const float decay : {0.0f, 0.01f}) {
      for (const int32_t dim : {1, 7, 16, 33, 64, 130}) {
        expect_right(++salt, kind, decay, 40, dim, 100);
      }
    }
  }
}

TEST_P(SparseUpdateTest, LongRunsAndWideTables) {
  for (const int32_t kind : kKinds) {
    expect_right(1, kind, 0, 3, 20, 5000);
    expect_right(2, kind, 0, 50000, 3, 20000);
  }
}

// Whole numbers, whose sums are exact in any order: runs shorter and longer than what backends cut them into.
TEST_P(SparseUpdateTest, RunsOfAnyLength) {
  const std::vector<int> lengths = {1,  2,   3,   4,   5,   31,  32,   33,   63,   64,
                                    65, 127, 128, 129, 255, 256, 2047, 2048, 2049, 4200};
  Random random(7);
  const auto rows = static_cast<int64_t>(lengths.size());
  for (const int32_t dim : {5, 64, 300}) {
    Updates u;
    for (size_t r = 0; r < lengths.size(); ++r)
      u.ids.insert(u.ids.end(), static_cast<size_t>(lengths[r]), static_cast<int32_t>(r));
    std::shuffle(u.ids.begin(), u.ids.end(), random.engine());
    std::vector<float> expected(static_cast<size_t>(rows * dim));
    for (const int32_t id : u.ids) {
      for (int32_t c = 0; c < dim; ++c) {
        u.values.push_back(static_cast<float>(random.integer(-3, 3)));
        expected[static_cast<size_t>(id * dim + c)] -= u.values.back();
      }
    }
    const Context context(target());
    const auto start = State<float>::make(std::vector<float>(expected.size()), rows, TT_SGD);
    const DeviceState device(context, start, rows, dim);
    const Buffer<int32_t> ids(context, u.ids);
    const Buffer<float> values(context, u.values);
    tt_optimizer o = make_optimizer(TT_SGD);
    o.learning_rate = 1.0f;
    TT_OK_OR_FAIL(tt_sparse_update(context, &o, &device.embedding, ids, values,
                                   static_cast<int64_t>(u.ids.size())));
    EXPECT_EQ(device.read().weights, expected) << "dim " << dim;
  }
}

// Row 2 gets gradients (1, 2) and (3, 0); merged (4, 2). Row-wise Adagrad from state 0: mean of squares
// (16 + 4) / 2 = 10; w -= 0.05 * g / (sqrt(10) + 1e-6).
TEST_P(SparseUpdateTest, RowwiseAdagradByHand) {
  const Context context(target());
  const State<float> start{{0, 0, 0, 0, 1, 1}, {0, 0, 0}, {}};
  const DeviceState device(context, start, 3, 2);
  const Buffer<int32_t> ids(context, std::vector<int32_t>{2, 2});
  const Buffer<float> values(context, std::vector<float>{1, 2, 3, 0});
  const tt_optimizer o = make_optimizer(TT_ROWWISE_ADAGRAD);
  TT_OK_OR_FAIL(tt_sparse_update(context, &o, &device.embedding, ids, values, 2));
  const State<float> got = device.read();
  EXPECT_EQ(got.state1, (std::vector<float>{0, 0, 10}));
  EXPECT_NEAR(got.weights[4], 1 - 0.05 * 4 / (std::sqrt(10.0) + 1e-6), 1e-7);
  EXPECT_NEAR(got.weights[5], 1 - 0.05 * 2 / (std::sqrt(10.0) + 1e-6), 1e-7);
  EXPECT_EQ(std::vector<float>(got.weights.begin(), got.weights.begin() + 4),
            std::vector<float>(4, 0.0f));
}

// Lazy Adam: a row without a gradient keeps weight and states, whatever they are.
TEST_P(SparseUpdateTest, UntouchedRowsStay) {
  for (const int32_t kind : kKinds) {
    Random random;
    auto start = State<float>::make(random.normals(50 * 16), 50, kind);
    for (float& s : start.state1) s = 0.5f;
    for (float& s : start.state2) s = 0.25f;
    const Context context(target());
    const DeviceState device(context, start, 50, 16);
    const Buffer<int32_t> ids(context, std::vector<int32_t>{7, 3, 7});
    // Gradients that neither each other nor the weights' decay cancels: every touched weight moves.
    std::vector<float> gradients = random.normals(3 * 16);
    for (size_t i = 0; i < gradients.size(); ++i) {
      gradients[i] = std::copysign(1 + std::abs(gradients[i]), gradients[i % 16]);
    }
    const Buffer<float> values(context, gradients);
    const tt_optimizer o = make_optimizer(kind, 0.1f, 5);
    TT_OK_OR_FAIL(tt_sparse_update(context, &o, &device.embedding, ids, values, 3));
    const State<float> got = device.read();
    for (size_t i = 0; i < got.weights.size(); ++i) {
      const bool touched = i / 16 == 3 || i / 16 == 7;
      EXPECT_EQ(got.weights[i] != start.weights[i], touched) << optimizer_name(kind) << " " << i;
    }
  }
}

TEST_P(SparseUpdateTest, SameBitsForAnyThreads) {
  for (const int32_t kind : kKinds) {
    std::string first;
    for (const int32_t threads : thread_counts()) {
      Random random;
      const auto start = State<float>::make(random.normals(300 * 24), 300, kind);
      const Context context(target(), threads);
      const DeviceState device(context, start, 300, 24);
      std::vector<int32_t> some = random.integers(9000, 0, 299);
      for (int32_t& id : some) id = random.chance(0.3) ? 5 : id;
      const Buffer<int32_t> ids(context, some);
      const Buffer<float> values(context, random.normals(9000 * 24));
      const tt_optimizer o = make_optimizer(kind);
      TT_OK_OR_FAIL(tt_sparse_update(context, &o, &device.embedding, ids, values, 9000));
      const std::string got = all_bits(device.read());
      if (first.empty()) first = got;
      EXPECT_EQ(got, first) << optimizer_name(kind) << " " << threads;
    }
  }
}

TEST_P(SparseUpdateTest, BadArguments) {
  const Context context(target());
  const auto start = State<float>::make(std::vector<float>(10 * 4), 10, TT_ADAM);
  const DeviceState device(context, start, 10, 4);
  const Buffer<int32_t> ids(context, std::vector<int32_t>{1, 9});
  const Buffer<float> values(context, std::vector<float>(8));
  const tt_optimizer good = make_optimizer(TT_ADAM);
  const tt_embedding& e = device.embedding;
  const auto call = [&](const tt_optimizer& o) {
    return tt_sparse_update(context, &o, &e, ids, values, 2);
  };
  EXPECT_BAD_ARGUMENT(tt_sparse_update(nullptr, &good, &e, ids, values, 2), "context");
  EXPECT_BAD_ARGUMENT(tt_sparse_update(context, nullptr, &e, ids, values, 2), "optimizer");
  EXPECT_BAD_ARGUMENT(tt_sparse_update(context, &good, nullptr, ids, values, 2), "embedding");
  EXPECT_BAD_ARGUMENT(tt_sparse_update(context, &good, &e, nullptr, values, 2), "ids");
  EXPECT_BAD_ARGUMENT(tt_sparse_update(context, &good, &e, ids, nullptr, 2), "values");
  EXPECT_BAD_ARGUMENT(tt_sparse_update(context, &good, &e, ids, values, -1), "count");
  TT_EXPECT_OK(tt_sparse_update(context, &good, &e, nullptr, nullptr, 0));

  const auto with_optimizer = [&](auto change, const char* name) {
    tt_optimizer changed = good;
    change(changed);
    EXPECT_BAD_ARGUMENT(call(changed), name);
  };
  using O = tt_optimizer;
  with_optimizer([](O& o) { o.struct_size = 8; }, "optimizer.struct_size");
  with_optimizer([](O& o) { o.kind = 4; }, "optimizer.kind");
  with_optimizer([](O& o) { o.learning_rate = -1; }, "optimizer.learning_rate");
  with_optimizer([](O& o) { o.learning_rate = NAN; }, "optimizer.learning_rate");
  with_optimizer([](O& o) { o.epsilon = 0; }, "optimizer.epsilon");
  with_optimizer([](O& o) { o.beta1 = 1; }, "optimizer.beta1");
  with_optimizer([](O& o) { o.beta2 = -0.5f; }, "optimizer.beta2");
  with_optimizer([](O& o) { o.weight_decay = -1; }, "optimizer.weight_decay");
  with_optimizer([](O& o) { o.step = 0; }, "optimizer.step");

  const auto with_embedding = [&](auto change, const char* name) {
    tt_embedding changed = e;
    change(changed);
    EXPECT_BAD_ARGUMENT(tt_sparse_update(context, &good, &changed, ids, values, 2), name);
  };
  using E = tt_embedding;
  with_embedding([](E& x) { x.weights = nullptr; }, "embedding.weights");
  with_embedding([](E& x) { x.state1 = nullptr; }, "embedding.state1");
  with_embedding([](E& x) { x.state2 = nullptr; }, "embedding.state2");
  with_embedding([](E& x) { x.rows = 0; }, "embedding.rows");
  with_embedding([](E& x) { x.dim = 0; }, "embedding.dim");
  with_embedding([](E& x) { x.dtype = -1; }, "embedding.dtype");
}

TEST_P(SparseUpdateTest, IdsOutsideTheTable) {
  if (!on_cpu()) GTEST_SKIP() << "contents of device memory are not looked at";
  const Context context(target());
  const DeviceState device(context, State<float>::make(std::vector<float>(40), 10, TT_SGD), 10, 4);
  const Buffer<int32_t> ids(context, std::vector<int32_t>{1, 10});
  const Buffer<float> values(context, std::vector<float>(8));
  const tt_optimizer o = make_optimizer(TT_SGD);
  EXPECT_BAD_ARGUMENT(tt_sparse_update(context, &o, &device.embedding, ids, values, 2), "ids[1]");
  expect_expected("an id in [0, 10)");
  expect_got("10");
}

}  // namespace
}  // namespace tt_test
