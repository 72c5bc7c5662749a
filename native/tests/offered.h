// Which ops a backend has: one that lacks an op answers TT_UNSUPPORTED, and the op's tests are skipped there.
#ifndef TWINTAIL_TESTS_OFFERED_H
#define TWINTAIL_TESTS_OFFERED_H

#include <map>

#include "harness.h"

namespace tt_test {

enum class Op { kTables, kSparseUpdate, kDenseUpdate, kLinear, kTopK, kRank };

namespace offered_detail {

/// The op's answer to the smallest input.
inline tt_status smallest_call(const Context& context, Op op) {
  const Buffer<float> floats(context, std::vector<float>(4, 1.0f)), out(context, 4);
  const Buffer<int32_t> ints(context, std::vector<int32_t>(4, 0)), ids(context, 4);
  tt_optimizer sgd{};
  sgd.struct_size = sizeof sgd;
  sgd.kind = TT_SGD;
  tt_retrieval_args retrieval{};
  retrieval.struct_size = sizeof retrieval;
  retrieval.d = 1;
  retrieval.n = retrieval.m = 1;
  retrieval.queries = floats;
  retrieval.items = floats;
  switch (op) {
    case Op::kTables: {
      tt_feature feature{};
      feature.values = ints;
      feature.value_count = 1;
      feature.vocabulary = 1;
      tt_feature_table_options options{};
      options.struct_size = sizeof options;
      options.feature_count = 1;
      options.features = &feature;
      options.rows = 1;
      tt_feature_table* table = nullptr;
      const tt_status status = tt_feature_table_create(context, &options, &table);
      if (status == TT_OK) TT_MUST(tt_feature_table_destroy(table));
      return status;
    }
    case Op::kSparseUpdate: {
      tt_embedding embedding{};
      embedding.weights = out.get();
      embedding.rows = 1;
      embedding.dim = 1;
      return tt_sparse_update(context, &sgd, &embedding, ints, floats, 1);
    }
    case Op::kDenseUpdate:
      return tt_dense_update(context, &sgd, out, floats, nullptr, nullptr, 1);
    case Op::kLinear:
      return tt_linear(context, 1, 1, 1, floats, floats, nullptr, TT_LINEAR, out);
    case Op::kTopK:
      return tt_top_k(context, &retrieval, 1, ids, nullptr);
    case Op::kRank: {
      const Buffer<int64_t> offsets(context, std::vector<int64_t>{0, 1});
      return tt_rank(context, &retrieval, offsets, ints, ids);
    }
  }
  return TT_INTERNAL;
}

}  // namespace offered_detail

/// Asked once for each op.
inline bool offered(const Target& target, Op op) {
  if (target.device == TT_DEVICE_CPU) return true;
  static std::map<Op, bool> known;
  const auto found = known.find(op);
  if (found != known.end()) return found->second;
  const Context context(target);
  return known[op] = offered_detail::smallest_call(context, op) != TT_UNSUPPORTED;
}

/// Tests of an op that a backend may lack.
template <Op kOp>
class OptionalOpTest : public OpTest {
 protected:
  void SetUp() override {
    if (!offered(target(), kOp)) GTEST_SKIP() << "the backend does not have this op yet";
  }
};

}  // namespace tt_test
#endif
