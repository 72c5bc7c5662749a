// tt_pair_counts.
#include "handles.h"

tt_status tt_pair_counts(tt_context* context, const tt_feature_table* table, int32_t feature_a,
                         int32_t feature_b, int64_t row_begin, int64_t row_end, int64_t capacity,
                         int32_t* values_a, int32_t* values_b, int64_t* counts,
                         int64_t* pair_count) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    const tt::Table& checked = tt::table_of(session, table);
    tt::check::between("feature_a", feature_a, 0, checked.feature_count - 1);
    tt::check::between("feature_b", feature_b, 0, checked.feature_count - 1);
    tt::check::between("row_begin", row_begin, 0, checked.rows);
    tt::check::between("row_end", row_end, row_begin, checked.rows);
    tt::check::pointer("pair_count", pair_count);
    if (values_a != nullptr) {
      tt::check::at_least("capacity", capacity, 0);
      tt::check::pointer("values_b", values_b);
      tt::check::pointer("counts", counts);
    }
    for (const int32_t f : {feature_a, feature_b}) {
      if (checked.features[f].through_list == 1) {
        tt::unsupported(
            tt::format("features[%d] is read through lists, which cannot be counted.", f));
      }
    }
    session.call(session.backend().pair_counts, &checked, feature_a, feature_b, row_begin, row_end,
                 capacity, values_a, values_b, counts, pair_count);
  });
}
