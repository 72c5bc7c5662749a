// Sections of calls (tt_graph_begin, tt_graph_end): the same bits as without, whatever is called in them.
#include <functional>

#include "gather_fixture.h"
#include "optimizer_reference.h"

namespace tt_test {
namespace {

tt_context_info info_of(const Context& context) {
  tt_context_info info{};
  info.struct_size = sizeof info;
  TT_MUST(tt_context_get_info(context, &info));
  return info;
}

constexpr int32_t kWidth = 16;
// With all of them the sums over rows are cut in two, and with 17 they are not: graphs of two shapes.
constexpr int64_t kRows = 100, kOthers = 24;

/// A training step of one tower, with every op that the SDK's has: rows are drawn and copied, gathered in three views, sent
/// through a layer, compared by both losses, and all is updated.
class Training {
 public:
  Training(const Target& target, uint32_t seed) : random_(seed), context_(target) {
    scene_.table.rows = 50;
    add_lists(random_, scene_.table, 30, 7);
    for (int32_t f = 0; f < 3; ++f) {
      scene_.table.features.push_back(random_feature(random_, f == 1 ? 30 : 50, f > 0, 20, f, 4));
      scene_.table.features.back().through_list = f == 1 ? 1 : 0;
      scene_.embeddings.push_back(random_embedding(random_, 20, f == 2 ? 5 : 8));
    }
    scene_.width = width_of(scene_.table, scene_.embeddings);
    scene_.views = random_views(random_, scene_.table, kRows);
    scene_.views[1].rows.resize(kOthers);
    scene_.views[2].rows = scene_.views[1].rows;
    make();
  }

  Context& context() { return context_; }

  /// n <= kRows.
  void step(int64_t number, int64_t n) {
    for (int32_t v = 0; v < views_->size(); ++v) {
      if ((*views_)[static_cast<size_t>(v)].augmentation != nullptr) {
        augmentations_[static_cast<size_t>(v)] = *original_[static_cast<size_t>(v)];
        augmentations_[static_cast<size_t>(v)].step = number;
        (*views_)[static_cast<size_t>(v)].augmentation = &augmentations_[static_cast<size_t>(v)];
      }
    }
    draw(number, n);
    forward(n);
    losses(number, n);
    backward(number, n);
  }

  std::string result() {
    std::string all = embeddings_->all_bits();
    for (const auto* buffer : {weights_.get(), bias_.get(), state1_.get(), state2_.get(),
                               vectors_.get(), outputs_.get()})
      all += bits(buffer->read());
    return all + bits(totals_->read());
  }

  tt_status draw_into(int32_t* rows) {
    return tt_sample_rows(context_, 5, 7, 99, 50, kOthers, rows);
  }

 private:
  using Floats = std::unique_ptr<Buffer<float>>;

  Floats floats(int64_t count, bool drawn = false) {
    return std::make_unique<Buffer<float>>(
        context_, drawn ? random_.normals(count) : std::vector<float>(static_cast<size_t>(count)));
  }

  void make() {
    table_ = std::make_unique<DeviceTable>(context_, scene_.table);
    embeddings_ = std::make_unique<DeviceEmbeddings>(context_, scene_.embeddings, 2);
    views_ = std::make_unique<DeviceViews>(context_, scene_.views, scene_.width);
    augmentations_.resize(3);
    for (size_t v = 0; v < 3; ++v) original_.push_back((*views_)[v].augmentation);
    clicked_ = std::make_unique<Buffer<int32_t>>(context_, scene_.views[0].rows);
    rows_ = std::make_unique<Buffer<int32_t>>(context_, kRows);
    others_ = std::make_unique<Buffer<int32_t>>(context_, kOthers);
    const int64_t all = kRows + 2 * kOthers, width = scene_.width;
    vectors_ = floats(all * width);
    vector_gradients_ = floats(all * width);
    outputs_ = floats(all * kWidth);
    output_gradients_ = floats(all * kWidth);
    weights_ = floats(width * kWidth, true);
    bias_ = floats(kWidth, true);
    const int64_t parameters = width * kWidth;
    weight_gradients_ = floats(parameters);
    bias_gradients_ = floats(kWidth);
    state1_ = floats(parameters);
    state2_ = floats(parameters);
    log_q_ = floats(kRows, true);
    totals_ = std::make_unique<Buffer<double>>(context_, std::vector<double>(8));
  }

  void draw(int64_t number, int64_t n) {
    TT_MUST(tt_memory_copy(context_, *rows_, *clicked_, n * 4, TT_DEVICE_TO_DEVICE));
    TT_MUST(tt_sample_rows(context_, 5, 7, number, 50, kOthers, *others_));
    (*views_)[0].rows = *rows_;
    (*views_)[0].n = n;
    (*views_)[1].rows = (*views_)[2].rows = *others_;
  }

  void point(float* vectors, int64_t n) {
    const int64_t first[3] = {0, n, n + kOthers};
    for (size_t v = 0; v < 3; ++v) {
      (*views_)[v].vectors = vectors + first[v] * scene_.width;
      (*views_)[v].ld = scene_.width;
    }
  }

  void forward(int64_t n) {
    point(*vectors_, n);
    TT_MUST(tt_embedding_gather(context_, *table_, embeddings_->data(), embeddings_->size(),
                                views_->data(), 3));
    TT_MUST(tt_linear(context_, n + 2 * kOthers, static_cast<int32_t>(scene_.width), kWidth,
                      *vectors_, *weights_, *bias_, TT_RELU, *outputs_));
  }

  void losses(int64_t number, int64_t n) {
    tt_sampled_softmax_args main{};
    main.struct_size = sizeof main;
    main.d = kWidth;
    main.n = main.m = n;
    main.queries = main.candidates = *outputs_;
    main.log_q = *log_q_;
    main.candidate_ids = *rows_;
    main.inverse_temperature = 5.0f + static_cast<float>(number);
    main.scale = 1;
    main.total = totals_->get() + number % 4;
    main.grad_queries = *output_gradients_;
    TT_MUST(tt_sampled_softmax(context_, &main));
    tt_contrastive_args self{};
    self.struct_size = sizeof self;
    self.d = kWidth;
    self.m = kOthers;
    self.view1 = *outputs_ + n * kWidth;
    self.view2 = self.view1 + kOthers * kWidth;
    self.ids = *others_;
    self.inverse_temperature = 10;
    self.scale = 0.5f;
    self.total = totals_->get() + 4 + number % 4;
    self.grad_view1 = *output_gradients_ + n * kWidth;
    self.grad_view2 = self.grad_view1 + kOthers * kWidth;
    TT_MUST(tt_contrastive(context_, &self));
  }

  void backward(int64_t number, int64_t n) {
    TT_MUST(tt_linear_backward(context_, n + 2 * kOthers, static_cast<int32_t>(scene_.width),
                               kWidth, *vectors_, *weights_, TT_RELU, *outputs_, *output_gradients_,
                               *vector_gradients_, *weight_gradients_, *bias_gradients_));
    point(*vector_gradients_, n);
    tt_optimizer adam = make_optimizer(TT_ADAM, 0, number + 1);
    adam.learning_rate = 0.01f / static_cast<float>(number + 1);
    TT_MUST(tt_dense_update(context_, &adam, *weights_, *weight_gradients_, *state1_, *state2_,
                            scene_.width * kWidth));
    TT_MUST(tt_embedding_gather_update(context_, &adam, *table_, embeddings_->data(),
                                       embeddings_->size(), views_->data(), 3));
  }

  Random random_;
  Context context_;
  Scene scene_;
  std::unique_ptr<DeviceTable> table_;
  std::unique_ptr<DeviceEmbeddings> embeddings_;
  std::unique_ptr<DeviceViews> views_;
  std::vector<const tt_augmentation*> original_;
  std::vector<tt_augmentation> augmentations_;
  std::unique_ptr<Buffer<int32_t>> clicked_, rows_, others_;
  Floats vectors_, vector_gradients_, outputs_, output_gradients_, weights_, bias_,
      weight_gradients_, bias_gradients_, state1_, state2_, log_q_;
  std::unique_ptr<Buffer<double>> totals_;
};

class GraphTest : public OpTest {
 protected:
  bool graphs(const Context& context) const { return info_of(context).graphs != 0; }
};
TT_ON_ALL_TARGETS(GraphTest);

// With a batch of another size in between, as at the end of each epoch.
TEST_P(GraphTest, GivesTheBitsOfTheCallsOneByOne) {
  const uint32_t seed = fresh_seed();
  Training plain(target(), seed), recorded(target(), seed);
  const std::vector<int64_t> sizes = {kRows, kRows, kRows, 17, kRows, kRows, 17, kRows};
  for (size_t i = 0; i < sizes.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    plain.step(number, sizes[i]);
    TT_OK_OR_FAIL(tt_graph_begin(recorded.context()));
    recorded.step(number, sizes[i]);
    TT_OK_OR_FAIL(tt_graph_end(recorded.context()));
  }
  EXPECT_EQ(plain.result(), recorded.result());
  EXPECT_EQ(info_of(plain.context()).graph_launches, 0);
  const tt_context_info info = info_of(recorded.context());
  if (on_cpu()) {
    EXPECT_EQ(info.graphs, 0);
  }
  if (!graphs(recorded.context())) {
    EXPECT_EQ(info.graph_launches, 0);
    return;
  }
  EXPECT_EQ(info.graph_launches, 7) << "the first section runs call by call";
  EXPECT_LE(info.graph_cuts, 1) << "where cuBLASLt meets 17 rows first";
  EXPECT_GE(info.graph_nodes, 20);
  EXPECT_LT(info.graph_builds, 7) << "sections of one shape are updates";
}

TEST_P(GraphTest, TheSameRowsAreOneGraphUpdated) {
  Training training(target(), fresh_seed());
  for (int64_t number = 0; number < 6; ++number) {
    TT_OK_OR_FAIL(tt_graph_begin(training.context()));
    training.step(number, kRows);
    TT_OK_OR_FAIL(tt_graph_end(training.context()));
  }
  const tt_context_info info = info_of(training.context());
  if (!graphs(training.context())) GTEST_SKIP() << "no graphs here";
  EXPECT_EQ(info.graph_launches, 5);
  EXPECT_EQ(info.graph_builds, 1);
  EXPECT_EQ(info.graph_cuts, 0);
}

// What waits, takes memory or copies from and to the host finds everything done that was called before.
TEST_P(GraphTest, AnyCallMayStandInside) {
  Training training(target(), fresh_seed());
  Context& context = training.context();
  const Buffer<int32_t> expected(context, kOthers);
  TT_OK_OR_FAIL(training.draw_into(expected));
  const std::vector<int32_t> wanted = expected.read();
  ASSERT_NE(wanted, std::vector<int32_t>(wanted.size(), -1));
  training.step(0, kRows);
  TT_OK_OR_FAIL(tt_graph_begin(context));
  TT_OK_OR_FAIL(tt_graph_end(context));
  const std::vector<int32_t> poison(static_cast<size_t>(kOthers), -1);
  Random random;
  const std::function<void(const Buffer<int32_t>&)> calls[] = {
      [&](const Buffer<int32_t>& drawn) { EXPECT_EQ(drawn.read(), wanted); },
      [&](const Buffer<int32_t>&) { TT_EXPECT_OK(tt_context_synchronize(context)); },
      [&](const Buffer<int32_t>&) { TT_EXPECT_OK(tt_context_trim(context)); },
      [&](const Buffer<int32_t>&) { const Buffer<float> taken(context, 1000); },
      [&](const Buffer<int32_t>&) {
        const Scene scene = random_scene(random, 10, {4, 4}, true);
        const DeviceTable table(context, scene.table);
      },
  };
  for (const auto& call : calls) {
    Buffer<int32_t> drawn(context, kOthers);
    const int64_t cuts = info_of(context).graph_cuts;
    TT_OK_OR_FAIL(tt_graph_begin(context));
    TT_OK_OR_FAIL(training.draw_into(drawn));
    call(drawn);
    TT_OK_OR_FAIL(tt_memory_zero(context, drawn.get() + 1, 4));
    TT_OK_OR_FAIL(tt_graph_end(context));
    std::vector<int32_t> now = wanted;
    now[1] = 0;
    EXPECT_EQ(drawn.read(), now);
    if (graphs(context)) {
      EXPECT_EQ(info_of(context).graph_cuts, cuts + 1) << "once a section";
    }
  }
}

// The memory is in use until the graph has run.
TEST_P(GraphTest, MemoryMayBeFreedInside) {
  const Context context(target());
  TT_OK_OR_FAIL(tt_graph_begin(context));
  TT_OK_OR_FAIL(tt_graph_end(context));
  const Buffer<float> kept(context, 1000);
  void* memory = nullptr;
  TT_OK_OR_FAIL(tt_alloc(context, 4000, &memory));
  TT_OK_OR_FAIL(tt_graph_begin(context));
  TT_OK_OR_FAIL(tt_fill_uniform(context, 1, 2, 3, 1, 2, 1000, static_cast<float*>(memory)));
  TT_OK_OR_FAIL(tt_memory_copy(context, kept, memory, 4000, TT_DEVICE_TO_DEVICE));
  TT_OK_OR_FAIL(tt_free(context, memory));
  TT_OK_OR_FAIL(tt_graph_end(context));
  for (const float x : kept.read()) ASSERT_TRUE(x >= 1 && x < 2);
}

TEST_P(GraphTest, AFailedCallLeavesWhatItLeavesWithoutAGraph) {
  const Context context(target());
  const Buffer<float> filled(context, 100);
  for (int section = 0; section < 3; ++section) {
    const auto low = static_cast<float>(section);
    TT_OK_OR_FAIL(tt_graph_begin(context));
    TT_OK_OR_FAIL(tt_fill_uniform(context, 1, 2, 3, low, low + 0.5f, 100, filled));
    EXPECT_BAD_ARGUMENT(tt_fill_uniform(context, 1, 2, 3, 0, 1, -1, filled), "count");
    void* memory = nullptr;
    EXPECT_EQ(tt_alloc(context, int64_t{1} << 50, &memory), TT_OUT_OF_MEMORY);
    TT_OK_OR_FAIL(tt_memory_zero(context, filled.get() + 1, 4));
    TT_OK_OR_FAIL(tt_graph_end(context));
    const std::vector<float> now = filled.read();
    EXPECT_TRUE(now[0] >= low && now[0] < low + 0.5f) << now[0];
    EXPECT_EQ(now[1], 0);
  }
}

TEST_P(GraphTest, BadArguments) {
  const Context context(target());
  EXPECT_BAD_ARGUMENT(tt_graph_begin(nullptr), "context");
  EXPECT_BAD_ARGUMENT(tt_graph_end(nullptr), "context");
  for (int section = 0; section < 2; ++section) {
    EXPECT_BAD_ARGUMENT(tt_graph_end(context), "context");
    TT_OK_OR_FAIL(tt_graph_begin(context));
    EXPECT_BAD_ARGUMENT(tt_graph_begin(context), "context");
    TT_OK_OR_FAIL(tt_graph_end(context));
  }
  EXPECT_BAD_ARGUMENT(tt_graph_end(context), "context");
}

TEST_P(GraphTest, AContextMayBeDestroyedInside) {
  const int64_t before = tt_live_bytes();
  {
    const Context other(target());
    const Buffer<float> filled(other, 100);
    TT_OK_OR_FAIL(tt_context_synchronize(other));
    {
      const Context context(target());
      for (int section = 0; section < 2; ++section) {
        TT_OK_OR_FAIL(tt_graph_begin(context));
        TT_OK_OR_FAIL(tt_fill_uniform(context, 1, 2, 3, 4, 5, 100, filled));
        if (section == 0) {
          TT_OK_OR_FAIL(tt_graph_end(context));
        }
      }
      TT_OK_OR_FAIL(tt_memory_zero(context, filled, 4));
    }
    const std::vector<float> now = filled.read();
    EXPECT_EQ(now[0], 0) << "what was called has happened";
    EXPECT_TRUE(now[99] >= 4 && now[99] < 5);
  }
  EXPECT_EQ(tt_live_bytes(), before);
}

}  // namespace
}  // namespace tt_test
