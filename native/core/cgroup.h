// What the control groups of this process, of version 1 or 2, leave to it.
#ifndef TWINTAIL_CORE_CGROUP_H
#define TWINTAIL_CORE_CGROUP_H

#include <cstdint>
#include <string>

namespace tt {

// The tightest limit of the process's group and of those above it counts. root: put before /proc and /sys, for
// tests. What cannot be read or understood limits nothing.

/// The CPU quota in processors, rounded up; 0 without one.
int cgroup_processors(const std::string& root = "");

/// Bytes of memory that can still be had; -1 without a limit.
int64_t cgroup_memory(const std::string& root = "");

}  // namespace tt
#endif
