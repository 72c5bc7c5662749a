// tt_pair_counts: where few pairs are possible a counter for each, else all pairs of all rows, sorted.
#include <algorithm>

#include "context.h"
#include "gather/radix_sort.h"
#include "gather/scan.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = kScanThreads;
constexpr int kLanes = 8;  // of a row
constexpr int kBlockPlaces = 8 * kThreads;
constexpr int64_t kMostCells = 1 << 24;  // of a full table of counts
constexpr int64_t kMostPairs = (int64_t{1} << 32) - 1;
constexpr const char* kDoing = "pair_counts";

using Count = unsigned long long;

/// One feature's values in rows [row_begin, row_begin + rows).
struct Values {
  const int32_t* values;
  const int64_t* offsets;  // NULL: one value a row
  const uint8_t*
      first;  // of value offsets[row_begin] + i: it is not in its row before. NULL without offsets
  int64_t origin;  // offsets[row_begin]

  /// Of a row: its number of values, or 1 for the default.
  __device__ __forceinline__ int64_t count(int64_t row) const {
    if (offsets == nullptr) return 1;
    return max(int64_t{1}, offsets[row + 1] - offsets[row]);
  }
  /// Value i of a row; -1: it was there before.
  __device__ __forceinline__ int32_t get(int64_t row, int64_t i) const {
    if (offsets == nullptr) return values[row];
    const int64_t at = offsets[row] + i;
    if (at == offsets[row + 1]) return 0;  // the default
    return first[at - origin] != 0 ? values[at] : -1;
  }
};

struct Rows {
  Values a, b;
  int64_t begin, count;
};

/// kLanes threads a row.
__global__ void __launch_bounds__(kThreads)
    mark_first_kernel(const int64_t* offsets, const int32_t* values, int64_t begin, int64_t rows,
                      int64_t origin, uint8_t* first) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t row = begin + thread / kLanes;
  if (row >= begin + rows) return;
  const int64_t start = offsets[row], end = offsets[row + 1];
  for (int64_t i = start + thread % kLanes; i < end; i += kLanes) {
    bool is_first = true;
    for (int64_t j = start; j < i && is_first; ++j) is_first = values[j] != values[i];
    first[i - origin] = is_first ? 1 : 0;
  }
}

/// Calls use(a, b) for the thread's share of its row's pairs; kLanes threads a row.
template <class Use>
__device__ __forceinline__ void for_pairs(const Rows& rows, Use use) {
  const int64_t thread = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (thread / kLanes >= rows.count) return;
  const int64_t row = rows.begin + thread / kLanes;
  const int64_t of_a = rows.a.count(row), of_b = rows.b.count(row);
  // Pair i of the row is (i / of_b, i % of_b), but a division of 64-bit numbers is a call, with spills around it.
  int64_t at_a = 0, at_b = thread % kLanes;
  while (true) {
    for (; at_b >= of_b; at_b -= of_b) ++at_a;
    if (at_a >= of_a) break;
    const int32_t a = rows.a.get(row, at_a), b = rows.b.get(row, at_b);
    if (a >= 0 && b >= 0) use(thread / kLanes, a, b);
    at_b += kLanes;
  }
}

__global__ void __launch_bounds__(kThreads)
    count_cells_kernel(Rows rows, int64_t vocabulary_b, Count* cells) {
  for_pairs(rows, [&](int64_t, int32_t a, int32_t b) {
    atomicAdd(cells + (a * vocabulary_b + b), Count{1});
  });
}

/// lengths [rows], zero before: the number of each row's pairs.
__global__ void __launch_bounds__(kThreads) count_pairs_kernel(Rows rows, Count* lengths) {
  Count own = 0;
  int64_t row = 0;
  for_pairs(rows, [&](int64_t r, int32_t, int32_t) {
    row = r;
    ++own;
  });
  if (own != 0) atomicAdd(lengths + row, own);
}

/// places [rows]: where a row's pairs begin; afterwards where they end. Their order in a row is lost in sorting.
__global__ void __launch_bounds__(kThreads)
    list_pairs_kernel(Rows rows, Count* places, uint32_t* keys, uint32_t* values) {
  for_pairs(rows, [&](int64_t row, int32_t a, int32_t b) {
    const Count at = atomicAdd(places + row, Count{1});
    keys[at] = static_cast<uint32_t>(b);
    values[at] = static_cast<uint32_t>(a);
  });
}

/// The cells that count something, as pairs: kMostCells at most, so that 32 bits number them.
struct Cells {
  const Count* counts;
  uint32_t vocabulary_b;
  int32_t* values_a;
  int32_t* values_b;
  int64_t* out;

  __device__ __forceinline__ bool has(int64_t cell) const { return counts[cell] != 0; }
  __device__ __forceinline__ void put(int64_t cell, int64_t place) const {
    const auto number = static_cast<uint32_t>(cell);
    values_a[place] = static_cast<int32_t>(number / vocabulary_b);
    values_b[place] = static_cast<int32_t>(number % vocabulary_b);
    out[place] = static_cast<int64_t>(counts[cell]);
  }
};

/// The first of equal pairs in sorted ones.
struct Heads {
  const uint32_t* a;
  const uint32_t* b;
  int32_t* values_a;
  int32_t* values_b;
  uint32_t* starts;

  __device__ __forceinline__ bool has(int64_t i) const {
    return i == 0 || a[i] != a[i - 1] || b[i] != b[i - 1];
  }
  __device__ __forceinline__ void put(int64_t i, int64_t place) const {
    values_a[place] = static_cast<int32_t>(a[i]);
    values_b[place] = static_cast<int32_t>(b[i]);
    starts[place] = static_cast<uint32_t>(i);
  }
};

/// blocks [grid]: how many of a block's places the source has.
template <class Source>
__global__ void __launch_bounds__(kThreads)
    count_kernel(Source source, int64_t places, int64_t* blocks) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kBlockPlaces;
  int own = 0, total = 0;
  for (int i = static_cast<int>(threadIdx.x); i < kBlockPlaces; i += kThreads) {
    if (begin + i < places && source.has(begin + i)) ++own;
  }
  block_exclusive_sum(own, total);
  if (threadIdx.x == 0) blocks[blockIdx.x] = total;
}

/// Puts what the source has, in order. blocks: the sums of those before.
template <class Source>
__global__ void __launch_bounds__(kThreads)
    put_kernel(Source source, int64_t places, const int64_t* blocks) {
  const int64_t begin = static_cast<int64_t>(blockIdx.x) * kBlockPlaces;
  int64_t place = blocks[blockIdx.x];
  for (int first = 0; first < kBlockPlaces; first += kThreads) {
    const int64_t i = begin + first + static_cast<int>(threadIdx.x);
    const bool has = i < places && source.has(i);
    int total = 0;
    const int before = block_exclusive_sum(has ? 1 : 0, total);
    if (has) source.put(i, place + before);
    place += total;
  }
}

__global__ void __launch_bounds__(kThreads)
    count_runs_kernel(const uint32_t* starts, int64_t runs, int64_t pairs, int64_t* counts) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i < runs) counts[i] = (i + 1 < runs ? int64_t{starts[i + 1]} : pairs) - starts[i];
}

/// Where the result goes.
struct Output {
  int64_t capacity;
  int32_t* values_a;  // NULL: only the number is wanted
  int32_t* values_b;
  int64_t* counts;
  int64_t* pair_count;
};

/// Numbers what the source has, and checks the room; `blocks` gets the sums that put() needs.
template <class Source>
void number(Context& context, Zeroed& zeroed, const Source& source, int64_t places, int64_t* blocks,
            const Output& out) {
  const dim3 grid = grid_for(places, kBlockPlaces);
  check(TT_LAUNCH((count_kernel<Source>), grid, dim3(kThreads), 0, context.stream, source, places,
                  blocks),
        kDoing);
  exclusive_scan(context, zeroed, blocks, grid.x, blocks + grid.x);
  read(context, blocks + grid.x, 1, out.pair_count, kDoing);
  if (out.values_a == nullptr || *out.pair_count <= out.capacity) return;
  bad_argument("capacity",
               format("at least %lld, the distinct pairs", static_cast<long long>(*out.pair_count)),
               out.capacity);
}

template <class Source>
void put(Context& context, const Source& source, int64_t places, const int64_t* blocks) {
  check(TT_LAUNCH((put_kernel<Source>), grid_for(places, kBlockPlaces), dim3(kThreads), 0,
                  context.stream, source, places, blocks),
        kDoing);
}

int64_t* block_sums(Scope& scope, int64_t places) {
  return scope.get<int64_t>((places + kBlockPlaces - 1) / kBlockPlaces + 1);
}

void zero(Context& context, Count* counts, int64_t count) {
  check(cudaMemsetAsync(counts, 0, static_cast<size_t>(count) * sizeof(Count), context.stream),
        kDoing);
}

void count_in_table(Context& context, Scope& scope, const Rows& rows, int64_t cells,
                    int64_t vocabulary_b, const Output& out) {
  auto* counts = scope.get<Count>(cells);
  zero(context, counts, cells);
  check(TT_LAUNCH(count_cells_kernel, grid_for(rows.count * kLanes, kThreads), dim3(kThreads), 0,
                  context.stream, rows, vocabulary_b, counts),
        kDoing);
  const Cells source{counts, static_cast<uint32_t>(vocabulary_b), out.values_a, out.values_b,
                     out.counts};
  Zeroed zeroed(context, scope);
  int64_t* blocks = block_sums(scope, cells);
  number(context, zeroed, source, cells, blocks, out);
  if (out.values_a != nullptr) put(context, source, cells, blocks);
}

int bits_of(int32_t vocabulary) {
  int bits = 1;
  while (int64_t{1} << bits < vocabulary) ++bits;
  return bits;
}

void count_sorted(Context& context, Scope& scope, const Rows& rows, int32_t vocabulary_a,
                  int32_t vocabulary_b, const Output& out) {
  const dim3 grid = grid_for(rows.count * kLanes, kThreads);
  auto* places = scope.get<Count>(rows.count + 1);
  zero(context, places, rows.count);
  check(TT_LAUNCH(count_pairs_kernel, grid, dim3(kThreads), 0, context.stream, rows, places),
        kDoing);
  auto* signed_places = reinterpret_cast<int64_t*>(places);
  Zeroed zeroed(context, scope);
  exclusive_scan(context, zeroed, signed_places, rows.count, signed_places + rows.count);
  int64_t pairs = 0;
  read(context, signed_places + rows.count, 1, &pairs, kDoing);
  if (pairs > kMostPairs) {
    unsupported(
        format("The rows have %lld pairs of values; the CUDA backend sorts up to %lld at a "
               "time. Count fewer rows at once.",
               static_cast<long long>(pairs), static_cast<long long>(kMostPairs)));
  }
  const auto two = [&] {
    return KeysAndValues{scope.get<uint32_t>(pairs), scope.get<uint32_t>(pairs)};
  };
  KeysAndValues by_b = two(), spare = two();
  check(TT_LAUNCH(list_pairs_kernel, grid, dim3(kThreads), 0, context.stream, rows, places,
                  by_b.keys, by_b.values),
        kDoing);
  const KeysAndValues sorted_b =
      radix_sort(context, scope, zeroed, by_b, spare, pairs, bits_of(vocabulary_b));
  if (sorted_b.keys == spare.keys) spare = by_b;
  const KeysAndValues by_a{sorted_b.values, sorted_b.keys};  // stable: b stays ascending
  const KeysAndValues sorted =
      radix_sort(context, scope, zeroed, by_a, spare, pairs, bits_of(vocabulary_a));

  const bool wanted = out.values_a != nullptr;
  uint32_t* starts = wanted ? scope.get<uint32_t>(std::min(pairs, out.capacity)) : nullptr;
  const Heads source{sorted.keys, sorted.values, out.values_a, out.values_b, starts};
  int64_t* blocks = block_sums(scope, pairs);
  number(context, zeroed, source, pairs, blocks, out);
  if (!wanted) return;
  put(context, source, pairs, blocks);
  check(TT_LAUNCH(count_runs_kernel, grid_for(*out.pair_count, kThreads), dim3(kThreads), 0,
                  context.stream, starts, *out.pair_count, pairs, out.counts),
        kDoing);
}

Values make_values(Context& context, Scope& scope, const tt_feature& feature, int64_t begin,
                   int64_t rows) {
  if (feature.offsets == nullptr) return Values{feature.values, nullptr, nullptr, 0};
  int64_t origin = 0, end = 0;
  read(context, feature.offsets + begin, 1, &origin, kDoing);
  read(context, feature.offsets + begin + rows, 1, &end, kDoing);
  auto* first = scope.get<uint8_t>(end - origin);
  check(TT_LAUNCH(mark_first_kernel, grid_for(rows * kLanes, kThreads), dim3(kThreads), 0,
                  context.stream, feature.offsets, feature.values, begin, rows, origin, first),
        kDoing);
  return Values{feature.values, feature.offsets, first, origin};
}

}  // namespace

void pair_counts(Context& context, const Table* table, int32_t feature_a, int32_t feature_b,
                 int64_t row_begin, int64_t row_end, int64_t capacity, int32_t* values_a,
                 int32_t* values_b, int64_t* counts, int64_t* pair_count) {
  *pair_count = 0;
  const int64_t count = row_end - row_begin;
  if (count == 0) return;
  const tt_feature& a = table->features[feature_a];
  const tt_feature& b = table->features[feature_b];
  Scope scope(context.workspace);
  const Rows rows{make_values(context, scope, a, row_begin, count),
                  make_values(context, scope, b, row_begin, count), row_begin, count};
  const Output out{capacity, values_a, values_b, counts, pair_count};
  const int64_t cells = int64_t{a.vocabulary} * b.vocabulary;
  if (cells <= std::min(kMostCells, 16 * std::max<int64_t>(count, 1024)))
    count_in_table(context, scope, rows, cells, b.vocabulary, out);
  else
    count_sorted(context, scope, rows, a.vocabulary, b.vocabulary, out);
}

}  // namespace tt::cuda
