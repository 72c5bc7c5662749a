// 2^f on [0, 1], degree 5 with p(0) = 1: minimax in relative error (Remez), 8.2e-8. The interval
// starts at 0 because then the constant term is exact in float; on [-1/2, 1/2] it would have to be
// 1.000000072, and rounding that costs as much as the whole approximation.
#ifndef TWINTAIL_CPU_LOSS_EXP2_CONSTANTS_H
#define TWINTAIL_CPU_LOSS_EXP2_CONSTANTS_H

namespace tt::cpu::loss {
namespace {

// Highest power first.
alignas(64) constexpr float kExp2[6] = {1.867130072e-03f, 9.017030316e-03f, 5.579991311e-02f,
                                        2.401644502e-01f, 6.931513118e-01f, 1.0f};

}  // namespace
}  // namespace tt::cpu::loss
#endif
