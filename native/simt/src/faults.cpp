// A kernel's access to a guard page, to freed memory or through a wild pointer raises SIGSEGV. Here it
// becomes a failure of the kernel; other faults go to whoever handled them before.
#include <dlfcn.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <cstdio>
#include <cstdlib>

#include "machine.h"
#include "shadow.h"

namespace simt {

namespace {

struct Fault {
  const void* address = nullptr;
  const void* code = nullptr;
  bool write = false;
};
Fault fault;
struct sigaction previous;

constexpr std::size_t kScratchBytes = 256 * 1024;
alignas(16) char scratch_stack
    [kScratchBytes];  // the faulting thread's own stack may be what overflowed

// Where the faulting thread goes on instead: no signal is being handled any more.
[[noreturn]] void fail_after_fault() {
  fail("%s %s\n  in %s", fault.write ? "writes" : "reads", describe_address(fault.address).c_str(),
       describe_code(fault.code).c_str());
}

bool is_kernel(const void* address, const void* stack_pointer) {
  const Thread* thread = machine.current;
  return thread != nullptr &&
         (thread->fiber.owns(stack_pointer) || thread->fiber.overflowed_into(address));
}

void on_fault(int signal, siginfo_t* info, void* context) {
  greg_t* registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  if (is_kernel(info->si_addr, reinterpret_cast<void*>(registers[REG_RSP]))) {
    fault.address = info->si_addr;
    fault.code = reinterpret_cast<void*>(registers[REG_RIP]);
    fault.write = (registers[REG_ERR] & 2) != 0;
    registers[REG_RIP] = reinterpret_cast<greg_t>(&fail_after_fault);
    registers[REG_RSP] =
        reinterpret_cast<greg_t>(scratch_stack + kScratchBytes - 8);  // as after a call
    return;
  }
  const std::string memory = describe_device_address(info->si_addr);
  if (!memory.empty())
    std::fprintf(stderr, "simt: host code touches device memory, %s\n  in %s\n", memory.c_str(),
                 describe_code(reinterpret_cast<void*>(registers[REG_RIP])).c_str());
  if ((previous.sa_flags & SA_SIGINFO) != 0 && previous.sa_sigaction != nullptr) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    ::signal(signal, SIG_DFL);  // the access is repeated, and now ends the process
  }
}

// Signals run on a stack of their own, because the fault may be an overflow. One per host thread.
void use_signal_stack() {
  thread_local bool done = false;
  if (done) return;
  done = true;
  stack_t current = {};
  if (sigaltstack(nullptr, &current) == 0 && (current.ss_flags & SS_DISABLE) == 0) return;
  constexpr std::size_t kBytes = 64 * 1024;
  void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  current.ss_sp = memory;
  current.ss_size = kBytes;
  current.ss_flags = 0;
  sigaltstack(&current, nullptr);
}

}  // namespace

void watch_faults() {
  if (shadow::kAsan) return;  // which has its own handler
  use_signal_stack();
  static const bool installed = [] {
    struct sigaction action = {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    return sigaction(SIGSEGV, &action, &previous) == 0;
  }();
  static_cast<void>(installed);
}

std::string describe_address(const void* p) {
  std::string text = describe_shared_address(p);
  if (text.empty()) text = describe_device_address(p);
  if (!text.empty()) return text;
  for (const auto& thread : machine.threads) {
    if (thread->fiber.overflowed_into(p))
      return format("below its stack: stack overflow (address %p)", p);
    if (thread->fiber.owns(p)) return format("the stack of thread %u (address %p)", thread->id, p);
  }
  return format(reinterpret_cast<std::uintptr_t>(p) < 65536
                    ? "through a null pointer (address %p)"
                    : "memory that the device does not have (address %p)",
                p);
}

std::string describe_code(const void* pc) {
  Dl_info where = {};
  if (dladdr(pc, &where) == 0 || where.dli_fname == nullptr) return format("code at %p", pc);
  const auto offset = static_cast<const char*>(pc) - static_cast<const char*>(where.dli_fbase);
  std::string text;
  if (!machine.options.locate_code) return format("%s+0x%tx", where.dli_fname, offset);
  const std::string command = format("addr2line -sCfpie '%s' 0x%tx 2> /dev/null", where.dli_fname,
                                     static_cast<std::ptrdiff_t>(offset));
  if (FILE* lines = popen(command.c_str(), "r")) {
    char line[512];
    while (std::fgets(line, sizeof line, lines) != nullptr && text.size() < 4096) text += line;
    pclose(lines);
  }
  while (!text.empty() && text.back() == '\n') text.pop_back();
  return text.empty() || text.compare(0, 2, "??") == 0 ? format("%s+0x%tx", where.dli_fname, offset)
                                                       : text;
}

}  // namespace simt
