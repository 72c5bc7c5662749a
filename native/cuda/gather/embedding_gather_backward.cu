// tt_embedding_gather_backward and tt_embedding_gather_update: the lookups of the forward are written again,
// sorted by embedding row, and each row's gradients are summed once.
//
// How many lookups there are is known to the device alone, since it alone knows the rows of a batch and what
// dropout leaves of them. The host must not wait to learn it, so it plans with a bound: a batch may name one row
// any number of times, so the least that the host can be sure of is
//   sum over views and features of n * max(1, values of the table's longest row)
// (TableFacts::longest, found when the table is created). Memory is reserved for the bound, about
// kBytesPerLookup for each; kernels touch and go over the part that is used (Extent), so time follows the true
// number. Where the bound is more than kMostReserved lookups, or the memory more than kReservedPart of the
// device's - a few rows are far longer than the rest, and histories are not cut to a length -, the number is read
// back after all: one wait, and memory as needed. The result is the same, bit for bit.
#include <algorithm>

#include "gather/lookups.h"
#include "gather/merge.h"
#include "gather/radix_sort.h"
#include "gather/scan.h"
#include "gather/table_facts.h"

namespace tt::cuda {
namespace {

constexpr int64_t kMostWords = int64_t{1} << 32;  // lookups, bags and keys are 32-bit numbers
constexpr int64_t kMostReserved = int64_t{1} << 28;
constexpr int64_t kReservedPart = 8;
// Keys and bags twice, starts of runs, what sorting takes, and sums of long runs of up to some hundred columns.
constexpr int64_t kBytesPerLookup = 40;
constexpr const char* kDoing = "embedding_gather_backward";

/// A bound of the lookups of a pass, or -1 where it is too high to reserve memory for.
int64_t most_lookups(const Table& table, const tt_gather_view* views, int32_t view_count) {
  const TableFacts& facts = facts_of(table);
  const int64_t limit =
      std::min(kMostReserved, facts.device_bytes / kReservedPart / kBytesPerLookup);
  int64_t most = 0;
  for (int32_t v = 0; v < view_count; ++v) {
    for (const int64_t longest : facts.longest) {
      const int64_t values = std::max<int64_t>(longest, 1);
      if (views[v].n > (limit - most) / values) return -1;
      most += views[v].n * values;
    }
  }
  return most;
}

/// Every embedding's keys: the ids that features may have, behind those of the embeddings before.
struct KeyLayout {
  std::vector<int64_t> first;  // [embedding_count + 1]

  KeyLayout(const Table& table, int32_t embedding_count)
      : first(static_cast<size_t>(embedding_count) + 1) {
    for (int32_t f = 0; f < table.feature_count; ++f) {
      int64_t& bound = first[static_cast<size_t>(table.features[f].embedding) + 1];
      bound = std::max<int64_t>(bound, table.features[f].vocabulary);
    }
    for (size_t t = 1; t < first.size(); ++t) first[t] += first[t - 1];
    if (first.back() > kMostWords) {
      unsupported(
          format("Embedding tables with %lld rows together are more than one backward pass of "
                 "the CUDA backend can address.",
                 static_cast<long long>(first.back())));
    }
  }
  int64_t bound(size_t t) const { return first[t + 1] - first[t]; }
  int bits() const {
    int all = 0;
    while (int64_t{1} << all < first.back()) ++all;
    return all;
  }
};

/// Whether all that table t reads and writes may be read by fours.
bool is_aligned(const Table& table, const std::vector<GatherFeature>& features, int32_t t,
                const MergeTarget& target, const tt_gather_view* views, int32_t view_count) {
  const tt_embedding& e = target.embedding;
  bool aligned = quads_aligned(target.values, e.dim, sizeof(float)) &&
                 quads_aligned(e.weights, e.dim, size_of(e.dtype)) &&
                 quads_aligned(e.state1, e.dim, sizeof(float)) &&
                 quads_aligned(e.state2, e.dim, sizeof(float));
  for (const GatherFeature& f : features) {
    if (table.features[f.index].embedding == t) aligned = aligned && f.column % 4 == 0;
  }
  for (int32_t v = 0; v < view_count; ++v) {
    aligned = aligned && (views[v].n == 0 || quads_aligned(views[v].vectors, views[v].ld, 4));
  }
  return aligned;
}

/// One backward pass, from the views to the sorted runs.
class Backward {
 public:
  Backward(Context& context, const Table& table, const tt_embedding* embeddings,
           int32_t embedding_count, const tt_gather_view* views, int32_t view_count)
      : context_(context),
        scope_(context.workspace),
        zeroed_(context, scope_),
        table_(table),
        views_(views),
        view_count_(view_count),
        keys_(table, embedding_count),
        features_(gather_features(table, embeddings)) {
    for (int32_t t = 0; t < embedding_count; ++t) {
      MergeTarget target{};
      target.embedding = embeddings[t];
      target.first_key = static_cast<uint32_t>(keys_.first[static_cast<size_t>(t)]);
      target.id_bound = keys_.bound(static_cast<size_t>(t));
      targets.push_back(target);
    }
    for (int32_t v = 0; v < view_count; ++v) rows_ += views[v].n;
    if (rows_ * table.feature_count >= kMostWords) {
      unsupported(format("%lld rows with %d features are more than one backward pass can address.",
                         static_cast<long long>(rows_), table.feature_count));
    }
  }

  std::vector<MergeTarget> targets;  // one an embedding; whoever calls says what becomes of them

  /// counts: device memory for the number of rows that each embedding has a gradient for, or empty.
  void sort(const std::vector<int64_t*>& counts) {
    const LookupJob job = stage(counts);
    const int64_t bags = rows_ * table_.feature_count;
    int64_t* offsets = count_all(job, bags);
    const int64_t most = lookups_.most();
    KeysAndValues pairs{scope_.get<uint32_t>(most), scope_.get<uint32_t>(most)};
    const KeysAndValues spare{scope_.get<uint32_t>(most), scope_.get<uint32_t>(most)};
    LookupOutput output{offsets, pairs.keys, pairs.values, nullptr};
    if (scaled()) output.scales = scope_.get<float>(bags);
    write_lookups(context_, job, output);
    pairs = radix_sort(context_, scope_, zeroed_, pairs, spare, lookups_, keys_.bits());
    sorted_ = find_runs(context_, scope_, zeroed_, pairs.keys, pairs.values, lookups_,
                        staging_.at<int64_t>(keys_place_), static_cast<int32_t>(targets.size()),
                        counts.empty() ? nullptr : staging_.at<int64_t*>(counts_place_));
    gradient_rows_ = GradientRows(staging_.at<GradientPiece>(pieces_place_), view_count_,
                                  static_cast<uint32_t>(rows_));
    gradient_rows_.columns = staging_.at<int64_t>(columns_place_);
    gradient_rows_.scales = output.scales;
  }

  /// Throws where a gradient has no room. Waits for the device only if that could be.
  void check_capacity(const tt_sparse_gradient* gradients) {
    bool sure = true;
    for (size_t t = 0; t < targets.size(); ++t) {
      sure = sure && gradients[t].capacity >= std::min(targets[t].id_bound, lookups_.most());
    }
    if (sure) return;
    std::vector<uint32_t> runs(targets.size() + 1);
    read(context_, sorted_.table_runs, static_cast<int64_t>(runs.size()), runs.data(), kDoing);
    for (size_t t = 0; t < targets.size(); ++t) {
      const int64_t touched = int64_t{runs[t + 1]} - runs[t];
      if (touched <= gradients[t].capacity) continue;
      bad_argument(format("gradients[%d].capacity", static_cast<int>(t)),
                   format("at least %lld, the rows touched", static_cast<long long>(touched)),
                   gradients[t].capacity);
    }
  }

  void finish(const OptimizerPlan& plan) {
    for (size_t t = 0; t < targets.size(); ++t) {
      targets[t].aligned =
          is_aligned(table_, features_, static_cast<int32_t>(t), targets[t], views_, view_count_);
    }
    merge_runs(context_, scope_, zeroed_, sorted_, lookups_.most(), gradient_rows_, targets, plan);
  }

 private:
  bool multi_valued() const {
    return std::any_of(features_.begin(), features_.end(), [](const GatherFeature& f) {
      return f.offsets != nullptr || f.through_list != 0;
    });
  }
  bool scaled() const {
    return std::any_of(features_.begin(), features_.end(), [](const GatherFeature& f) {
      return f.pooling != TT_POOL_SUM && (f.offsets != nullptr || f.through_list != 0);
    });
  }

  LookupJob stage(const std::vector<int64_t*>& counts) {
    const std::vector<ViewReading> readings =
        read_views(context_, scope_, table_, views_, view_count_);
    std::vector<LookupView> lookup_views;
    std::vector<GradientPiece> pieces;
    int64_t end = 0;
    for (int32_t v = 0; v < view_count_; ++v) {
      const tt_gather_view& view = views_[v];
      end += view.n;
      lookup_views.push_back(
          LookupView{make_reading<1>(table_, view, &readings[static_cast<size_t>(v)]), end});
      pieces.push_back(GradientPiece{view.vectors, view.ld, end});
    }
    uint32_t blocks = 0;
    std::vector<int64_t> columns;
    for (GatherFeature& f : features_) {
      columns.push_back(f.column);
      f.first_bag = f.index * rows_;
      f.first_key = targets[static_cast<size_t>(table_.features[f.index].embedding)].first_key;
      blocks = give_blocks(f, lookup_lanes(f), kLookupThreads, rows_, blocks);
    }
    const size_t views_place = staging_.add(lookup_views), features_place = staging_.add(features_);
    keys_place_ = staging_.add(keys_.first);
    counts_place_ = staging_.add(counts);
    columns_place_ = staging_.add(columns);
    pieces_place_ = staging_.add(pieces);
    staging_.send(context_, scope_);
    return LookupJob{staging_.at<LookupView>(views_place),
                     staging_.at<GatherFeature>(features_place), table_.feature_count, rows_,
                     blocks};
  }

  /// Where each bag's lookups begin, and how many there are; NULL where each bag has one.
  int64_t* count_all(const LookupJob& job, int64_t bags) {
    lookups_ = bags;
    if (!multi_valued()) return nullptr;
    auto* offsets = scope_.get<int64_t>(bags + 1);
    count_lookups(context_, job, offsets);
    exclusive_scan(context_, zeroed_, offsets, bags, offsets + bags);
    const int64_t most = most_lookups(table_, views_, view_count_);
    lookups_ = most >= 0 ? Extent::on_device(offsets + bags, most) : count_of(offsets + bags);
    return offsets;
  }

  /// Waits for the device.
  int64_t count_of(const int64_t* total) {
    int64_t lookups = 0;
    read(context_, total, 1, &lookups, kDoing);
    if (lookups >= kMostWords) {
      unsupported(format("%lld lookups are more than one backward pass can address.",
                         static_cast<long long>(lookups)));
    }
    return lookups;
  }

  Context& context_;
  Scope scope_;
  Zeroed zeroed_;
  const Table& table_;
  const tt_gather_view* views_;
  int32_t view_count_;
  KeyLayout keys_;
  std::vector<GatherFeature> features_;
  Staging staging_;
  size_t keys_place_ = 0, counts_place_ = 0, columns_place_ = 0, pieces_place_ = 0;
  int64_t rows_ = 0;  // of all views
  Extent lookups_;
  SortedLookups sorted_{};
  GradientRows gradient_rows_{};
};

}  // namespace

void embedding_gather_backward(Context& context, const Table* table, const tt_embedding* embeddings,
                               int32_t embedding_count, const tt_gather_view* views,
                               int32_t view_count, const tt_sparse_gradient* gradients) {
  Backward pass(context, *table, embeddings, embedding_count, views, view_count);
  std::vector<int64_t*> counts;
  for (size_t t = 0; t < pass.targets.size(); ++t) {
    MergeTarget& target = pass.targets[t];
    target.embedding = tt_embedding{};
    target.embedding.dim = embeddings[t].dim;
    target.ids = gradients[t].ids;
    target.values = gradients[t].values;
    counts.push_back(gradients[t].count);
  }
  pass.sort(counts);
  pass.check_capacity(gradients);
  pass.finish(OptimizerPlan{});
}

void embedding_gather_update(Context& context, const tt_optimizer* optimizer, const Table* table,
                             const tt_embedding* embeddings, int32_t embedding_count,
                             const tt_gather_view* views, int32_t view_count) {
  Backward pass(context, *table, embeddings, embedding_count, views, view_count);
  pass.sort({});
  pass.finish(make_plan(*optimizer));
}

}  // namespace tt::cuda
