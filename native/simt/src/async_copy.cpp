// cp.async: the bookkeeping of what is under way. (ptx.h moves the bytes, in the kernel's own code.)
// The data arrives as late as the PTX memory model allows: when the issuing thread waits for its group.
#include "machine.h"
#include "shadow.h"

namespace simt {

void async_copy_check(const AsyncCopy& copy, Where where) {
  const auto aligned = [&](const void* p) {
    return reinterpret_cast<std::uintptr_t>(p) % static_cast<unsigned>(copy.bytes) == 0;
  };
  if (!aligned(copy.to) || !aligned(copy.from))
    fail("%s:%d cp.async of %d bytes from %p to %p: not aligned", where.file, where.line,
         copy.bytes, copy.from, copy.to);
  if (!is_shared(copy.to, static_cast<std::size_t>(copy.bytes)))
    fail("%s:%d cp.async to %s, which is not in this block's shared memory", where.file, where.line,
         describe_address(copy.to).c_str());
  if (is_shared(copy.from, 1))
    fail("%s:%d cp.async from shared memory, expected global", where.file, where.line);
}

void async_copy_start(const AsyncCopy& copy) {
  machine.current->copies.push_back(copy);
  shadow::copy_started(copy);
}

void async_copy_commit() {
  Thread& self = *machine.current;
  self.group_ends.push_back(self.copies.size());
}

std::size_t async_copy_ready(int left) {
  const Thread& self = *machine.current;
  const std::size_t groups = self.group_ends.size(), keep = static_cast<std::size_t>(left);
  const std::size_t count = groups <= keep ? 0 : self.group_ends[groups - keep - 1];
  for (std::size_t i = 0; i < count; i++) shadow::copy_arrives(self.copies[i]);
  return count;
}

AsyncCopy async_copy_at(std::size_t i) {
  return machine.current->copies[i];
}

void async_copy_done(std::size_t count) {
  Thread& self = *machine.current;
  self.copies.erase(self.copies.begin(), self.copies.begin() + static_cast<std::ptrdiff_t>(count));
  std::size_t finished = 0;
  while (finished < self.group_ends.size() && self.group_ends[finished] <= count) finished++;
  self.group_ends.erase(self.group_ends.begin(),
                        self.group_ends.begin() + static_cast<std::ptrdiff_t>(finished));
  for (std::size_t& end : self.group_ends) end -= count;
}

}  // namespace simt
