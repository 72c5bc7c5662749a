// What the CUDA backend knows of a feature table beyond its description: found once, when it is created.
#pragma once

#include <cstdint>
#include <vector>

#include "backend.h"

namespace tt::cuda {

struct TableFacts {
  std::vector<int64_t> longest;  // of each feature: the most values that a row has
  int64_t device_bytes;          // of memory in all
};

inline const TableFacts& facts_of(const Table& table) {
  return *static_cast<const TableFacts*>(table.impl);
}

}  // namespace tt::cuda
