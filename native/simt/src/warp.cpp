// The operations of a warp. Lanes that name the same mask form a group; the one that arrives last does
// the work for all of them.
#include "machine.h"
#include "shadow.h"

namespace simt {

namespace {

constexpr unsigned kAllLanes = 0xffffffffu;

unsigned bit(unsigned lane) {
  return 1u << lane;
}
unsigned lowest(unsigned mask) {
  return static_cast<unsigned>(__builtin_ctz(mask));
}

void nothing(void* const[32], unsigned) {}
const Collective kSyncWarp{"__syncwarp", nothing, false};

Thread& lane_of(const Thread& self, unsigned l) {
  return *machine.threads[(self.id & ~31u) + l];
}

// What a lane may expect of the others in its mask. (A lane that waits in another group may still come,
// if that group is complete without us; where it cannot, the scheduler finds the deadlock.)
void check_mask(const Thread& self, const Warp& warp, unsigned mask, const Collective& kind,
                Where where) {
  const unsigned own = self.id & 31u;
  if ((mask & bit(own)) == 0)
    fail("%s:%d %s by lane %u with mask %08x, which does not contain it", where.file, where.line,
         kind.name, own, mask);
  if (kind.whole_warp && mask != kAllLanes)
    fail("%s:%d %s needs all 32 lanes, this warp has the lanes %08x", where.file, where.line,
         kind.name, warp.exists);
  if ((mask & warp.left) != 0)
    fail("%s:%d %s with mask %08x waits for lane %u, which has left the kernel", where.file,
         where.line, kind.name, mask, lowest(mask & warp.left));
}

Group& group_of(Warp& warp, unsigned mask) {
  for (unsigned i = 0; i < warp.group_count; i++)
    if (warp.groups[i].mask == mask) return warp.groups[i];
  return warp.groups[warp.group_count++] = Group{mask, 0};
}

void check_group(const Thread& self, const Group& group, const Collective& kind, Where where) {
  if (group.arrived == 0) return;
  const unsigned l = lowest(group.arrived);
  const Thread& other = lane_of(self, l);
  if (other.kind != &kind || !same_place(other.where, where))
    fail("divergent warp operation with mask %08x: lane %u is at %s %s:%d, lane %u at %s %s:%d",
         group.mask, self.id & 31u, kind.name, where.file, where.line, l, other.kind->name,
         other.where.file, other.where.line);
}

void complete(Thread& self, Warp& warp, Group& group, const Collective& kind) {
  const unsigned mask = group.mask;
  void* operands[32] = {};
  for (unsigned l = 0; l < 32; l++)
    if ((mask & bit(l)) != 0) operands[l] = lane_of(self, l).operand;
  kind.complete(operands, mask);
  if (&kind == &kSyncWarp) shadow::warp_synced(self.id / 32, mask);
  machine.stats.collectives++;
  progress();
  group = warp.groups[--warp.group_count];
  warp.round[lowest(mask)]++;
  for (unsigned l = 0; l < 32; l++) {
    if ((mask & bit(l)) == 0) continue;
    Thread& other = lane_of(self, l);
    other.wait = Wait::kNothing;
    if (&other != &self) ready_add(other.id);
  }
}

struct ShuffleOperand {
  std::uint64_t in, out;
  int source;
};
void complete_shuffle(void* const operands[32], unsigned mask) {
  for (unsigned l = 0; l < 32; l++) {
    if ((mask & bit(l)) == 0) continue;
    ShuffleOperand& own = *static_cast<ShuffleOperand*>(operands[l]);
    const unsigned source = static_cast<unsigned>(own.source);
    if ((mask & bit(source)) == 0)
      fail("shuffle: lane %u reads lane %u, which is not in mask %08x", l, source, mask);
    own.out = static_cast<ShuffleOperand*>(operands[source])->in;
  }
}
const Collective kShuffle{"shuffle", complete_shuffle, false};

struct VoteOperand {
  std::uint64_t in;
  unsigned out;
};
VoteOperand& vote(void* operand) {
  return *static_cast<VoteOperand*>(operand);
}

void complete_ballot(void* const operands[32], unsigned mask) {
  unsigned result = 0;
  for (unsigned l = 0; l < 32; l++)
    if ((mask & bit(l)) != 0 && vote(operands[l]).in != 0) result |= bit(l);
  for (unsigned l = 0; l < 32; l++)
    if ((mask & bit(l)) != 0) vote(operands[l]).out = result;
}
const Collective kBallot{"vote", complete_ballot, false};

unsigned equal_lanes(void* const operands[32], unsigned mask, std::uint64_t value) {
  unsigned result = 0;
  for (unsigned l = 0; l < 32; l++)
    if ((mask & bit(l)) != 0 && vote(operands[l]).in == value) result |= bit(l);
  return result;
}
void complete_match_any(void* const operands[32], unsigned mask) {
  for (unsigned l = 0; l < 32; l++)
    if ((mask & bit(l)) != 0)
      vote(operands[l]).out = equal_lanes(operands, mask, vote(operands[l]).in);
}
const Collective kMatchAny{"__match_any_sync", complete_match_any, false};

void complete_match_all(void* const operands[32], unsigned mask) {
  const bool all = equal_lanes(operands, mask, vote(operands[lowest(mask)]).in) == mask;
  for (unsigned l = 0; l < 32; l++)
    if ((mask & bit(l)) != 0) vote(operands[l]).out = all ? mask : 0;
}
const Collective kMatchAll{"__match_all_sync", complete_match_all, false};

unsigned combine(Reduction reduction, unsigned a, unsigned b) {
  switch (reduction) {
    case Reduction::kAdd:
      return a + b;
    case Reduction::kMin:
      return a < b ? a : b;
    case Reduction::kMax:
      return a > b ? a : b;
    case Reduction::kMinSigned:
      return static_cast<int>(a) < static_cast<int>(b) ? a : b;
    case Reduction::kMaxSigned:
      return static_cast<int>(a) > static_cast<int>(b) ? a : b;
    case Reduction::kAnd:
      return a & b;
    case Reduction::kOr:
      return a | b;
    case Reduction::kXor:
      return a ^ b;
  }
  return 0;
}
struct ReduceOperand {
  unsigned in, out;
  Reduction reduction;
};
void complete_reduce(void* const operands[32], unsigned mask) {
  const auto operand = [&](unsigned l) -> ReduceOperand& {
    return *static_cast<ReduceOperand*>(operands[l]);
  };
  unsigned result = operand(lowest(mask)).in;
  for (unsigned l = lowest(mask) + 1; l < 32; l++)
    if ((mask & bit(l)) != 0) result = combine(operand(l).reduction, result, operand(l).in);
  for (unsigned l = 0; l < 32; l++)
    if ((mask & bit(l)) != 0) operand(l).out = result;
}
const Collective kReduce{"__reduce_sync", complete_reduce, false};

unsigned vote_of(unsigned mask, std::uint64_t in, const Collective& kind, Where where) {
  VoteOperand operand{in, 0};
  collective(mask, kind, &operand, where);
  return operand.out;
}

}  // namespace

void collective(unsigned mask, const Collective& kind, void* operand, Where where) {
  Thread& self = *machine.current;
  Warp& warp = machine.warps[self.id / 32];
  mask &= warp.exists;  // a last warp may be cut short by the block's size
  check_mask(self, warp, mask, kind, where);
  Group& group = group_of(warp, mask);
  check_group(self, group, kind, where);
  self.wait = Wait::kCollective;
  self.where = where;
  self.mask = mask;
  self.kind = &kind;
  self.operand = operand;
  group.arrived |= bit(self.id & 31u);
  if (group.arrived != mask) {
    park();
    return;
  }
  complete(self, warp, group, kind);
  if (machine.options.seed != 0) stay_ready();  // in step, the last one just goes on
}

void sync_warp(unsigned mask, Where where) {
  // Only this one orders memory; shuffles and votes do not. Rounds alternate between addresses, or a lane
  // that is late to leave would also acquire what others released at the next one.
  const Thread& self = *machine.current;
  Warp& warp = machine.warps[self.id / 32];
  const unsigned group = (mask & warp.exists) != 0 ? lowest(mask & warp.exists) : 0;
  char* point = &warp.sync_point[group][warp.round[group] % 4];
  Fiber::release(point);
  collective(mask, kSyncWarp, nullptr, where);
  Fiber::acquire(point);
}

std::uint64_t shuffle(unsigned mask, std::uint64_t bits, int source_lane, Where where) {
  ShuffleOperand operand{bits, 0, source_lane};
  collective(mask, kShuffle, &operand, where);
  return operand.out;
}

unsigned ballot(unsigned mask, bool predicate, Where where) {
  return vote_of(mask, predicate ? 1 : 0, kBallot, where);
}
unsigned match_any(unsigned mask, std::uint64_t bits, Where where) {
  return vote_of(mask, bits, kMatchAny, where);
}
unsigned match_all(unsigned mask, std::uint64_t bits, Where where) {
  return vote_of(mask, bits, kMatchAll, where);
}

unsigned reduce(unsigned mask, unsigned value, Reduction reduction, Where where) {
  ReduceOperand operand{value, 0, reduction};
  collective(mask, kReduce, &operand, where);
  return operand.out;
}

}  // namespace simt
