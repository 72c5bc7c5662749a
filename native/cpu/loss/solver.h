// Solves one Problem: packs, runs the passes of its form, finishes.
#ifndef TWINTAIL_CPU_LOSS_SOLVER_H
#define TWINTAIL_CPU_LOSS_SOLVER_H

#include <cstdint>

#include "context.h"
#include "kernels.h"
#include "masks.h"
#include "pass.h"
#include "plan.h"
#include "problem.h"

namespace tt::cpu::loss {

/// One direction's softmax of one row, its positive's term apart from the others'.
struct RowTerm {
  double loss;   // log(1 + negatives / positive): exact also where it is tiny
  double share;  // negatives / (negatives + positive) = 1 - p(positive)
};
/// Both arguments in units of log 2; log2_negatives is -infinity where nothing else is left.
RowTerm row_term(double log2_negatives, double log2_positive);

class Solver {
 public:
  Solver(Context& context, const Problem& problem);
  void run();

 private:
  // solver.cpp
  void weigh();
  void take_packed(View& view, bool panels, bool rows);
  void pack();
  void pack_panel(const View& view, int64_t panel);
  void link_positives();
  void finish_columns();
  void finish_totals();

  double weight(int64_t i) const;
  /// weight(i) over the largest, times a power of two: what stands for it inside float sums.
  double relative_weight(int64_t i) const { return weight(i) * relative_; }
  int64_t positive(int64_t i) const {
    return problem_.positives != nullptr ? problem_.positives[i] : i;
  }
  double positive_cosine(int64_t i) const;
  double column_bias(int64_t j) const;
  void write_row(int64_t i, double loss, double cosine);
  void finish_row(int64_t i, float* u, double scale, double coefficient);

  // directed.cpp: one softmax a row
  void solve_directed();
  PassInput directed_input(Epilogue epilogue) const;
  void directed_row(const Block& block, int r, bool gradient);
  // symmetric.cpp: rows and columns
  void solve_symmetric();
  void symmetric_sums(double* row_log2, double* column_log2);
  void symmetric_term(int64_t i, double row_log2, double column_log2);

  const Problem& problem_;
  Pool& pool_;
  bool round_;
  const Kernels& kernels_;
  const Plan plan_;
  const Range range_;
  ArenaScope scope_;
  Pass pass_;

  bool rows_wanted_ = false;     // gradients that need U
  bool columns_wanted_ = false;  // gradients that need V
  double largest_weight_ = 0, relative_ = 0;
  float out_factor_ = 0;  // turns sums of relative weights into gradients of total

  View queries_, candidates_;
  float* bias_ = nullptr;         // [columns]: column_bias, or 2^column_bias unless range_.wide
  float* v_ = nullptr;            // [strands][columns][width]
  double* row_loss_ = nullptr;    // [n]
  double* along_ = nullptr;       // [n] or [m]: terms of the temperature's gradient
  float* coefficient_ = nullptr;  // [n]: of the positive in both gradients
  Duplicates duplicates_;
  int64_t* first_row_ = nullptr;  // [m], [n]: rows of a positive, as linked lists
  int64_t* next_row_ = nullptr;
  float *row_shift_ = nullptr, *row_factor_ = nullptr;        // [rows]
  float *column_shift_ = nullptr, *column_factor_ = nullptr;  // [columns]
};

}  // namespace tt::cpu::loss
#endif
