// tt_sparse_update, tt_dense_update, tt_clip.
#include <limits>

#include "handles.h"

tt_status tt_sparse_update(tt_context* context, const tt_optimizer* optimizer,
                           const tt_embedding* embedding, const int32_t* ids, const float* values,
                           int64_t count) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::optimizer(optimizer);
    tt::check::pointer("embedding", embedding);
    tt::check::pointer("embedding.weights", embedding->weights);
    tt::check::at_least("embedding.dim", embedding->dim, 1);
    tt::check::between("embedding.rows", embedding->rows, 1, std::numeric_limits<int32_t>::max());
    tt::check::between("embedding.dtype", embedding->dtype, TT_FLOAT32, TT_BFLOAT16);
    tt::check::optimizer_state(*optimizer, "embedding.", 0, embedding->state1, embedding->state2);
    tt::check::at_least("count", count, 0);
    if (count == 0) return;
    tt::check::pointer("ids", ids);
    tt::check::pointer("values", values);
    tt::check::addressable("count", count, embedding->dim, 4);
    session.call(session.backend().sparse_update, optimizer, embedding, ids, values, count);
  });
}

tt_status tt_dense_update(tt_context* context, const tt_optimizer* optimizer, float* parameters,
                          const float* gradients, float* state1, float* state2, int64_t count) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    tt::check::optimizer(optimizer);
    if (optimizer->kind == TT_ROWWISE_ADAGRAD) {
      tt::unsupported(
          "optimizer.kind: row-wise Adagrad has one state a row and needs a table; dense "
          "parameters take TT_ADAGRAD.");
    }
    tt::check::at_least("count", count, 0);
    if (count == 0) return;
    tt::check::pointer("parameters", parameters);
    tt::check::pointer("gradients", gradients);
    tt::check::optimizer_state(*optimizer, "", 0, state1, state2);
    tt::check::addressable("count", count, 1, 4);
    session.call(session.backend().dense_update, optimizer, parameters, gradients, state1, state2,
                 count);
  });
}

tt_status tt_clip(tt_context* context, float low, float high, float* values, int64_t count) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    if (!(low <= high)) {
      tt::bad_argument("low", "a number up to high = " + std::to_string(high),
                       static_cast<double>(low));
    }
    tt::check::at_least("count", count, 0);
    tt::check::addressable("count", count, 1, 4);
    if (count == 0) return;
    tt::check::pointer("values", values);
    session.call(session.backend().clip, low, high, values, count);
  });
}
