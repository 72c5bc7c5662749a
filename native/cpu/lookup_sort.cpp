#include "lookup_sort.h"

#include <algorithm>
#include <cstring>

namespace tt::cpu {
namespace {

constexpr int64_t kPartitionLookups = 2048;  // wanted on average, where that leaves enough of them
constexpr int64_t kFewestLookups = 512;      // for all threads to have some
constexpr int64_t kPartitionsPerThread = 8;  // of each table
constexpr int64_t kMostPartitions = 8192;    // of one table
constexpr int64_t kInsertionSort = 48;       // faster than counting up to here
constexpr int kMostDigitBits = 9;

void insertion_sort(Lookup* lookups, int64_t count) {
  for (int64_t i = 1; i < count; ++i) {
    const Lookup lookup = lookups[i];
    int64_t j = i;
    for (; j > 0 && lookup_id(lookups[j - 1]) > lookup_id(lookup); --j) lookups[j] = lookups[j - 1];
    lookups[j] = lookup;
  }
}

/// One stable counting pass on the digit of `bits` bits at `shift`.
void digit_sort(const Lookup* from, Lookup* to, int64_t count, int shift, int bits) {
  uint32_t offsets[1 << kMostDigitBits];
  const uint32_t digits = 1u << bits;
  std::fill(offsets, offsets + digits, 0);
  const auto digit = [shift, digits](Lookup lookup) {
    return (lookup >> (32 + shift)) & (digits - 1);
  };
  for (int64_t i = 0; i < count; ++i) ++offsets[digit(from[i])];
  uint32_t sum = 0;
  for (uint32_t d = 0; d < digits; ++d) {
    const uint32_t here = offsets[d];
    offsets[d] = sum;
    sum += here;
  }
  for (int64_t i = 0; i < count; ++i) to[offsets[digit(from[i])]++] = from[i];
}

}  // namespace

LookupSort::LookupSort(Context& context, ArenaScope& scope, int32_t tables,
                       const int64_t* id_bounds, int64_t blocks)
    : context_(context), scope_(scope), tables_(tables), id_bounds_(id_bounds), blocks_(blocks) {
  const auto cells = static_cast<size_t>(blocks * tables);
  capacity_ = scope.get<int64_t>(cells);
  region_ = scope.get<int64_t>(cells);
  cursors_ = scope.get<Writer::Cursor>(cells);
  shifts_ = scope.get<int32_t>(static_cast<size_t>(tables));
  table_partitions_ = scope.get<int64_t>(static_cast<size_t>(tables) + 1);
  std::fill(capacity_, capacity_ + cells, 0);
}

void LookupSort::allocate() {
  int64_t total = 0;
  table_partitions_[0] = 0;
  for (int32_t t = 0; t < tables_; ++t) {
    const int64_t before = total;
    for (int64_t b = 0; b < blocks_; ++b) {
      region_[b * tables_ + t] = total;
      total += capacity(b, t) + kSlack;
    }
    const int64_t lookups = total - before;
    if (lookups > int64_t{UINT32_MAX})  // offsets of 32 bits
      unsupported(format("%lld lookups of one table in one call; at most %lld",
                         static_cast<long long>(lookups), static_cast<long long>(UINT32_MAX)));
    const int64_t for_all =
        std::min(lookups / kFewestLookups, kPartitionsPerThread * context_.pool.threads());
    const int64_t wanted =
        std::clamp(std::max(lookups / kPartitionLookups, for_all), int64_t{1}, kMostPartitions);
    shifts_[t] = 0;
    while (((id_bounds_[t] - 1) >> shifts_[t]) + 1 > wanted) ++shifts_[t];
    table_partitions_[t + 1] = table_partitions_[t] + 2 + ((id_bounds_[t] - 1) >> shifts_[t]);
  }
  partitions_ = table_partitions_[tables_];
  from_ = scope_.get<Lookup>(static_cast<size_t>(total) + kLookupReadAhead);
  to_ = scope_.get<Lookup>(static_cast<size_t>(total) + kLookupReadAhead);
  counts_ = scope_.get<uint32_t>(static_cast<size_t>(blocks_ * partitions_));
  partition_begin_ = scope_.get<int64_t>(static_cast<size_t>(partitions_) + 1);
}

LookupSort::Writer LookupSort::writer(int64_t block) {
  Writer writer;
  writer.cursors_ = cursors_ + block * tables_;
  for (int32_t t = 0; t < tables_; ++t) {
    writer.cursors_[t] = Writer::Cursor{from_ + region_[block * tables_ + t]};
  }
  return writer;
}

void LookupSort::written(int64_t block) {
  uint32_t* counts = counts_ + block * partitions_;
  std::memset(counts, 0, static_cast<size_t>(partitions_) * sizeof(uint32_t));
  for (int32_t t = 0; t < tables_; ++t) {
    const Lookup* end = cursors_[block * tables_ + t].next;
    const int64_t first = table_partitions_[t];
    const int32_t shift = shifts_[t];
    for (const Lookup* at = from_ + region_[block * tables_ + t]; at < end; ++at) {
      ++counts[first + partition_of(lookup_id(*at), shift)];
    }
  }
}

int32_t LookupSort::table_of(int64_t partition) const {
  const int64_t* found =
      std::upper_bound(table_partitions_, table_partitions_ + tables_, partition);
  return static_cast<int32_t>(found - table_partitions_) - 1;
}

/// Turns the counts of each block into offsets inside the partitions, and finds where those begin.
void LookupSort::place() {
  constexpr int64_t kStrip = 256;
  context_.pool.run((partitions_ + kStrip - 1) / kStrip, [&](int64_t strip, int) {
    const int64_t begin = strip * kStrip;
    const int64_t end = std::min(partitions_, begin + kStrip);
    uint32_t sums[kStrip] = {};
    for (int64_t b = 0; b < blocks_; ++b) {
      uint32_t* counts = counts_ + b * partitions_;
      for (int64_t p = begin; p < end; ++p) {
        const uint32_t here = counts[p];
        counts[p] = sums[p - begin];
        sums[p - begin] += here;
      }
    }
    for (int64_t p = begin; p < end; ++p) partition_begin_[p + 1] = sums[p - begin];
  });
  partition_begin_[0] = 0;
  for (int64_t p = 0; p < partitions_; ++p) partition_begin_[p + 1] += partition_begin_[p];
}

void LookupSort::scatter() {
  context_.pool.run(blocks_, [&](int64_t b, int) {
    uint32_t* offsets = counts_ + b * partitions_;
    for (int32_t t = 0; t < tables_; ++t) {
      const Lookup* end = cursors_[b * tables_ + t].next;
      const int64_t first = table_partitions_[t];
      const int32_t shift = shifts_[t];
      for (const Lookup* at = from_ + region_[b * tables_ + t]; at < end; ++at) {
        const int64_t p = first + partition_of(lookup_id(*at), shift);
        to_[partition_begin_[p] + offsets[p]++] = *at;
      }
    }
  });
}

void LookupSort::sort_partition(int64_t partition) {
  const int32_t t = table_of(partition);
  const int64_t count = size(partition);
  if (partition == table_partitions_[t] || count < 2) return;
  Lookup* lookups = to_ + partition_begin_[partition];
  if (count <= kInsertionSort) return insertion_sort(lookups, count);
  Lookup* other = from_ + partition_begin_[partition];
  Lookup* from = lookups;
  // As few passes as the widest digit allows, with digits as narrow as they then may be.
  const int passes = (shifts_[t] + kMostDigitBits - 1) / kMostDigitBits;
  for (int pass = 0; pass < passes; ++pass) {
    const int bits = (shifts_[t] + passes - 1) / passes;
    digit_sort(from, other, count, pass * bits, bits);
    std::swap(from, other);
  }
  if (from != lookups) {
    std::memcpy(lookups, from, static_cast<size_t>(count) * sizeof(Lookup));
  }
}

void LookupSort::sort() {
  place();
  scatter();
  context_.pool.run(partitions_, [&](int64_t p, int) { sort_partition(p); });
}

}  // namespace tt::cpu
