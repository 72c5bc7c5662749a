// float operands of the products: one element is one float.
#ifndef TWINTAIL_CPU_LOSS_OPERANDS_FLOAT_H
#define TWINTAIL_CPU_LOSS_OPERANDS_FLOAT_H

#include <cstdint>

namespace tt::cpu::loss {
namespace {

/// kTileRows: rows of a score tile, which is two vectors wide; with 2 kTileRows accumulators it
/// fills the register file. kProductVectors: widest slice of a product's result.
template <class V, int kRowsOfTile, int kWidestProduct>
struct FloatOperands {
  using Vec = V;
  using T = typename V::T;
  using Element = float;
  using Operand = T;
  static constexpr bool kPairs = false;
  static constexpr int kTileRows = kRowsOfTile;
  static constexpr int kProductVectors = kWidestProduct;

  static Operand load(const Element* p) { return V::load(p); }
  static Operand broadcast(const Element* p) { return V::set1(*p); }
  static T multiply(Operand a, Operand b) { return V::mul(a, b); }
  static T madd(T sum, Operand a, Operand b) { return V::fma(a, b, sum); }
  static T madd_loaded(T sum, Operand a, const Element* b) { return V::fma_loaded(a, b, sum); }

  /// Floats k.. of one row.
  static void store_row(Element* row, int k, T v) { V::store(row + k, v); }
  /// Floats k.. of rows 2 r and 2 r + 1 of a matrix that a product runs down.
  static void store_rows(Element* matrix, int64_t stride, int r, int k, T even, T odd) {
    V::store(matrix + (2 * r) * stride + k, even);
    V::store(matrix + (2 * r + 1) * stride + k, odd);
  }
  /// Two rows of a score tile's exponentials, two vectors each. Both products read one copy.
  static void store_weights(Element* weights, Element*, int row, const T (&even)[2],
                            const T (&odd)[2]) {
    constexpr int kColumns = 2 * V::kLanes;
    V::store(weights + row * kColumns, even[0]);
    V::store(weights + row * kColumns + V::kLanes, even[1]);
    V::store(weights + (row + 1) * kColumns, odd[0]);
    V::store(weights + (row + 1) * kColumns + V::kLanes, odd[1]);
  }
};

}  // namespace
}  // namespace tt::cpu::loss
#endif
