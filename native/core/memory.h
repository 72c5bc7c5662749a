// Host memory from the system, for workspaces and tt_alloc on the CPU.
#ifndef TWINTAIL_CORE_MEMORY_H
#define TWINTAIL_CORE_MEMORY_H

#include <cstddef>
#include <cstdint>

namespace tt {

/// Bytes that the process can still get: the machine's available memory and swap, cut to what the
/// cgroups leave. -1 if the system does not tell.
int64_t available_memory();

/// Zeroed memory, 64-byte aligned; in 2 MiB pages (where offered) from 1 MiB on. `what` is named in
/// the error. Asking for more than available_memory() fails at once: overcommit would otherwise let
/// the process be killed later.
void* map_memory(size_t bytes, const char* what);
void unmap_memory(void* memory, size_t bytes) noexcept;

}  // namespace tt
#endif
