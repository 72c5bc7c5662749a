// embedding_gather and embedding_gather_update on issue-sized tables, in useful bytes against the machine's
// copy bandwidth: gigabytes_per_second is useful bytes over the median time, fraction_of_peak that over the faster of plain
// and non-temporal copying (bytes read plus bytes written). Useful: each looked-up embedding row once per view, each output row once; for the update,
// each gradient row once per lookup and each touched row (and state) read and written once.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <set>

#include "bench.h"

namespace bench {
namespace {

constexpr int kFeatures = 8;
constexpr int kDims[kFeatures] = {16, 16, 32, 32, 48, 48, 64, 64};

/// Device memory of the CPU is host memory; from tt_alloc, for its huge pages.
template <class T>
class Memory {
 public:
  Memory(tt_context* context, int64_t count) : context_(context), count_(count) {
    void* pointer = nullptr;
    check(tt_alloc(context, count * static_cast<int64_t>(sizeof(T)), &pointer), "tt_alloc");
    data_ = static_cast<T*>(pointer);
  }
  ~Memory() { tt_free(context_, data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  T* data() const { return data_; }
  T& operator[](int64_t i) const { return data_[i]; }
  int64_t size() const { return count_; }

 private:
  tt_context* context_;
  int64_t count_;
  T* data_ = nullptr;
};

struct Shape {
  int64_t batch = 8192;
  int64_t table_rows = 200000;
  int64_t vocabulary = 1000000;
  bool lists = false;  // users who read catalogue rows through lists of about ten
  int64_t catalogue_rows = 20000;
};

/// Popular ids are small: vocabulary * u^3, as in the prototype's measurements.
class Zipf {
 public:
  explicit Zipf(int64_t bound) : bound_(bound) {}
  int32_t operator()(std::mt19937_64& random) const {
    const double u = std::uniform_real_distribution<double>()(random);
    return static_cast<int32_t>(
        std::min(static_cast<double>(bound_ - 1), static_cast<double>(bound_) * u * u * u));
  }

 private:
  int64_t bound_;
};

class Scene {
 public:
  Scene(tt_context* context, const Shape& shape) : context_(context), shape_(shape) {
    std::mt19937_64 random(1);
    const int64_t value_rows = shape.lists ? shape.catalogue_rows : shape.table_rows;
    tt_feature features[kFeatures] = {};
    for (int f = 0; f < kFeatures; ++f) {
      make_feature(random, value_rows, f, features[f]);
      make_embedding(f);
    }
    tt_feature_table_options options{};
    options.struct_size = sizeof options;
    options.feature_count = kFeatures;
    options.features = features;
    options.rows = shape.table_rows;
    if (shape.lists) make_lists(random, options);
    check(tt_feature_table_create(context, &options, &table_), "tt_feature_table_create");

    rows_ = std::make_unique<Memory<int32_t>>(context, shape.batch);
    for (int64_t i = 0; i < shape.batch; ++i) {
      (*rows_)[i] = static_cast<int32_t>(random() % static_cast<uint64_t>(shape.table_rows));
    }
    for (auto& v : vectors_) {
      v = std::make_unique<Memory<float>>(context, shape.batch * width());
      for (int64_t i = 0; i < v->size(); ++i) (*v)[i] = static_cast<float>(i % 7) * 1e-3f;
    }
  }
  ~Scene() { tt_feature_table_destroy(table_); }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  static int64_t width() {
    int64_t sum = 0;
    for (const int dim : kDims) sum += dim;
    return sum;
  }

  /// One plain view, or two augmented ones.
  std::vector<tt_gather_view> views(const tt_augmentation* augmentation) const {
    std::vector<tt_gather_view> all;
    for (int v = 0; v < (augmentation != nullptr ? 2 : 1); ++v) {
      tt_gather_view view{};
      view.rows = rows_->data();
      view.augmentation = augmentation;
      view.vectors = vectors_[v]->data();
      view.n = shape_.batch;
      view.ld = width();
      view.view = augmentation != nullptr ? v + 1 : 0;
      all.push_back(view);
    }
    return all;
  }

  void gather(const std::vector<tt_gather_view>& views) const {
    check(tt_embedding_gather(context_, table_, embeddings_, kFeatures, views.data(),
                              static_cast<int32_t>(views.size())),
          "tt_embedding_gather");
  }
  void update(const std::vector<tt_gather_view>& views) const {
    tt_optimizer optimizer{};
    optimizer.struct_size = sizeof optimizer;
    optimizer.kind = TT_ROWWISE_ADAGRAD;
    optimizer.learning_rate = 1e-3f;
    optimizer.epsilon = 1e-8f;
    check(tt_embedding_gather_update(context_, &optimizer, table_, embeddings_, kFeatures,
                                     views.data(), static_cast<int32_t>(views.size())),
          "tt_embedding_gather_update");
  }

  struct Bytes {
    double gather = 0, update = 0;
    int64_t lookups = 0;
  };
  /// Counted from what the library says it keeps.
  Bytes useful_bytes(const std::vector<tt_gather_view>& views) const {
    Bytes bytes;
    std::vector<int64_t> offsets(static_cast<size_t>(shape_.batch) + 1);
    for (int f = 0; f < kFeatures; ++f) {
      const double row = 4.0 * kDims[f];
      std::set<int32_t> touched;
      for (const tt_gather_view& view : views) {
        check(tt_augmented_values(context_, table_, &view, f, nullptr, offsets.data(), nullptr, 0),
              "tt_augmented_values");
        std::vector<int32_t> values(static_cast<size_t>(offsets.back()));
        check(tt_augmented_values(context_, table_, &view, f, nullptr, offsets.data(),
                                  values.data(), offsets.back()),
              "tt_augmented_values");
        touched.insert(values.begin(), values.end());
        bytes.lookups += offsets.back();
        bytes.gather += row * static_cast<double>(offsets.back() + shape_.batch);
        bytes.update += row * static_cast<double>(offsets.back());
      }
      bytes.update += (row + 4) * 2 * static_cast<double>(touched.size());
    }
    return bytes;
  }

 private:
  void make_feature(std::mt19937_64& random, int64_t rows, int f, tt_feature& feature) {
    const Zipf id(shape_.vocabulary);
    offsets_[f] = std::make_unique<Memory<int64_t>>(context_, rows + 1);
    std::vector<int32_t> values;
    for (int64_t r = 0; r < rows; ++r) {
      const auto count = static_cast<int64_t>(shape_.lists ? 1 + random() % 4 : 1 + random() % 9);
      for (int64_t i = 0; i < count; ++i) values.push_back(id(random));
      (*offsets_[f])[r + 1] = static_cast<int64_t>(values.size());
    }
    values_[f] = std::make_unique<Memory<int32_t>>(context_, static_cast<int64_t>(values.size()));
    std::copy(values.begin(), values.end(), values_[f]->data());
    feature.offsets = offsets_[f]->data();
    feature.values = values_[f]->data();
    feature.value_count = values_[f]->size();
    feature.vocabulary = static_cast<int32_t>(shape_.vocabulary);
    feature.embedding = f;
    feature.pooling = shape_.lists ? TT_POOL_MEAN : TT_POOL_SUM;
    feature.through_list = shape_.lists ? 1 : 0;
  }

  void make_embedding(int f) {
    weights_[f] = std::make_unique<Memory<float>>(context_, shape_.vocabulary * kDims[f]);
    states_[f] = std::make_unique<Memory<float>>(context_, shape_.vocabulary);
    check(tt_fill_uniform(context_, 3, static_cast<uint32_t>(f), 0, -0.1f, 0.1f,
                          weights_[f]->size(), weights_[f]->data()),
          "tt_fill_uniform");
    embeddings_[f] = tt_embedding{weights_[f]->data(), states_[f]->data(), nullptr,
                                  shape_.vocabulary,   kDims[f],           TT_FLOAT32};
  }

  void make_lists(std::mt19937_64& random, tt_feature_table_options& options) {
    const Zipf item(shape_.catalogue_rows);
    list_offsets_ = std::make_unique<Memory<int64_t>>(context_, shape_.table_rows + 1);
    list_rows_ = std::make_unique<Memory<int32_t>>(context_, shape_.table_rows * 19);
    int64_t count = 0;
    for (int64_t r = 0; r < shape_.table_rows; ++r) {
      const auto length = static_cast<int64_t>(1 + random() % 19);
      for (int64_t i = 0; i < length; ++i) (*list_rows_)[count++] = item(random);
      (*list_offsets_)[r + 1] = count;
    }
    options.catalogue_rows = shape_.catalogue_rows;
    options.list_offsets = list_offsets_->data();
    options.list_rows = list_rows_->data();
    options.list_count = count;
  }

  tt_context* context_;
  Shape shape_;
  std::unique_ptr<Memory<int64_t>> offsets_[kFeatures];
  std::unique_ptr<Memory<int32_t>> values_[kFeatures];
  std::unique_ptr<Memory<float>> weights_[kFeatures], states_[kFeatures];
  tt_embedding embeddings_[kFeatures] = {};
  std::unique_ptr<Memory<int64_t>> list_offsets_;
  std::unique_ptr<Memory<int32_t>> list_rows_;
  std::unique_ptr<Memory<int32_t>> rows_;
  std::unique_ptr<Memory<float>> vectors_[2];
  tt_feature_table* table_ = nullptr;
};

/// How cases are measured, and the copy bandwidth beside them in GB/s.
struct Setting {
  const Options& options;
  const std::string& isa;
  int threads;
  double copy;
};

template <class F>
void report(const Setting& setting, const std::string& name, const Scene::Bytes& lookups,
            double bytes, F&& f) {
  const Options& options = setting.options;
  const double seconds = options.seconds > 0 ? options.seconds : options.quick ? 0.3 : 1.5;
  std::vector<double> times;
  f();
  f();
  for (const double begin = now(); now() - begin < seconds || times.size() < 5;) {
    const double start = now();
    f();
    times.push_back(now() - start);
  }
  Result result;
  result.name = name;
  result.n = 8192;
  result.m = lookups.lookups;
  result.threads = setting.threads;
  result.dtype = "float32";
  result.isa = setting.isa;
  result.ms_median = median(times) * 1e3;
  result.ms_min = *std::min_element(times.begin(), times.end()) * 1e3;
  result.gigabytes_per_second = bytes / median(times) * 1e-9;
  result.fraction_of_peak = result.gigabytes_per_second / setting.copy;
  print(result);
}

tt_augmentation two_views() {
  tt_augmentation a{};
  a.struct_size = sizeof a;
  a.transforms = TT_VALUE_DROPOUT | TT_COMPLEMENTARY;
  a.maskable = (1u << kFeatures) - 1;
  a.value_rate = 0.2f;
  a.seed = 11;
  return a;
}

void run_on(const Setting& setting) {
  tt_context* context = create_context(setting.isa, setting.threads);
  {
    const Scene scene(context, Shape{});
    const auto plain = scene.views(nullptr);
    const Scene::Bytes bytes = scene.useful_bytes(plain);
    report(setting, "gather_forward", bytes, bytes.gather, [&] { scene.gather(plain); });
    report(setting, "gather_update", bytes, bytes.update, [&] { scene.update(plain); });
    const tt_augmentation augmentation = two_views();
    const auto views = scene.views(&augmentation);
    const Scene::Bytes both = scene.useful_bytes(views);
    report(setting, "gather_two_views_forward", both, both.gather, [&] { scene.gather(views); });
    report(setting, "gather_two_views_update", both, both.update, [&] { scene.update(views); });
    report(setting, "gather_two_views_step", both, both.gather + both.update, [&] {
      scene.gather(views);
      scene.update(views);
    });
  }
  {
    Shape shape;
    shape.batch = 4096;
    shape.lists = true;
    shape.vocabulary = 50000;
    const Scene scene(context, shape);
    const auto plain = scene.views(nullptr);
    const Scene::Bytes bytes = scene.useful_bytes(plain);
    report(setting, "gather_lists_forward", bytes, bytes.gather, [&] { scene.gather(plain); });
    report(setting, "gather_lists_update", bytes, bytes.update, [&] { scene.update(plain); });
  }
  check(tt_context_destroy(context), "tt_context_destroy");
}

/// Random rows of a memory as large as the embedding tables, in the same pages: floats of a row in d.
void report_random_rows(int threads, double copy) {
  tt_context* context = nullptr;
  check(tt_context_create(nullptr, &context), "tt_context_create");
  {
    const Memory<float> memory(context, Shape{}.vocabulary * Scene::width());
    std::fill_n(memory.data(), memory.size(), 1.0f);
    for (const int lines : {1, 2, 3, 4}) {
      for (const bool in_order : {false, true}) {
        if (in_order && lines < 3) continue;
        Result result;
        result.name = in_order ? "random_rows_in_order" : "random_rows";
        result.d = 16 * lines;
        result.threads = threads;
        result.gigabytes_per_second =
            measure_random(reinterpret_cast<const char*>(memory.data()),
                           memory.size() * static_cast<int64_t>(sizeof(float)), lines, in_order,
                           threads) *
            1e-9;
        result.fraction_of_peak = result.gigabytes_per_second / copy;
        print(result);
      }
    }
  }
  check(tt_context_destroy(context), "tt_context_destroy");
}

}  // namespace

void run_gather(const Options& options) {
  for (const int threads : threads_of(options)) {
    Result copy;
    copy.name = "copy";
    copy.threads = threads;
    copy.gigabytes_per_second =
        std::max(measure_copy(threads, false), measure_copy(threads, true)) * 1e-9;
    print(copy);
    report_random_rows(threads, copy.gigabytes_per_second);
    for (const std::string& isa : isas_of(options)) {
      run_on(Setting{options, isa, threads, copy.gigabytes_per_second});
    }
  }
}

}  // namespace bench
