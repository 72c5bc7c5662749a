// The CPU's part of a feature table: what a look at its contents tells once for
// all ops.
#ifndef TWINTAIL_CPU_FEATURE_TABLE_H
#define TWINTAIL_CPU_FEATURE_TABLE_H

#include <cstdint>

#include "context.h"
#include "packed_rows.h"

namespace tt::cpu {

struct TableFacts {
  TableFacts(Context& context, const Table& table)
      : direct(context, table, 0, table.rows), listed(context, table, 1, table.catalogue_rows) {}

  PackedRows direct;          // features of the table's own rows
  PackedRows listed;          // features of the catalogue that the lists point into
  int64_t longest_list = 0;   // of any row
  uint64_t through_list = 0;  // bit f: feature f is read through the lists
};

inline const TableFacts& facts_of(const Table& table) {
  return *static_cast<const TableFacts*>(table.impl);
}

}  // namespace tt::cpu
#endif
