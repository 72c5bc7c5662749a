// tt_feature_table_create: every offset and value is looked at once, so that ops need not; how long rows can
// be is kept, so that ops need not wait to learn how long they are.
#include "gather/table_facts.h"

#include <algorithm>
#include <memory>
#include <string>

#include "context.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 8;
constexpr const char* kDoing = "checking a feature table";
constexpr uint64_t kNone = ~uint64_t{0};
// A warp counts the values of 32 catalogue rows in 31 bits.
constexpr int64_t kMostListedValues = (int64_t{1} << 26) - 1;

/// What a check finds: the place of the first mistake, and the longest row.
struct Finding {
  unsigned long long first;    // kNone: no mistake
  unsigned long long longest;  // of offsets only
};

// Place 0: the first offset is not 0; r in [1, rows]: offset r is below the one before it; rows + 1: the last
// offset is not `count`.
__global__ void __launch_bounds__(kThreads)
    check_offsets_kernel(const int64_t* offsets, int64_t rows, int64_t count, Finding* finding) {
  unsigned long long first = kNone, longest = 0;
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t r = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; r < rows; r += step) {
    const int64_t before = offsets[r], length = offsets[r + 1] - before;
    unsigned long long place = kNone;
    if (r == rows - 1 && before + length != count)
      place = static_cast<unsigned long long>(rows) + 1;
    if (length < 0) place = static_cast<unsigned long long>(r) + 1;
    if (r == 0 && before != 0) place = 0;
    first = min(first, place);
    if (length > 0) longest = max(longest, static_cast<unsigned long long>(length));
  }
  if (first != kNone) atomicMin(&finding->first, first);
  if (longest != 0) atomicMax(&finding->longest, longest);
}

__global__ void __launch_bounds__(kThreads)
    check_ids_kernel(const int32_t* ids, int64_t count, int64_t bound, Finding* finding) {
  const int64_t step = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x; i < count;
       i += step) {
    if (ids[i] >= 0 && ids[i] < bound) continue;
    atomicMin(&finding->first, static_cast<unsigned long long>(i));
    return;  // its later ones are no earlier
  }
}

// The most values that a row has through its list; a warp a row. All has been checked.
__global__ void __launch_bounds__(kThreads)
    longest_listed_kernel(const int64_t* list_offsets, const int32_t* list_rows, int64_t rows,
                          const int64_t* offsets, unsigned long long* longest) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t step = static_cast<int64_t>(gridDim.x) * (kThreads / 32);
  int64_t most = 0;
  for (int64_t r = static_cast<int64_t>(blockIdx.x) * (kThreads / 32) + threadIdx.x / 32; r < rows;
       r += step) {
    int64_t values = 0;
    for (int64_t i = list_offsets[r] + lane; i < list_offsets[r + 1]; i += 32)
      values += offsets[list_rows[i] + 1] - offsets[list_rows[i]];
#pragma unroll
    for (int other = 16; other > 0; other /= 2)
      values += __shfl_xor_sync(0xFFFFFFFFu, values, other);
    most = max(most, values);
  }
  if (lane == 0 && most != 0) atomicMax(longest, static_cast<unsigned long long>(most));
}

/// One array of a table.
struct Check {
  std::string name;
  const int64_t* offsets;  // [rows + 1], or NULL: ids
  const int32_t* ids;
  int64_t rows;  // or the number of ids
  int64_t bound;
  int32_t feature;  // whose offsets they are, or -1
};

std::vector<Check> checks_of(const Table& table) {
  std::vector<Check> checks;
  const auto offsets = [&](const std::string& name, const int64_t* p, int64_t rows, int64_t count,
                           int32_t feature) {
    checks.push_back(Check{name, p, nullptr, rows, count, feature});
  };
  const auto ids = [&](const std::string& name, const int32_t* p, int64_t count, int64_t bound) {
    checks.push_back(Check{name, nullptr, p, count, bound, -1});
  };
  if (table.list_offsets != nullptr) {
    offsets("list_offsets", table.list_offsets, table.rows, table.list_count, -1);
    ids("list_rows", table.list_rows, table.list_count, table.catalogue_rows);
  }
  for (int32_t f = 0; f < table.feature_count; ++f) {
    const tt_feature& feature = table.features[f];
    const bool listed = feature.through_list == 1;
    const std::string name = format("features[%d].", f);
    if (feature.offsets != nullptr) {
      offsets(name + "offsets", feature.offsets, listed ? table.catalogue_rows : table.rows,
              feature.value_count, f);
    }
    ids(name + "values", feature.values, feature.value_count, feature.vocabulary);
  }
  return checks;
}

/// For so many threads, at least one, but no more blocks than fill the device.
dim3 filling_grid(const Context& context, int64_t threads) {
  return dim3(
      std::min(grid_for(std::min<int64_t>(threads, int64_t{1} << 30), kThreads).x,
               static_cast<unsigned>(kBlocksPerMultiprocessor * context.device.multiprocessors)));
}

void run(Context& context, const Check& c, Finding* finding) {
  if (c.rows == 0) return;
  const dim3 grid = filling_grid(context, c.rows);
  const cudaError_t status = c.offsets != nullptr
                                 ? TT_LAUNCH(check_offsets_kernel, grid, dim3(kThreads), 0,
                                             context.stream, c.offsets, c.rows, c.bound, finding)
                                 : TT_LAUNCH(check_ids_kernel, grid, dim3(kThreads), 0,
                                             context.stream, c.ids, c.rows, c.bound, finding);
  check(status, kDoing);
}

[[noreturn]] void report(Context& context, const Check& c, int64_t place) {
  const auto name = [&](int64_t i) {
    return format("%s[%lld]", c.name.c_str(), static_cast<long long>(i));
  };
  if (c.offsets == nullptr) {
    int32_t id = 0;
    read(context, c.ids + place, 1, &id, kDoing);
    bad_argument(name(place), format("an id in [0, %lld)", static_cast<long long>(c.bound)),
                 int64_t{id});
  }
  if (place == 0 || place > c.rows) {
    const int64_t i = place == 0 ? 0 : c.rows;
    int64_t offset = 0;
    read(context, c.offsets + i, 1, &offset, kDoing);
    bad_argument(name(i),
                 place == 0 ? std::string("0")
                            : format("%lld, the number of values", static_cast<long long>(c.bound)),
                 offset);
  }
  int64_t pair[2] = {};
  read(context, c.offsets + place - 1, 2, pair, kDoing);
  bad_argument(name(place),
               format("at least %lld, the offset before it", static_cast<long long>(pair[0])),
               pair[1]);
}

/// Runs all checks; throws the first mistake.
std::vector<Finding> run_all(Context& context, const std::vector<Check>& checks) {
  std::vector<Finding> findings(checks.size(), Finding{kNone, 0});
  const auto count = static_cast<int64_t>(checks.size());
  Scope scope(context.workspace);
  auto* device = scope.get<Finding>(count);
  write(context, findings.data(), count, device, kDoing);
  for (size_t c = 0; c < checks.size(); ++c) run(context, checks[c], device + c);
  read(context, device, count, findings.data(), kDoing);
  for (size_t c = 0; c < checks.size(); ++c) {
    if (findings[c].first != kNone)
      report(context, checks[c], static_cast<int64_t>(findings[c].first));
  }
  return findings;
}

/// The longest rows of features that have several values for each row of a list.
std::vector<unsigned long long> longest_listed(Context& context, const Table& table) {
  const auto count = static_cast<int64_t>(table.feature_count);
  std::vector<unsigned long long> longest(static_cast<size_t>(count), 0);
  Scope scope(context.workspace);
  auto* device = scope.get<unsigned long long>(count);
  write(context, longest.data(), count, device, kDoing);
  for (int32_t f = 0; f < table.feature_count; ++f) {
    const tt_feature& feature = table.features[f];
    if (feature.through_list == 0 || feature.offsets == nullptr) continue;
    check(TT_LAUNCH(longest_listed_kernel, filling_grid(context, 32 * table.rows), dim3(kThreads),
                    0, context.stream, table.list_offsets, table.list_rows, table.rows,
                    feature.offsets, device + f),
          kDoing);
  }
  read(context, device, count, longest.data(), kDoing);
  return longest;
}

void check_listed(const std::string& name, int64_t longest) {
  if (longest <= kMostListedValues) return;
  unsupported(format(
      "%s: a catalogue row with %lld values is longer than the CUDA backend reads "
      "through a list, %lld.",
      name.c_str(), static_cast<long long>(longest), static_cast<long long>(kMostListedValues)));
}

int64_t device_bytes() {
  size_t free_bytes = 0, total = 0;
  check(cudaMemGetInfo(&free_bytes, &total), kDoing);
  return static_cast<int64_t>(total);
}

}  // namespace

void table_create(Context& context, const Table* table, void** table_impl) {
  *table_impl = nullptr;
  const std::vector<Check> checks = checks_of(*table);
  const std::vector<Finding> findings = run_all(context, checks);
  auto facts = std::make_unique<TableFacts>();
  facts->device_bytes = device_bytes();
  facts->longest.assign(static_cast<size_t>(table->feature_count), 1);
  for (size_t c = 0; c < checks.size(); ++c) {
    const auto longest = static_cast<int64_t>(findings[c].longest);
    if (checks[c].feature < 0) continue;
    facts->longest[static_cast<size_t>(checks[c].feature)] = longest;
    if (table->features[checks[c].feature].through_list != 0) check_listed(checks[c].name, longest);
  }
  if (table->list_offsets != nullptr) {
    const auto longest_list = static_cast<int64_t>(findings[0].longest);
    const std::vector<unsigned long long> longest = longest_listed(context, *table);
    for (int32_t f = 0; f < table->feature_count; ++f) {
      const tt_feature& feature = table->features[f];
      if (feature.through_list == 0) continue;
      facts->longest[static_cast<size_t>(f)] =
          feature.offsets == nullptr ? longest_list
                                     : static_cast<int64_t>(longest[static_cast<size_t>(f)]);
    }
  }
  *table_impl = facts.release();
}

void table_destroy(void*, void* table_impl) {
  delete static_cast<TableFacts*>(table_impl);
}

}  // namespace tt::cuda
