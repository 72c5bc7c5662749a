// tt_feature_table_*: shapes are checked here, contents by the backend.
#include <limits>
#include <memory>

#include "handles.h"

namespace tt {
namespace {

constexpr int64_t kMostRows = std::numeric_limits<int32_t>::max();

void check_lists(const tt_feature_table_options& options) {
  check::at_least("list_count", options.list_count, 0);
  if (options.list_offsets == nullptr) {
    check::between("list_count", options.list_count, 0, 0);
    check::between("catalogue_rows", options.catalogue_rows, 0, 0);
    return;
  }
  check::between("catalogue_rows", options.catalogue_rows, 1, kMostRows);
  if (options.list_count > 0) check::pointer("list_rows", options.list_rows);
}

void check_feature(const tt_feature_table_options& options, int32_t f) {
  const tt_feature& feature = options.features[f];
  check::between({"features[%lld].through_list", f}, feature.through_list, 0, 1);
  if (feature.through_list == 1 && options.list_offsets == nullptr) {
    bad_argument(Name("features[%lld].through_list", f).str(), "0 in a table without lists",
                 int64_t{1});
  }
  check::at_least({"features[%lld].vocabulary", f}, feature.vocabulary, 1);
  check::at_least({"features[%lld].embedding", f}, feature.embedding, 0);
  check::between({"features[%lld].pooling", f}, feature.pooling, TT_POOL_SUM, TT_POOL_SQRTN);
  check::at_least({"features[%lld].value_count", f}, feature.value_count, 0);
  const int64_t rows = feature.through_list == 1 ? options.catalogue_rows : options.rows;
  if (feature.offsets == nullptr) {
    check::between({"features[%lld].value_count", f}, feature.value_count, rows, rows);
  }
  if (feature.value_count > 0) check::pointer({"features[%lld].values", f}, feature.values);
}

void check_options(const tt_feature_table_options* options) {
  check::pointer("options", options);
  check::struct_size("struct_size", options, options->struct_size, sizeof *options);
  check::between("feature_count", options->feature_count, 1, TT_MAX_FEATURES);
  check::pointer("features", options->features);
  check::between("rows", options->rows, 1, kMostRows);
  check_lists(*options);
  for (int32_t f = 0; f < options->feature_count; ++f) check_feature(*options, f);
}

}  // namespace

const Table& table_of(const Session& session, const tt_feature_table* table) {
  check::pointer("table", table);
  if (table->session->device() != session.device() ||
      table->session->device_index() != session.device_index()) {
    bad_argument("table", "a table made on the context's device",
                 std::string("a table of another device"));
  }
  return table->table;
}

}  // namespace tt

tt_status tt_feature_table_create(tt_context* context, const tt_feature_table_options* options,
                                  tt_feature_table** table) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::pointer("table", table);
    *table = nullptr;
    tt::check_options(options);

    auto handle = std::make_unique<tt_feature_table>();
    handle->session = context->session;
    handle->features.assign(options->features, options->features + options->feature_count);
    handle->table = tt::Table{options->feature_count, handle->features.data(),
                              options->rows,          options->catalogue_rows,
                              options->list_offsets,  options->list_rows,
                              options->list_count,    nullptr};
    void* impl = nullptr;
    session.call(session.backend().table_create, static_cast<const tt::Table*>(&handle->table),
                 &impl);
    handle->table.impl = impl;
    handle->counted_bytes = static_cast<int64_t>(sizeof(tt_feature_table) +
                                                 handle->features.size() * sizeof(tt_feature));
    tt::count_bytes(handle->counted_bytes);
    *table = handle.release();
  });
}

tt_status tt_feature_table_destroy(tt_feature_table* table) {
  return tt::guard([&] {
    if (table == nullptr) return;
    const std::unique_ptr<tt_feature_table> handle(table);
    tt::Session& session = *handle->session;
    session.backend().table_destroy(session.impl(), handle->table.impl);
    tt::count_bytes(-handle->counted_bytes);
  });
}
