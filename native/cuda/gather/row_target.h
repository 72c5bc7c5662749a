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

/// Updates the quad of a row that begins at `column`. grown: row-wise Adagrad's new state.
template <bool kAligned, class Weight>
__device__ __forceinline__ void update_quad(const MergeTable& table, const OptimizerPlan& plan,
                                            int32_t id, int column, float4 gradient, float grown) {
  const int dim = table.dim;
  const int64_t at = int64_t{id} * dim;
  Weight* weights = static_cast<Weight*>(table.weights) + at;
  ExactFloat w[4], g[4], s1[4], s2[4];
  unpack(load_quad<kAligned>(weights, column, dim), w);
  unpack(gradient, g);
  switch (plan.kind) {
    case TT_SGD:
#pragma unroll
      for (int c = 0; c < 4; ++c) sgd_step(plan, w[c], g[c]);
      break;
    case TT_ADAGRAD:
      unpack(load_quad<kAligned>(table.state1 + at, column, dim), s1);
#pragma unroll
      for (int c = 0; c < 4; ++c) adagrad_step(plan, w[c], g[c], s1[c]);
      store_quad<kAligned>(pack(s1), table.state1 + at, column, dim);
      break;
    case TT_ROWWISE_ADAGRAD:
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        rowwise_adagrad_step(plan, w[c], decayed_gradient(plan, w[c], g[c]), grown);
      }
      break;
    case TT_ADAM:
      unpack(load_quad<kAligned>(table.state1 + at, column, dim), s1);
      unpack(load_quad<kAligned>(table.state2 + at, column, dim), s2);
#pragma unroll
      for (int c = 0; c < 4; ++c) adam_step(plan, w[c], g[c], s1[c], s2[c]);
      store_quad<kAligned>(pack(s1), table.state1 + at, column, dim);
      store_quad<kAligned>(pack(s2), table.state2 + at, column, dim);
      break;
  }
  store_weights<kAligned>(w, weights, column, dim, plan.step, id);
}

/// The sum of the squares of the quad's gradient, for row-wise Adagrad.
template <bool kAligned, class Weight>
__device__ __forceinline__ float quad_squares(const MergeTable& table, const OptimizerPlan& plan,
                                              int32_t id, int column, float4 gradient) {
  if (column >= table.dim) return 0.0f;
  const Weight* weights = static_cast<const Weight*>(table.weights) + int64_t{id} * table.dim;
  ExactFloat w[4], g[4];
  unpack(load_quad<kAligned>(weights, column, table.dim), w);
  unpack(gradient, g);
  ExactFloat sum{0.0f};
#pragma unroll
  for (int c = 0; c < 4; ++c) {  // columns behind dim are 0
    const ExactFloat decayed = decayed_gradient(plan, w[c], g[c]);
    sum = sum + decayed * decayed;
  }
  return sum.v;
}

/// Brings the sum of one run to its target. sum_pass(first, quads) puts the lane's quads of the pass from
/// column `first` on into `quads`; all lanes that share the row call this together. sync: waits for all of
/// them. writes: whether this lane's group is the one that writes. run: among the table's.
template <bool kAligned, class Weight, class SumPass, class Sync>
__device__ __forceinline__ void finish_run(const MergeTable& table, const OptimizerPlan& plan,
                                           int64_t run, int32_t id, const Lanes& lanes, bool writes,
                                           Sync&& sync, SumPass&& sum_pass) {
  const int dim = table.dim;
  const int pass = pass_columns(lanes);
  const bool rowwise = table.ids == nullptr && plan.kind == TT_ROWWISE_ADAGRAD;
  float4 quads[kLaneQuads];
  float grown = 0.0f;
  if (rowwise) {
    const float before = table.state1[id];  // asked for before the sum, which takes long
    float squares = 0.0f;
    for (int first = 0; first < dim; first += pass) {
      sum_pass(first, quads);
#pragma unroll
      for (int q = 0; q < kLaneQuads; ++q) {
        squares = __fadd_rn(squares, quad_squares<kAligned, Weight>(
                                         table, plan, id, quad_column(lanes, first, q), quads[q]));
      }
    }
    grown = __fadd_rn(before, __fdiv_rn(lanes.sum(squares), static_cast<float>(dim)));
    sync();  // everybody has read the old state
    if (writes && lanes.lane() == 0) table.state1[id] = grown;
  }
  if (writes && table.ids != nullptr && lanes.lane() == 0) table.ids[run] = id;
  for (int first = 0; first < dim; first += pass) {
    if (!rowwise || dim > pass) sum_pass(first, quads);  // else they are still there
    if (!writes) continue;
#pragma unroll
    for (int q = 0; q < kLaneQuads; ++q) {
      const int column = quad_column(lanes, first, q);
      if (column >= dim) continue;
      if (table.ids != nullptr) {
        store_quad<kAligned>(quads[q], table.values + run * dim, column, dim);
      } else {
        update_quad<kAligned, Weight>(table, plan, id, column, quads[q], grown);
      }
    }
  }
}

}  // namespace tt::cuda
