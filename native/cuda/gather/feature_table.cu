// tt_feature_table_create: every offset and value is looked at once, so that ops need not.
#include <algorithm>
#include <string>

#include "context.h"

namespace tt::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocksPerMultiprocessor = 8;
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

/// One array of a table.
struct Check {
  std::string name;
  const int64_t* offsets;  // [rows + 1], or NULL: ids
  const int32_t* ids;
  int64_t rows;  // or the number of ids
  int64_t bound;
  bool listed;  // offsets that are read through lists
};

std::vector<Check> checks_of(const Table& table) {
  std::vector<Check> checks;
  const auto offsets = [&](const std::string& name, const int64_t* p, int64_t rows, int64_t count,
                           bool listed) {
    checks.push_back(Check{name, p, nullptr, rows, count, listed});
  };
  const auto ids = [&](const std::string& name, const int32_t* p, int64_t count, int64_t bound) {
    checks.push_back(Check{name, nullptr, p, count, bound, false});
  };
  if (table.list_offsets != nullptr) {
    offsets("list_offsets", table.list_offsets, table.rows, table.list_count, false);
    ids("list_rows", table.list_rows, table.list_count, table.catalogue_rows);
  }
  for (int32_t f = 0; f < table.feature_count; ++f) {
    const tt_feature& feature = table.features[f];
    const bool listed = feature.through_list == 1;
    const std::string name = format("features[%d].", f);
    if (feature.offsets != nullptr) {
      offsets(name + "offsets", feature.offsets, listed ? table.catalogue_rows : table.rows,
              feature.value_count, listed);
    }
    ids(name + "values", feature.values, feature.value_count, feature.vocabulary);
  }
  return checks;
}

void run(Context& context, const Check& c, Finding* finding) {
  if (c.rows == 0) return;
  const dim3 grid(
      std::min(grid_for(std::min<int64_t>(c.rows, int64_t{1} << 30), kThreads).x,
               static_cast<unsigned>(kBlocksPerMultiprocessor * context.device.multiprocessors)));
  const cudaError_t status = c.offsets != nullptr
                                 ? TT_LAUNCH(check_offsets_kernel, grid, dim3(kThreads), 0,
                                             context.stream, c.offsets, c.rows, c.bound, finding)
                                 : TT_LAUNCH(check_ids_kernel, grid, dim3(kThreads), 0,
                                             context.stream, c.ids, c.rows, c.bound, finding);
  check(status, "checking a feature table");
}

[[noreturn]] void report(Context& context, const Check& c, int64_t place) {
  constexpr const char* kDoing = "checking a feature table";
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

}  // namespace

void table_create(Context& context, const Table* table, void** table_impl) {
  *table_impl = nullptr;  // kernels get the features with each call
  const std::vector<Check> checks = checks_of(*table);
  std::vector<Finding> findings(checks.size(), Finding{kNone, 0});
  const auto count = static_cast<int64_t>(checks.size());
  Scope scope(context.workspace);
  auto* device = scope.get<Finding>(count);
  write(context, findings.data(), count, device, "checking a feature table");
  for (size_t c = 0; c < checks.size(); ++c) run(context, checks[c], device + c);
  read(context, device, count, findings.data(), "checking a feature table");
  for (size_t c = 0; c < checks.size(); ++c) {
    if (findings[c].first != kNone)
      report(context, checks[c], static_cast<int64_t>(findings[c].first));
    const auto longest = static_cast<int64_t>(findings[c].longest);
    if (checks[c].listed && longest > kMostListedValues) {
      unsupported(
          format("%s: a catalogue row with %lld values is longer than the CUDA backend reads "
                 "through a list, %lld.",
                 checks[c].name.c_str(), static_cast<long long>(longest),
                 static_cast<long long>(kMostListedValues)));
    }
  }
}

}  // namespace tt::cuda
