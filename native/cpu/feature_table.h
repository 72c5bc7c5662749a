// The CPU's part of a feature table: what a look at its contents tells once for all ops.
#ifndef TWINTAIL_CPU_FEATURE_TABLE_H
#define TWINTAIL_CPU_FEATURE_TABLE_H

#include <cstdint>

#include "context.h"

namespace tt::cpu {

struct TableFacts {
  int64_t longest_list = 0;   // of any row
  uint64_t through_list = 0;  // bit f: feature f is read through the lists
};

inline const TableFacts& facts_of(const Table& table) {
  return *static_cast<const TableFacts*>(table.impl);
}

}  // namespace tt::cpu
#endif
