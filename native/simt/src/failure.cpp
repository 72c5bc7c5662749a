// What happens when a kernel does something forbidden: the text, and the way back to the host.
#include <cstdarg>
#include <cstdio>
#include <map>

#include "machine.h"

namespace simt {

namespace {

std::string vformat(const char* text, va_list arguments) {
  va_list again;
  va_copy(again, arguments);
  const int length = std::vsnprintf(nullptr, 0, text, again);
  va_end(again);
  std::string result(static_cast<std::size_t>(length < 0 ? 0 : length), '\0');
  std::vsnprintf(&result[0], result.size() + 1, text, arguments);
  return result;
}

std::string describe_position() {
  if (machine.grid == nullptr) return "";
  std::string text = format("kernel %s (launched at %s:%d), block (%u,%u,%u)", machine.grid->kernel,
                            machine.grid->where.file, machine.grid->where.line, blockIdx.x,
                            blockIdx.y, blockIdx.z);
  if (const Thread* thread = machine.current)
    text += format(", thread (%u,%u,%u)", thread->index.x, thread->index.y, thread->index.z);
  return text + ": ";
}

// "0-31 64 66-95"
class Ranges {
 public:
  void add(unsigned id) {
    if (started_ && id == last_ + 1) {
      last_ = id;
      return;
    }
    flush();
    first_ = last_ = id;
    started_ = true;
  }
  std::string text() {
    flush();
    started_ = false;
    return text_;
  }

 private:
  void flush() {
    if (!started_) return;
    text_ += format(first_ == last_ ? "%s%u" : "%s%u-%u", text_.empty() ? "" : " ", first_, last_);
  }
  std::string text_;
  unsigned first_ = 0, last_ = 0;
  bool started_ = false;
};

std::string describe_wait(const Thread& thread) {
  if (thread.done) return "left the kernel";
  switch (thread.wait) {
    case Wait::kCollective:
      return format("wait in %s at %s:%d, mask %08x", thread.kind->name, thread.where.file,
                    thread.where.line, thread.mask);
    case Wait::kBarrier:
      return format(
          thread.barrier == 0 ? "wait in __syncthreads at %s:%d" : "wait at %s:%d in barrier %u",
          thread.where.file, thread.where.line, thread.barrier);
    case Wait::kNothing:
      return "could go on";
  }
  return "";
}

}  // namespace

std::string format(const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  std::string result = vformat(text, arguments);
  va_end(arguments);
  return result;
}

std::string describe_waits() {
  std::map<std::string, Ranges> places;
  for (unsigned i = 0; i < machine.thread_count; i++)
    places[describe_wait(*machine.threads[i])].add(i);
  std::string text;
  for (auto& place : places) text += "\n  threads " + place.second.text() + " " + place.first;
  return text;
}

void report(const std::string& text) {
  machine.failure = describe_position() + text;
  if (machine.options.print_failures) std::fprintf(stderr, "simt: %s\n", machine.failure.c_str());
}

void abandon_block() {
  for (unsigned i = 0; i < machine.thread_count; i++)
    machine.threads[i]->abandoned = !machine.threads[i]->done;
  Thread* self = machine.current;
  machine.current = nullptr;
  Fiber::switch_to(self->fiber, machine.host, true);
  __builtin_unreachable();
}

void fail(const char* text, ...) {
  va_list arguments;
  va_start(arguments, text);
  std::string message = vformat(text, arguments);
  va_end(arguments);
  if (machine.current == nullptr) {
    std::fprintf(stderr, "simt: a device function was called by the host: %s\n", message.c_str());
    std::abort();
  }
  report(message + describe_waits());
  abandon_block();
}

const std::string& last_failure() {
  return machine.failure;
}
void clear_failure() {
  machine.failure.clear();
}
Stats& stats() {
  return machine.stats;
}

}  // namespace simt
