#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>

#include "simt_test.h"

// A report of a sanitizer ends the process that caused it.
extern "C" const char* __tsan_default_options();
extern "C" const char* __asan_default_options();
extern "C" const char* __tsan_default_options() {
  // The machine turns a bad access into a report from inside its signal handler, memory allocation and all.
  return "halt_on_error=1:exitcode=66:report_signal_unsafe=0:atexit_sleep_ms=0";
}
extern "C" const char* __asan_default_options() {
  return "detect_leaks=0:exitcode=67";
}

namespace simt_test {

Outcome run_in_child(const std::function<bool()>& code) {
  constexpr int kWrong = 3;
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) return {-1, false, "pipe failed"};
  std::fflush(stdout);
  simt::free_threads();
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], STDERR_FILENO);
    close(pipe_ends[0]);
    const bool right = code();
    _exit(right && simt::last_failure().empty() ? 0 : kWrong);
  }
  close(pipe_ends[1]);
  Outcome outcome;
  char buffer[4096];
  for (ssize_t n; (n = read(pipe_ends[0], buffer, sizeof buffer)) > 0;)
    outcome.text.append(buffer, static_cast<std::size_t>(n));
  close(pipe_ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  outcome.right = outcome.exit_code == 0;
  return outcome;
}

}  // namespace simt_test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
