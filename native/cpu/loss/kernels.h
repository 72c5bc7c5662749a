// The inner loops of the losses, one table of functions per instruction set, and the layouts that
// they agree on with solve.cpp.
//
// Rows are queries, columns are candidates. Rows are worked on in tiles of `tile_rows`, columns in
// panels of `panel_columns` (two vectors); both are padded up. One block of rows at a time goes
// through
//   scores         t = <unit query, unit candidate> * scale, in units of log 2, and at once
//                  e = 2^(t + bias) with its row sums; the block of e is kept in cache, unnormalised;
//   row_products   U_i = sum_j e_ij c_j, panel by panel while e is hot;
//   column_products V_j += sum_i e_ij a_i, when the rows' sums are known (a_i: the scaled query).
// Three products of 2 n m d flops and one exponential: nothing is recomputed.
//
// This header holds no inline code on purpose: it is included by files compiled for different
// instruction sets.
#ifndef TWINTAIL_CPU_LOSS_KERNELS_H
#define TWINTAIL_CPU_LOSS_KERNELS_H

#include <cstdint>

namespace tt::cpu::loss {

/// How scores turn into what is stored and summed; e = 2^(t + bias).
enum class Epilogue {
  sum,          // row sums of e
  sum_store,    // the same, e is stored
  sum_columns,  // the same, nothing stored, column sums too
  online,  // row sums relative to a running maximum of each lane, for ranges that float cannot hold
  given_row,       // e 2^-row_shift; row sums, stored
  given_both,      // e (row_factor + column_factor) stored
  given_both_wide  // e (row_factor 2^-row_shift + column_factor 2^-column_shift) stored
};
constexpr int kEpilogues = 7;

/// One block of rows against some panels of columns.
struct ScoreArgs {
  const void* queries;  // first row of the block; rows of query_stride operand elements
  int64_t query_stride;
  int row_tiles;
  const void* candidates;  // first panel: [depth][panel_columns] operand elements a panel
  int panels;
  int depth;                // operand elements: d, or half of it where two bfloat16 make one
  const float* bias;        // [panels * panel_columns]; 2^bias for sum, sum_store, sum_columns and
                            // given_both, whose ranges are narrow
  const uint32_t* dropped;  // [panels][rows of the block]: bit c set where column c of the panel
                            // is no part of that row's sum
  const uint8_t* marked;    // [panels][row_tiles]: whether the tile has any such bit
  float* sums;              // [rows][lanes], added to
  float* maxima;            // [rows][lanes], online only
  float* column_sums;       // [panels * panel_columns], added to; sum_columns only
  const float* row_shift;   // [rows]
  const float* row_factor;  // [rows]
  const float* column_shift;   // [panels * panel_columns]
  const float* column_factor;  // [panels * panel_columns]
  void* weights;               // e for row_products: [panels][rows][panel_columns] floats; as
                               // bfloat16, two neighbouring columns are one operand element
  const void* upcoming;        // what row_products will read, rows of upcoming_stride operand
  int64_t upcoming_stride;     // elements; asked for on the way. Or NULL
  void* weight_pairs;          // e for column_products where that needs another layout:
                               // [panels][rows / 2][panel_columns], two rows an element
};

/// out[rows][width] += weights * operand, both kinds of product; = where it is fresh.
struct ProductArgs {
  const void* weights;
  int row_tiles;        // of the block
  int panels;           // row_products: in weights; column_products: 1
  const void* operand;  // row_products: candidates [columns or pairs][stride]; column_products:
                        // scaled queries [rows or pairs][stride]
  int64_t stride;       // operand elements, a multiple of 16
  int width;            // floats, a multiple of 16, at most stride
  float* out;           // rows of out_stride floats, 64-byte aligned
  int64_t out_stride;
  bool fresh;
};

/// Unit vectors of some rows of a user's matrix, laid out for the kernels.
struct PackArgs {
  const float* source;  // [count][d], any alignment
  int64_t count;        // rows that are there; missing ones become zero
  int d;
  int width;       // d rounded up to a multiple of 16
  int64_t stride;  // of rows_out in operand elements
  float scale;
  bool round;           // round operands to bfloat16 though they are stored as float
  float* inverse_norm;  // [count], out: 0 for the zero vector
  void* rows;   // queries: [tile_rows][stride]; candidates: [panel_columns or pairs][stride]
  void* panel;  // candidates: [depth][panel_columns]
};

/// factor * unit queries of a block, for column_products.
struct ScaleArgs {
  const float* source;  // [count][d]
  int64_t count;
  int rows;  // of the block, those beyond count become zero
  int d;
  int width;
  int64_t stride;
  bool round;
  const float* inverse_norm;  // [count]
  const float* factor;        // [count]
  void* out;                  // [rows or pairs][stride]
};

struct Kernels {
  int tile_rows;
  int panel_columns;
  int lanes;
  bool pairs;  // operand elements are pairs of bfloat16 (4 bytes either way)

  void (*scores[kEpilogues])(const ScoreArgs&);
  void (*row_products)(const ProductArgs&);     // weights of `panels` panels, all rows
  void (*column_products)(const ProductArgs&);  // weights of one panel, all rows
  void (*pack_queries)(const PackArgs&);        // one row tile
  void (*pack_candidates)(const PackArgs&);     // one panel
  void (*scale_queries)(const ScaleArgs&);

  double (*dot)(const float* x, const float* y, int d);
  /// sum = a * sum + b * x. sum: aligned and padded, x: [d].
  void (*accumulate)(float* sum, float a, const float* x, int d, float b);
  /// The Jacobian of normalisation: out = factor * (g - (g . u) u), u = inverse_norm * x, and
  /// returns g . u. out may be NULL.
  double (*project)(const float* g, const float* x, int d, float inverse_norm, float factor,
                    float* out);
  /// sum over lanes of sums * 2^(maxima - *maximum), *maximum = the largest of maxima.
  /// maxima NULL: plain sum.
  double (*reduce)(const float* sums, const float* maxima, float* maximum);
};

const Kernels& portable_kernels();
#if defined(__x86_64__)
const Kernels& avx2_kernels();
const Kernels& avx512_kernels();
const Kernels& avx512bf16_kernels();
#endif

}  // namespace tt::cpu::loss
#endif
