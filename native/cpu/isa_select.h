// Picks the table of kernels that was compiled for a context's instruction set.
#ifndef TWINTAIL_CPU_ISA_SELECT_H
#define TWINTAIL_CPU_ISA_SELECT_H

#include "context.h"

namespace tt::cpu {

/// TT_SELECT(context.isa, kGather) is kGatherPortable, kGatherAvx2 or kGatherAvx512. Processors other
/// than x86-64 have the portable one only.
#if defined(__x86_64__)
#define TT_SELECT(isa, name)                      \
  ((isa) == ::tt::cpu::Isa::avx512 ? name##Avx512 \
   : (isa) == ::tt::cpu::Isa::avx2 ? name##Avx2   \
                                   : name##Portable)
#else
#define TT_SELECT(isa, name) (static_cast<void>(isa), name##Portable)
#endif

}  // namespace tt::cpu
#endif
