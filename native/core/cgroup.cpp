#include "cgroup.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <limits>

namespace tt {
namespace {

// Version 1 says "no limit" by the largest number of whole pages.
constexpr int64_t kNoLimit = int64_t{1} << 60;

/// What of a group's memory is given up under pressure, in version 1 with the groups below it as in version 2.
constexpr const char* kReclaimable1[] = {"total_inactive_file", "total_active_file"};
constexpr const char* kReclaimable2[] = {"inactive_file", "active_file", "slab_reclaimable"};

std::FILE* open(const std::string& path) {
  return std::fopen(path.c_str(), "re");
}

/// The number that a file consists of, or -1: also for version 2's "max".
int64_t read_number(const std::string& path) {
  std::FILE* file = open(path);
  if (file == nullptr) return -1;
  int64_t number = -1;
  if (std::fscanf(file, "%" SCNd64, &number) != 1) number = -1;
  std::fclose(file);
  return std::max<int64_t>(number, -1);
}

/// The sum of these keys of a file of "key number" lines.
template <size_t N>
int64_t sum_of(const std::string& path, const char* const (&keys)[N]) {
  std::FILE* file = open(path);
  if (file == nullptr) return 0;
  int64_t sum = 0, number = 0;
  char key[128];
  while (std::fscanf(file, "%127s %" SCNd64, key, &number) == 2) {
    const auto is_key = [&](const char* name) { return std::strcmp(key, name) == 0; };
    if (number > 0 && number < kNoLimit && std::any_of(keys, keys + N, is_key)) sum += number;
  }
  std::fclose(file);
  return sum;
}

/// Whether a list with commas between its names has that one.
bool has_name(const std::string& list, const std::string& name) {
  return ("," + list + ",").find("," + name + ",") != std::string::npos;
}

/// Calls f(folder, version) for the process's group and every one above it up to the mount's root. In a container the
/// mount's root may be the group itself, while its path is still told as the host sees it: folders that are not there
/// are to be passed over, and the root is always among the calls.
template <class F>
void for_groups(const std::string& root, const char* controller, F&& f) {
  const std::string mounts = root + "/sys/fs/cgroup";
  const auto climb = [&](const std::string& mount, std::string path, int version) {
    // A group outside of this namespace.
    if (path.find("/..") != std::string::npos) path.clear();
    while (!path.empty()) {
      if (path != "/") f(mount + path, version);
      path.erase(std::min(path.rfind('/'), path.size()));
    }
    f(mount, version);
  };
  std::string path2, path1 = "/", name1 = controller;
  if (std::FILE* file = open(root + "/proc/self/cgroup")) {
    char line[4096 + 256];
    while (std::fgets(line, sizeof line, file) != nullptr) {  // hierarchy:controllers:path
      const std::string text(line, std::strcspn(line, "\n"));
      const size_t first = text.find(':');
      const size_t second = first == std::string::npos ? first : text.find(':', first + 1);
      if (second == std::string::npos || text.compare(second + 1, 1, "/") != 0) continue;
      const std::string controllers = text.substr(first + 1, second - first - 1);
      if (controllers.empty()) {
        path2 = text.substr(second + 1);
      } else if (has_name(controllers, controller)) {
        path1 = text.substr(second + 1);
        name1 = controllers;
      }
    }
    std::fclose(file);
  }
  climb(mounts, path2, 2);
  climb(mounts + "/unified", path2, 2);  // beside version 1's
  climb(mounts + "/" + controller, path1, 1);
  if (name1 != controller) climb(mounts + "/" + name1, path1, 1);
}

}  // namespace

int cgroup_processors(const std::string& root) {
  int64_t least = 0;
  for_groups(root, "cpu", [&](const std::string& folder, int version) {
    int64_t quota = -1, period = -1;
    if (version == 1) {
      quota = read_number(folder + "/cpu.cfs_quota_us");
      if (quota > 0) period = read_number(folder + "/cpu.cfs_period_us");
    } else if (std::FILE* file = open(folder + "/cpu.max")) {  // "max 100000" without a limit
      if (std::fscanf(file, "%" SCNd64 " %" SCNd64, &quota, &period) != 2) quota = -1;
      std::fclose(file);
    }
    if (quota <= 0 || period <= 0 || quota > kNoLimit) return;
    const int64_t processors = quota / period + (quota % period != 0 ? 1 : 0);
    if (least == 0 || processors < least) least = processors;
  });
  return static_cast<int>(std::min<int64_t>(least, std::numeric_limits<int>::max()));
}

int64_t cgroup_memory(const std::string& root) {
  int64_t least = -1;
  for_groups(root, "memory", [&](const std::string& folder, int version) {
    const bool old = version == 1;
    const int64_t limit = read_number(folder + (old ? "/memory.limit_in_bytes" : "/memory.max"));
    if (limit < 0 || limit >= kNoLimit) return;
    const int64_t used = read_number(folder + (old ? "/memory.usage_in_bytes" : "/memory.current"));
    if (used < 0) return;
    const std::string stat = folder + "/memory.stat";
    const int64_t reclaimable =
        std::min(used, old ? sum_of(stat, kReclaimable1) : sum_of(stat, kReclaimable2));
    const int64_t left = std::max<int64_t>(0, limit - (used - reclaimable));
    if (least < 0 || left < least) least = left;
  });
  return least;
}

}  // namespace tt
