// The embedding ops on memory that is aligned as tt_alloc gives it, where whole vectors are read at a time,
// and on memory with natural alignment only: the same bits. (The other tests have the latter.)
#include "gather_fixture.h"
#include "optimizer_reference.h"

namespace tt_test {
namespace {

/// `shift` bytes behind where tt_alloc puts it.
template <class T>
class Shifted {
 public:
  Shifted(const Context& context, const std::vector<T>& contents, size_t shift)
      : context_(context), count_(contents.size()), shift_(shift) {
    TT_MUST(tt_alloc(context, bytes() + 64, &memory_));
    TT_MUST(tt_memory_copy(context, get(), contents.data(), bytes(), TT_HOST_TO_DEVICE));
  }
  ~Shifted() { TT_MUST(tt_free(context_, memory_)); }
  Shifted(const Shifted&) = delete;
  Shifted& operator=(const Shifted&) = delete;

  T* get() const { return reinterpret_cast<T*>(static_cast<char*>(memory_) + shift_); }
  std::string read() const {
    std::vector<T> contents(count_);
    TT_MUST(tt_memory_copy(context_, contents.data(), get(), bytes(), TT_DEVICE_TO_HOST));
    return bits(contents);
  }

 private:
  int64_t bytes() const { return static_cast<int64_t>(count_ * sizeof(T)); }

  const Context& context_;
  size_t count_, shift_;
  void* memory_ = nullptr;
};

/// A scene's embeddings and views in memory with one alignment.
class Arena {
 public:
  Arena(const Context& context, const Scene& scene, int32_t dtype, bool aligned)
      : context_(context),
        shift_(aligned                ? 0
               : dtype == TT_BFLOAT16 ? 2
                                      : 4),
        table_(context, scene.table) {
    Random random(7);
    for (const HostEmbedding& h : scene.embeddings) {
      tt_embedding e{nullptr, nullptr, nullptr, h.rows, h.dim, dtype};
      const std::vector<float> weights = random.normals(h.rows * h.dim);
      if (dtype == TT_BFLOAT16) {
        std::vector<uint16_t> halves;
        for (const float w : weights) {
          uint32_t word;
          std::memcpy(&word, &w, 4);
          halves.push_back(static_cast<uint16_t>(word >> 16));
        }
        halves_.push_back(std::make_unique<Shifted<uint16_t>>(context, halves, shift_));
        e.weights = halves_.back()->get();
      } else {
        e.weights = keep(weights);
      }
      const std::vector<float> state(weights.size(), 0.5f);
      e.state1 = keep(state);
      e.state2 = keep(state);
      embeddings_.push_back(e);
    }
    views_ = std::make_unique<DeviceViews>(context, scene.views, scene.width);
    for (size_t v = 0; v < scene.views.size(); ++v) {
      tt_gather_view view = (*views_)[v];
      view.ld = scene.width;
      view.vectors = keep(random.normals(view.n * view.ld));
      all_.push_back(view);
    }
  }

  std::string gather() {
    TT_MUST(tt_embedding_gather(context_, table_, embeddings_.data(), size(), all_.data(), 3));
    return read();
  }
  std::string backward() {
    std::vector<tt_sparse_gradient> out;
    std::vector<std::unique_ptr<Shifted<int64_t>>> counts;
    std::vector<std::unique_ptr<Shifted<int32_t>>> ids;
    for (const tt_embedding& e : embeddings_) {
      const auto rows = static_cast<size_t>(e.rows);
      counts.push_back(std::make_unique<Shifted<int64_t>>(context_, std::vector<int64_t>(1), 0));
      ids.push_back(std::make_unique<Shifted<int32_t>>(context_, std::vector<int32_t>(rows), 0));
      float* values = keep(std::vector<float>(rows * static_cast<size_t>(e.dim)));
      out.push_back({ids.back()->get(), values, counts.back()->get(), e.rows});
    }
    TT_MUST(tt_embedding_gather_backward(context_, table_, embeddings_.data(), size(), all_.data(),
                                         3, out.data()));
    std::string bits = read();
    for (const auto& c : counts) bits += c->read();
    for (const auto& i : ids) bits += i->read();
    return bits;
  }
  std::string update(int32_t kind) {
    const tt_optimizer o = make_optimizer(kind, 0.01f, 3);
    TT_MUST(tt_embedding_gather_update(context_, &o, table_, embeddings_.data(), size(),
                                       all_.data(), 3));
    return read();
  }

 private:
  int32_t size() const { return static_cast<int32_t>(embeddings_.size()); }
  float* keep(const std::vector<float>& contents) {
    const size_t shift = shift_ == 0 ? 0 : 4;
    floats_.push_back(std::make_unique<Shifted<float>>(context_, contents, shift));
    return floats_.back()->get();
  }
  std::string read() const {
    std::string all;
    for (const auto& h : halves_) all += h->read();
    for (const auto& f : floats_) all += f->read();
    return all;
  }

  const Context& context_;
  size_t shift_;
  DeviceTable table_;
  std::vector<std::unique_ptr<Shifted<uint16_t>>> halves_;
  std::vector<std::unique_ptr<Shifted<float>>> floats_;
  std::vector<tt_embedding> embeddings_;
  std::unique_ptr<DeviceViews> views_;  // for their rows and augmentations
  std::vector<tt_gather_view> all_;
};

class GatherAlignmentTest : public OpTest {
 protected:
  template <class Call>
  void expect_same_bits(uint32_t salt, Call&& call, int64_t rows = 150,
                        const std::vector<int32_t>& dims = {16, 4, 64, 300, 128, 16}) {
    for (const int32_t dtype : {TT_FLOAT32, TT_BFLOAT16}) {
      for (const bool lists : {false, true}) {
        Random random(salt);
        const Scene scene = random_scene(random, rows, dims, lists);
        const Context context(target());
        Arena aligned(context, scene, dtype, true), shifted(context, scene, dtype, false);
        EXPECT_EQ(call(aligned), call(shifted)) << (dtype == TT_BFLOAT16 ? "bfloat16" : "float32");
      }
    }
  }
};
TT_ON_ALL_TARGETS(GatherAlignmentTest);

TEST_P(GatherAlignmentTest, Gather) {
  expect_same_bits(1, [](Arena& a) { return a.gather(); });
}
// Results of several MiB, which the CPU backend stores past its caches where they are whole lines.
TEST_P(GatherAlignmentTest, LargeGather) {
  expect_same_bits(4, [](Arena& a) { return a.gather(); }, on_cpu() ? 4000 : 200, {16, 48, 64, 80});
}
TEST_P(GatherAlignmentTest, Backward) {
  expect_same_bits(2, [](Arena& a) { return a.backward(); });
}
TEST_P(GatherAlignmentTest, Update) {
  for (const int32_t kind : {TT_SGD, TT_ADAGRAD, TT_ROWWISE_ADAGRAD, TT_ADAM}) {
    SCOPED_TRACE(optimizer_name(kind));
    expect_same_bits(3, [kind](Arena& a) { return a.update(kind); });
  }
}

}  // namespace
}  // namespace tt_test
