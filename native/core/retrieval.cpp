// tt_top_k, tt_rank.
#include <limits>

#include "handles.h"

namespace tt {
namespace {

constexpr int64_t kMostItems = std::numeric_limits<int32_t>::max();
constexpr int32_t kMostResults = 4096;

void check_args(const tt_retrieval_args* args) {
  check::pointer("args", args);
  check::struct_size("struct_size", args, args->struct_size, sizeof *args);
  check::at_least("d", args->d, 1);
  check::at_least("n", args->n, 0);
  check::between("m", args->m, 0, kMostItems);
  check::addressable("n", args->n, args->d, 4);
  check::addressable("m", args->m, args->d, 4);
  if (args->n > 0) check::pointer("queries", args->queries);
  if (args->m > 0) check::pointer("items", args->items);
  check::between("similarity", args->similarity, TT_DOT, TT_COSINE);
}

}  // namespace
}  // namespace tt

tt_status tt_top_k(tt_context* context, const tt_retrieval_args* args, int32_t k, int32_t* ids,
                   float* scores) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check_args(args);
    tt::check::between("k", k, 1, tt::kMostResults);
    if (args->n == 0) return;
    tt::check::pointer("ids", ids);
    session.call(session.backend().top_k, args, k, ids, scores);
  });
}

tt_status tt_rank(tt_context* context, const tt_retrieval_args* args, const int64_t* target_offsets,
                  const int32_t* targets, int32_t* ranks) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check_args(args);
    if (args->n == 0) return;
    tt::check::pointer("target_offsets", target_offsets);
    tt::check::pointer("targets", targets);
    tt::check::pointer("ranks", ranks);
    session.call(session.backend().rank, args, target_offsets, targets, ranks);
  });
}
