// tt_embedding_gather_update must be tt_embedding_gather_backward and tt_sparse_update, bit for bit.
#include "gather_fixture.h"
#include "optimizer_reference.h"

namespace tt_test {
namespace {

class EmbeddingGatherUpdateTest : public OpTest {
 protected:
  struct Run {
    Run(const Context& context, const Scene& scene, int32_t kind,
        const std::vector<std::vector<float>>& gradients, int32_t dtype = TT_FLOAT32)
        : table(context, scene.table),
          embeddings(context, scene.embeddings, states_of(kind), kind == TT_ROWWISE_ADAGRAD, dtype),
          views(context, scene.views, scene.width) {
      for (size_t v = 0; v < gradients.size(); ++v) views.set_gradient(v, gradients[v]);
    }
    DeviceTable table;
    DeviceEmbeddings embeddings;
    DeviceViews views;
  };

  static std::string fused(const Context& context, const Scene& scene, const tt_optimizer& o,
                           const std::vector<std::vector<float>>& gradients, int32_t dtype) {
    Run run(context, scene, o.kind, gradients, dtype);
    TT_EXPECT_OK(tt_embedding_gather_update(context, &o, run.table, run.embeddings.data(),
                                            run.embeddings.size(), run.views.data(),
                                            run.views.size()));
    return run.embeddings.all_bits();
  }

  static std::string in_two_steps(const Context& context, const Scene& scene, const tt_optimizer& o,
                                  const std::vector<std::vector<float>>& gradients, int32_t dtype) {
    Run run(context, scene, o.kind, gradients, dtype);
    std::vector<std::unique_ptr<Buffer<int32_t>>> ids;
    std::vector<std::unique_ptr<Buffer<float>>> values;
    std::vector<std::unique_ptr<Buffer<int64_t>>> counts;
    std::vector<tt_sparse_gradient> out;
    for (const HostEmbedding& e : scene.embeddings) {
      ids.push_back(std::make_unique<Buffer<int32_t>>(context, e.rows));
      values.push_back(std::make_unique<Buffer<float>>(context, e.rows * e.dim));
      counts.push_back(std::make_unique<Buffer<int64_t>>(context, 1));
      out.push_back({ids.back()->get(), values.back()->get(), counts.back()->get(), e.rows});
    }
    TT_EXPECT_OK(tt_embedding_gather_backward(context, run.table, run.embeddings.data(),
                                              run.embeddings.size(), run.views.data(),
                                              run.views.size(), out.data()));
    for (size_t t = 0; t < out.size(); ++t) {
      TT_EXPECT_OK(tt_sparse_update(context, &o, &run.embeddings[t], out[t].ids, out[t].values,
                                    counts[t]->read()[0]));
    }
    return run.embeddings.all_bits();
  }
};
TT_ON_ALL_TARGETS(EmbeddingGatherUpdateTest);

TEST_P(EmbeddingGatherUpdateTest, EqualsBackwardAndSparseUpdate) {
  for (uint32_t round = 0; round < (on_cpu() ? 8 : 6); ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    const int32_t dtype = round % 4 < 2 ? TT_FLOAT32 : TT_BFLOAT16;
    Random random(round);
    const Scene scene = random_scene(random,
                                     round < 4  ? 50
                                     : on_cpu() ? 900
                                                : 400,
                                     {16, 5, 33, 48, 64, 32, 16}, round % 2 == 1);
    std::vector<std::vector<float>> gradients;
    for (const HostView& view : scene.views) {
      gradients.push_back(random.normals(view.n() * scene.width));
    }
    for (const int32_t kind : {TT_SGD, TT_ADAGRAD, TT_ROWWISE_ADAGRAD, TT_ADAM}) {
      if (!on_cpu() && (static_cast<uint32_t>(kind) + round + round / 2) % 2 != 0) continue;
      const tt_optimizer o = make_optimizer(kind, round % 3 == 0 ? 0.02f : 0, 4);
      std::string first;
      for (const int32_t threads : thread_counts()) {
        const Context context(target(), threads);
        const std::string got = fused(context, scene, o, gradients, dtype);
        if (first.empty()) first = in_two_steps(context, scene, o, gradients, dtype);
        ASSERT_EQ(got, first) << optimizer_name(kind) << ", " << threads << " threads";
      }
    }
  }
}

/// While it lives, the CPU run of the CUDA kernels refuses whatever makes the host wait for the device.
class NoWaits {
 public:
  NoWaits() { setenv("SIMT_WAITS", "0", 1); }
  ~NoWaits() { unsetenv("SIMT_WAITS"); }
};

// What a training step does with its gathers. The first call of each may grow the workspace.
TEST_P(EmbeddingGatherUpdateTest, DoesNotWaitForTheDevice) {
  Random random;
  const Scene scene = random_scene(random, 500, {16, 5, 33, 16}, true);
  std::vector<std::vector<float>> gradients;
  for (const HostView& view : scene.views) {
    gradients.push_back(random.normals(view.n() * scene.width));
  }
  const Context context(target());
  const Buffer<float> probe(context, 1);
  {
    const NoWaits refused;
    float value = 0;
    if (tt_memory_copy(context, &value, probe, sizeof value, TT_DEVICE_TO_HOST) == TT_OK)
      GTEST_SKIP() << "only the CPU run of the CUDA kernels tells who waits";
  }
  Run run(context, scene, TT_ROWWISE_ADAGRAD, gradients);
  const std::vector<HostView> copies = scene.views;
  const DeviceViews forward(context, copies, scene.width);
  const tt_optimizer o = make_optimizer(TT_ROWWISE_ADAGRAD);
  const auto step = [&] {
    TT_EXPECT_OK(tt_embedding_gather(context, run.table, run.embeddings.data(),
                                     run.embeddings.size(), forward.data(), forward.size()));
    TT_EXPECT_OK(tt_embedding_gather_update(context, &o, run.table, run.embeddings.data(),
                                            run.embeddings.size(), run.views.data(),
                                            run.views.size()));
  };
  step();
  step();
  {
    const NoWaits refused;
    step();
  }
  const Context other(target());
  Run again(other, scene, TT_ROWWISE_ADAGRAD, gradients);
  for (int i = 0; i < 3; ++i) {
    TT_EXPECT_OK(tt_embedding_gather_update(other, &o, again.table, again.embeddings.data(),
                                            again.embeddings.size(), again.views.data(),
                                            again.views.size()));
  }
  EXPECT_EQ(run.embeddings.all_bits(), again.embeddings.all_bits());
}

TEST_P(EmbeddingGatherUpdateTest, BadArguments) {
  Random random;
  const Scene scene = random_scene(random, 10, {4, 6}, false);
  const Context context(target());
  Run run(context, scene, TT_SGD, {});
  for (size_t v = 0; v < scene.views.size(); ++v) {
    run.views.set_gradient(v, random.normals(scene.views[v].n() * scene.width));
  }
  const auto call = [&](const tt_optimizer* o) {
    return tt_embedding_gather_update(context, o, run.table, run.embeddings.data(), 2,
                                      run.views.data(), 3);
  };
  const tt_optimizer sgd = make_optimizer(TT_SGD);
  const tt_optimizer adam = make_optimizer(TT_ADAM);
  EXPECT_BAD_ARGUMENT(tt_embedding_gather_update(nullptr, &sgd, run.table, run.embeddings.data(), 2,
                                                 run.views.data(), 3),
                      "context");
  EXPECT_BAD_ARGUMENT(call(nullptr), "optimizer");
  EXPECT_BAD_ARGUMENT(call(&adam), "embeddings[0].state1");
  EXPECT_BAD_ARGUMENT(
      tt_embedding_gather_update(context, &sgd, run.table, nullptr, 2, run.views.data(), 3),
      "embeddings");
  run.views[1].vectors = nullptr;
  EXPECT_BAD_ARGUMENT(call(&sgd), "views[1].vectors");
}

}  // namespace
}  // namespace tt_test
