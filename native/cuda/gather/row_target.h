// Where the summed gradient of an embedding row goes: into a sparse gradient, or through the optimiser into
// the row.
#pragma once

#include "exact_float.h"
#include "gather/lanes.h"
#include "optimizer_plan.h"

namespace tt::cuda {

/// An embedding table in a merge: the runs of its lookups, and what becomes of their sums.
struct MergeTable {
  void* weights;
  float* state1;
  float* state2;
  int32_t* ids;   // not NULL: the sums are written out, and nothing is updated
  float* values;  // [runs, dim]
  int32_t index;
  int32_t dim;
  int32_t lanes;
  uint32_t first_key;
  uint32_t first_block, blocks;  // of the launch
};

__device__ __forceinline__ void unpack(float4 quad, ExactFloat (&to)[4]) {
  to[0].v = quad.x;
  to[1].v = quad.y;
  to[2].v = quad.z;
  to[3].v = quad.w;
}
__device__ __forceinline__ float4 pack(const ExactFloat (&from)[4]) {
  return make_float4(from[0].v, from[1].v, from[2].v, from[3].v);
}

template <bool kAligned>
__device__ __forceinline__ void store_weights(const ExactFloat (&w)[4], float* row, int column,
                                              int dim, int64_t, int32_t) {
  store_quad<kAligned>(pack(w), row, column, dim);
}

template <bool kAligned>
__device__ __forceinline__ void store_weights(const ExactFloat (&w)[4], uint16_t* row, int column,
                                              int dim, int64_t step, int32_t id) {
  if (column >= dim) return;
  const PhiloxBlock draws = rounding_draws(step, id, static_cast<uint32_t>(column) / 4);
  uint16_t halves[4];
#pragma unroll
  for (int c = 0; c < 4; ++c) halves[c] = round_stochastically(w[c].v, draws.v[c]);
  if constexpr (kAligned) {
    *reinterpret_cast<uint2*>(row + column) =
        make_uint2(static_cast<unsigned>(halves[0]) | static_cast<unsigned>(halves[1]) << 16,
                   static_cast<unsigned>(halves[2]) | static_cast<unsigned>(halves[3]) << 16);
  } else {
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      if (column + c < dim) row[column + c] = halves[c];
    }
  }
}

/// The lane's quads of a row of the table's weights, in the pass from column `first` on.
template <bool kAligned, class Weight>
__device__ __forceinline__ void load_weights(const MergeTable& table, int32_t id,
                                             const Lanes& lanes, int first,
                                             float4 (&quads)[kLaneQuads]) {
  const Weight* row = static_cast<const Weight*>(table.weights) + int64_t{id} * table.dim;
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) {
    quads[q] = load_quad<kAligned>(row, quad_column(lanes, first, q), table.dim);
  }
}

/// Those of one of its states, where the row has its own.
template <bool kAligned>
__device__ __forceinline__ void load_states(const float* states, int32_t id, int dim,
                                            const Lanes& lanes, int first,
                                            float4 (&quads)[kLaneQuads]) {
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) {
    quads[q] = load_quad<kAligned>(states + int64_t{id} * dim, quad_column(lanes, first, q), dim);
  }
}

/// Updates the lane's quads of a row, whose weights are `before`. grown: row-wise Adagrad's new state.
template <bool kAligned, class Weight>
__device__ __forceinline__ void update_quads(const MergeTable& table, const OptimizerPlan& plan,
                                             int32_t id, const Lanes& lanes, int first,
                                             const float4 (&before)[kLaneQuads],
                                             const float4 (&gradients)[kLaneQuads], float grown) {
  const int dim = table.dim;
  const int64_t at = int64_t{id} * dim;
  const bool one_state = plan.kind == TT_ADAGRAD, two_states = plan.kind == TT_ADAM;
  float4 states1[kLaneQuads] = {}, states2[kLaneQuads] = {};  // all asked for before one is stored
  if (one_state || two_states) {
    load_states<kAligned>(table.state1, id, dim, lanes, first, states1);
  }
  if (two_states) load_states<kAligned>(table.state2, id, dim, lanes, first, states2);
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) {
    const int column = quad_column(lanes, first, q);
    ExactFloat w[4], g[4], s1[4], s2[4];
    unpack(before[q], w);
    unpack(gradients[q], g);
    unpack(states1[q], s1);
    unpack(states2[q], s2);
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      switch (plan.kind) {
        case TT_SGD:
          sgd_step(plan, w[c], g[c]);
          break;
        case TT_ADAGRAD:
          adagrad_step(plan, w[c], g[c], s1[c]);
          break;
        case TT_ROWWISE_ADAGRAD:
          rowwise_adagrad_step(plan, w[c], decayed_gradient(plan, w[c], g[c]), grown);
          break;
        case TT_ADAM:
          adam_step(plan, w[c], g[c], s1[c], s2[c]);
          break;
      }
    }
    if (one_state || two_states) store_quad<kAligned>(pack(s1), table.state1 + at, column, dim);
    if (two_states) store_quad<kAligned>(pack(s2), table.state2 + at, column, dim);
    store_weights<kAligned>(w, static_cast<Weight*>(table.weights) + at, column, dim, plan.step,
                            id);
  }
}

/// The sum of the squares of the lane's gradients, with decay, for row-wise Adagrad. Columns behind the row's are 0.
__device__ __forceinline__ float sum_of_squares(const OptimizerPlan& plan,
                                                const float4 (&weights)[kLaneQuads],
                                                const float4 (&gradients)[kLaneQuads]) {
  float squares = 0.0f;
#pragma unroll
  for (int q = 0; q < kLaneQuads; ++q) {
    ExactFloat w[4], g[4];
    unpack(weights[q], w);
    unpack(gradients[q], g);
    ExactFloat sum{0.0f};
#pragma unroll
    for (int c = 0; c < 4; ++c) {
      const ExactFloat decayed = decayed_gradient(plan, w[c], g[c]);
      sum = sum + decayed * decayed;
    }
    squares = __fadd_rn(squares, sum.v);
  }
  return squares;
}

/// Brings the sum of one run to its target. sum_pass(first, quads) puts the lane's quads of the pass from
/// column `first` on into `quads`; all lanes that share the row call this together. sync: waits for all of
/// them. writes: whether this lane's group is the one that writes. run: among the table's.
///
/// What is there of the row already is asked for before its sum is taken, which takes long. A row of one pass is read and
/// summed once.
template <bool kAligned, class Weight, class SumPass, class Sync>
__device__ __forceinline__ void finish_run(const MergeTable& table, const OptimizerPlan& plan,
                                           int64_t run, int32_t id, const Lanes& lanes, bool writes,
                                           Sync&& sync, SumPass&& sum_pass) {
  const int dim = table.dim;
  const int pass = pass_columns(lanes);
  const bool updates = table.ids == nullptr;
  const bool rowwise = updates && plan.kind == TT_ROWWISE_ADAGRAD;
  float4 weights[kLaneQuads] = {}, quads[kLaneQuads];
  const auto take = [&](int first) {
    if (updates) load_weights<kAligned, Weight>(table, id, lanes, first, weights);
    sum_pass(first, quads);
  };
  float grown = rowwise ? table.state1[id] : 0.0f;
  take(0);
  if (rowwise) {
    float squares = sum_of_squares(plan, weights, quads);
    for (int first = pass; first < dim; first += pass) {
      take(first);
      squares = __fadd_rn(squares, sum_of_squares(plan, weights, quads));
    }
    grown = __fadd_rn(grown, __fdiv_rn(lanes.sum(squares), static_cast<float>(dim)));
    sync();  // everybody has read the old state
    if (writes && lanes.lane() == 0) table.state1[id] = grown;
    if (pass < dim) take(0);
  }
  if (writes && !updates && lanes.lane() == 0) table.ids[run] = id;
  for (int first = 0; first < dim; first += pass) {
    if (first > 0) take(first);
    if (!writes) continue;
    if (updates) {
      update_quads<kAligned, Weight>(table, plan, id, lanes, first, weights, quads, grown);
      continue;
    }
#pragma unroll
    for (int q = 0; q < kLaneQuads; ++q) {
      store_quad<kAligned>(quads[q], table.values + run * dim, quad_column(lanes, first, q), dim);
    }
  }
}

}  // namespace tt::cuda
