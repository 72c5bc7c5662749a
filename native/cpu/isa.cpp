#include "isa.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace tt::cpu {
namespace {

constexpr Isa kWeakestFirst[] = {Isa::portable, Isa::avx2, Isa::avx512};

uint32_t bit(Isa isa) {
  return 1u << static_cast<int32_t>(isa);
}

bool machine_has(Isa isa) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  switch (isa) {
    case Isa::portable:
      return true;
    case Isa::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
             __builtin_cpu_supports("f16c");
    case Isa::avx512:
      return machine_has(Isa::avx2) && __builtin_cpu_supports("avx512f") &&
             __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
             __builtin_cpu_supports("avx512dq");
  }
  return false;
#else
  return isa == Isa::portable;
#endif
}

Isa from_environment(const char* name) {
  for (const Isa isa : kWeakestFirst) {
    if (std::strcmp(name, isa_name(isa)) == 0) return isa;
  }
  bad_argument("TWINTAIL_ISA", "portable, avx2 or avx512", std::string(name));
}

std::string listed(uint32_t isas) {
  std::string names;
  for (const Isa isa : kWeakestFirst) {
    if ((isas & bit(isa)) == 0) continue;
    names += names.empty() ? "" : ", ";
    names += isa_name(isa);
  }
  return names;
}

}  // namespace

uint32_t available_isas() {
  static const uint32_t isas = [] {
    uint32_t found = 0;
    for (const Isa isa : kWeakestFirst) found |= machine_has(isa) ? bit(isa) : 0;
    return found;
  }();
  return isas;
}

Isa choose_isa(int32_t asked) {
  Isa wanted = Isa::portable;
  const char* variable = std::getenv("TWINTAIL_ISA");
  if (asked != TT_ISA_BEST) {
    wanted = static_cast<Isa>(asked);
  } else if (variable != nullptr && variable[0] != '\0') {
    wanted = from_environment(variable);
  } else {
    for (const Isa isa : kWeakestFirst) {
      if ((available_isas() & bit(isa)) != 0) wanted = isa;
    }
  }
  if ((available_isas() & bit(wanted)) == 0) {
    unsupported(format("This machine cannot run %s kernels; it has %s.", isa_name(wanted),
                       listed(available_isas()).c_str()));
  }
  return wanted;
}

// Having the instruction is not enough: on Sapphire Rapids vdpbf16ps takes so long that half as many products
// are summed a cycle as by float's multiply-add, on Zen 4 and 5 twice as many. It must be the vendor that
// decides and not a stopwatch, since results have other bits.
bool has_bfloat16(Isa isa) {
#if defined(__x86_64__)
  const char* variable = std::getenv("TWINTAIL_BFLOAT16");
  const bool given = variable != nullptr && variable[0] != '\0';
  if (given && std::strcmp(variable, "0") != 0 && std::strcmp(variable, "1") != 0) {
    bad_argument("TWINTAIL_BFLOAT16", "0 or 1", std::string(variable));
  }
  if (isa != Isa::avx512 || !__builtin_cpu_supports("avx512bf16")) return false;
  return given ? variable[0] == '1' : __builtin_cpu_is("amd") != 0;
#else
  (void)isa;
  return false;
#endif
}

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::portable:
      return "portable";
    case Isa::avx2:
      return "avx2";
    case Isa::avx512:
      return "avx512";
  }
  return "unknown";
}

std::string processor_name() {
  std::FILE* file = std::fopen("/proc/cpuinfo", "re");
  std::string name;
  if (file != nullptr) {
    char line[256];
    while (name.empty() && std::fgets(line, sizeof line, file) != nullptr) {
      if (std::strncmp(line, "model name", 10) != 0) continue;
      const char* colon = std::strchr(line, ':');
      if (colon != nullptr) name = colon + 1;
    }
    std::fclose(file);
  }
  const size_t first = name.find_first_not_of(" \t\n");
  if (first == std::string::npos) {
#if defined(__x86_64__)
    return "x86-64 processor";
#else
    return "processor";
#endif
  }
  return name.substr(first, name.find_last_not_of(" \t\n") - first + 1);
}

}  // namespace tt::cpu

uint32_t tt_cpu_isa_available(void) {
  return tt::cpu::available_isas();
}
