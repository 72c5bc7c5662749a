#include "loss/pass.h"

namespace tt::cuda::loss {

int balanced_splits(int64_t blocks, int64_t slots, int64_t most) {
  const int64_t fill = slots / blocks, limit = fill + 8 < most ? fill + 8 : most;
  int64_t best = 1;
  double best_busy = 0.0;
  for (int64_t splits = 1; splits <= limit; splits++) {
    const int64_t all = blocks * splits, rounds = (all + slots - 1) / slots;
    const double busy = static_cast<double>(all) / static_cast<double>(rounds * slots);
    if (busy <= best_busy) continue;
    best = splits;
    best_busy = busy;
    if (busy >= 0.95) break;
  }
  return static_cast<int>(best);
}

}  // namespace tt::cuda::loss
