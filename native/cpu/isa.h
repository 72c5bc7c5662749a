// Which instruction sets this machine and build can run.
#ifndef TWINTAIL_CPU_ISA_H
#define TWINTAIL_CPU_ISA_H

#include <cstdint>
#include <string>

#include "context.h"

namespace tt::cpu {

/// Bit set of 1 << tt_isa.
uint32_t available_isas();

/// The instruction set for a context: `asked` (tt_isa), or for TT_ISA_BEST the environment variable
/// TWINTAIL_ISA, or the best there is. Throws TT_UNSUPPORTED if the machine lacks it.
Isa choose_isa(int32_t asked);

/// Whether bfloat16 operands are multiplied as such: where that is faster, or as the environment variable
/// TWINTAIL_BFLOAT16 (0, 1) says where the instructions are there. Otherwise they are rounded, but
/// multiplied as floats.
bool has_bfloat16(Isa isa);

/// "portable", "avx2", "avx512"
const char* isa_name(Isa isa);

/// The processor's name as it gives it, or the architecture's.
std::string processor_name();

}  // namespace tt::cpu
#endif
