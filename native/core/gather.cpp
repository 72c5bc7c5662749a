// tt_embedding_gather and its relatives: argument checks and dispatch.
#include <limits>

#include "handles.h"

namespace tt {
namespace {

constexpr int64_t kMostBatchRows = int64_t{1} << 32;  // the row is one word of the Philox counter

void check_correlated(const tt_augmentation& a, int32_t feature_count, int32_t v) {
  check::pointer({"views[%lld].augmentation.correlated", v}, a.correlated);
  uint64_t all = 0;
  for (int32_t f = 0; f < feature_count; ++f) {
    all |= a.correlated[f];
    if ((a.correlated[f] & ~a.maskable) != 0) {
      bad_argument(Name("views[%lld].augmentation.correlated[%lld]", v, f).str(),
                   format("a subset of maskable, 0x%llx", (unsigned long long)a.maskable),
                   format("0x%llx", (unsigned long long)a.correlated[f]));
    }
  }
  if (all == 0) {
    bad_argument(Name("views[%lld].augmentation.correlated", v).str(),
                 "at least one feature whose set is not empty", std::string("empty sets only"));
  }
}

void check_augmentation(const tt_augmentation& a, const Table& table, int32_t v) {
  check::struct_size({"views[%lld].augmentation.struct_size", v}, &a, a.struct_size, sizeof a);
  constexpr uint32_t known =
      TT_RANDOM_MASK | TT_VALUE_DROPOUT | TT_COMPLEMENTARY | TT_CORRELATED | TT_LIST_DROPOUT;
  const Name transforms("views[%lld].augmentation.transforms", v);
  if ((a.transforms & ~known) != 0) {
    bad_argument(transforms.str(), "a set of tt_transform", format("0x%x", a.transforms));
  }
  if ((a.transforms & TT_COMPLEMENTARY) != 0 && (a.transforms & TT_CORRELATED) != 0) {
    bad_argument(transforms.str(), "TT_COMPLEMENTARY or TT_CORRELATED",
                 std::string("both, which exclude each other"));
  }
  if ((a.transforms & TT_LIST_DROPOUT) != 0 && table.list_offsets == nullptr) {
    bad_argument(transforms.str(), "no TT_LIST_DROPOUT in a table without lists",
                 format("0x%x", a.transforms));
  }
  if (table.feature_count < TT_MAX_FEATURES && (a.maskable >> table.feature_count) != 0) {
    bad_argument(Name("views[%lld].augmentation.maskable", v).str(),
                 format("bits of the table's %d features only", table.feature_count),
                 format("0x%llx", (unsigned long long)a.maskable));
  }
  check::rate({"views[%lld].augmentation.mask_rate", v}, a.mask_rate);
  check::rate({"views[%lld].augmentation.value_rate", v}, a.value_rate);
  check::rate({"views[%lld].augmentation.list_rate", v}, a.list_rate);
  check::between({"views[%lld].augmentation.second_view", v}, a.second_view, TT_VIEW_COMPLEMENT,
                 TT_VIEW_INDEPENDENT);
  check::between({"views[%lld].augmentation.seed_scope", v}, a.seed_scope, TT_SEED_PER_ROW,
                 TT_SEED_PER_BATCH);
  check::between({"views[%lld].augmentation.step", v}, a.step, 0, (int64_t{1} << 48) - 1);
  if ((a.transforms & TT_CORRELATED) != 0) check_correlated(a, table.feature_count, v);
}

/// What a view reads; its vectors are checked apart.
void check_rows(const tt_gather_view& view, const Table& table, int32_t v) {
  check::between({"views[%lld].n", v}, view.n, 0, kMostBatchRows);
  if (view.n > 0) check::pointer({"views[%lld].rows", v}, view.rows);
  check::between({"views[%lld].row_base", v}, view.row_base, 0, kMostBatchRows - view.n);
  check::between({"views[%lld].view", v}, view.view, 0, 2);
  if (view.left_out != nullptr && table.list_offsets == nullptr) {
    bad_argument(Name("views[%lld].left_out", v).str(), "NULL for a table without lists",
                 std::string("a pointer"));
  }
  if (view.augmentation != nullptr) check_augmentation(*view.augmentation, table, v);
}

int64_t check_embeddings(const Table& table, const tt_embedding* embeddings, int32_t count) {
  check::at_least("embedding_count", count, 1);
  check::pointer("embeddings", embeddings);
  for (int32_t e = 0; e < count; ++e) {
    check::pointer({"embeddings[%lld].weights", e}, embeddings[e].weights);
    check::at_least({"embeddings[%lld].dim", e}, embeddings[e].dim, 1);
    check::between({"embeddings[%lld].rows", e}, embeddings[e].rows, 1,
                   std::numeric_limits<int32_t>::max());
    check::between({"embeddings[%lld].dtype", e}, embeddings[e].dtype, TT_FLOAT32, TT_BFLOAT16);
    check::addressable({"embeddings[%lld].rows", e}, embeddings[e].rows, embeddings[e].dim, 4);
  }
  int64_t columns = 0;
  for (int32_t f = 0; f < table.feature_count; ++f) {
    const tt_feature& feature = table.features[f];
    if (feature.embedding >= count) {
      bad_argument("embedding_count",
                   format("at least %d, for features[%d]", feature.embedding + 1, f),
                   int64_t{count});
    }
    const tt_embedding& embedding = embeddings[feature.embedding];
    if (embedding.rows < feature.vocabulary) {
      bad_argument(Name("embeddings[%lld].rows", feature.embedding).str(),
                   format("at least %d, the vocabulary of features[%d]", feature.vocabulary, f),
                   embedding.rows);
    }
    columns += embedding.dim;
  }
  return columns;
}

void check_gather(const Table& table, const tt_embedding* embeddings, int32_t embedding_count,
                  const tt_gather_view* views, int32_t view_count) {
  const int64_t columns = check_embeddings(table, embeddings, embedding_count);
  check::at_least("view_count", view_count, 1);
  check::pointer("views", views);
  for (int32_t v = 0; v < view_count; ++v) {
    check_rows(views[v], table, v);
    if (views[v].n == 0) continue;
    check::pointer({"views[%lld].vectors", v}, views[v].vectors);
    check::at_least({"views[%lld].ld", v}, views[v].ld, columns);
    check::addressable({"views[%lld].ld", v}, views[v].n, views[v].ld, 4);
  }
}

}  // namespace
}  // namespace tt

tt_status tt_embedding_gather(tt_context* context, const tt_feature_table* table,
                              const tt_embedding* embeddings, int32_t embedding_count,
                              const tt_gather_view* views, int32_t view_count) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    const tt::Table& checked = tt::table_of(session, table);
    tt::check_gather(checked, embeddings, embedding_count, views, view_count);
    session.call(session.backend().embedding_gather, &checked, embeddings, embedding_count, views,
                 view_count);
  });
}

tt_status tt_augmented_values(tt_context* context, const tt_feature_table* table,
                              const tt_gather_view* view, int32_t feature, uint64_t* masks,
                              int64_t* offsets, int32_t* values, int64_t capacity) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    const tt::Table& checked = tt::table_of(session, table);
    tt::check::pointer("view", view);
    tt::check_rows(*view, checked, 0);
    tt::check::between("feature", feature, 0, checked.feature_count - 1);
    tt::check::pointer("offsets", offsets);
    if (values != nullptr) tt::check::at_least("capacity", capacity, 0);
    session.call(session.backend().augmented_values, &checked, view, feature, masks, offsets,
                 values, capacity);
  });
}

tt_status tt_embedding_gather_backward(tt_context* context, const tt_feature_table* table,
                                       const tt_embedding* embeddings, int32_t embedding_count,
                                       const tt_gather_view* views, int32_t view_count,
                                       const tt_sparse_gradient* gradients) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    const tt::Table& checked = tt::table_of(session, table);
    tt::check_gather(checked, embeddings, embedding_count, views, view_count);
    tt::check::pointer("gradients", gradients);
    for (int32_t e = 0; e < embedding_count; ++e) {
      tt::check::pointer({"gradients[%lld].count", e}, gradients[e].count);
      tt::check::at_least({"gradients[%lld].capacity", e}, gradients[e].capacity, 0);
      if (gradients[e].capacity == 0) continue;
      tt::check::pointer({"gradients[%lld].ids", e}, gradients[e].ids);
      tt::check::pointer({"gradients[%lld].values", e}, gradients[e].values);
    }
    session.call(session.backend().embedding_gather_backward, &checked, embeddings, embedding_count,
                 views, view_count, gradients);
  });
}

tt_status tt_embedding_gather_update(tt_context* context, const tt_optimizer* optimizer,
                                     const tt_feature_table* table, const tt_embedding* embeddings,
                                     int32_t embedding_count, const tt_gather_view* views,
                                     int32_t view_count) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::optimizer(optimizer);
    const tt::Table& checked = tt::table_of(session, table);
    tt::check_gather(checked, embeddings, embedding_count, views, view_count);
    for (int32_t e = 0; e < embedding_count; ++e) {
      tt::check::optimizer_state(*optimizer, "embeddings[%lld].", e, embeddings[e].state1,
                                 embeddings[e].state2);
    }
    session.call(session.backend().embedding_gather_update, optimizer, &checked, embeddings,
                 embedding_count, views, view_count);
  });
}
