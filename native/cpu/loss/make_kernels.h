// Fills the table of functions for one instruction set. Local to the including file.
#ifndef TWINTAIL_CPU_LOSS_MAKE_KERNELS_H
#define TWINTAIL_CPU_LOSS_MAKE_KERNELS_H

#include "kernels.h"
#include "pack.h"
#include "product_tile.h"
#include "row_math.h"
#include "score_tile.h"

namespace tt::cpu::loss {
namespace {

/// The table of one instruction set.
template <class M>
Kernels make_kernels() {
  using V = typename M::Vec;
  Kernels k{};
  k.tile_rows = M::kTileRows;
  k.panel_columns = 2 * V::kLanes;
  k.lanes = V::kLanes;
  k.pairs = M::kPairs;
  const auto at = [&](Epilogue e) -> void (*&)(const ScoreArgs&) {
    return k.scores[static_cast<int>(e)];
  };
  at(Epilogue::sum) = scores<M, Epilogue::sum>;
  at(Epilogue::sum_store) = scores<M, Epilogue::sum_store>;
  at(Epilogue::sum_columns) = scores<M, Epilogue::sum_columns>;
  at(Epilogue::online) = scores<M, Epilogue::online>;
  at(Epilogue::given_row) = scores<M, Epilogue::given_row>;
  at(Epilogue::given_both) = scores<M, Epilogue::given_both>;
  at(Epilogue::given_both_wide) = scores<M, Epilogue::given_both_wide>;
  k.row_products = row_products<M>;
  k.column_products = column_products<M>;
  k.pack_queries = pack_queries<M>;
  k.pack_candidates = pack_candidates<M>;
  k.scale_queries = scale_queries<M>;
  k.dot = dot<V>;
  k.accumulate = accumulate<V>;
  k.project = project<V>;
  k.reduce = reduce<V>;
  return k;
}

}  // namespace
}  // namespace tt::cpu::loss
#endif
