// The processors that a pool's threads run on.
#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "harness.h"

namespace tt_test {
namespace {

/// A job for all of the pool's threads.
void some_work(tt_context* context) {
  std::vector<float> values(1 << 17);
  TT_MUST(
      tt_fill_uniform(context, 1, 0, 0, 0, 1, static_cast<int64_t>(values.size()), values.data()));
}

/// The ids of this process's threads of that name.
std::vector<pid_t> threads_named(const std::string& name) {
  std::vector<pid_t> found;
  DIR* tasks = opendir("/proc/self/task");
  for (const dirent* entry = readdir(tasks); entry != nullptr; entry = readdir(tasks)) {
    std::ifstream file(std::string("/proc/self/task/") + entry->d_name + "/comm");
    std::string comm;
    if (std::getline(file, comm) && comm == name) found.push_back(std::atoi(entry->d_name));
  }
  closedir(tasks);
  return found;
}

// A worker that shares the caller's processor would stand still behind it.
TEST(Affinity, WorkersKeepOffTheCallersProcessor) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "needs two processors";
  const Context context(Target{TT_DEVICE_CPU, TT_ISA_PORTABLE, "Portable"}, 2);
  int done = 0;
  for (int i = 0; i < 20 && done < 2; ++i) {
    for (int cpu = 0; cpu < CPU_SETSIZE && done < 2; ++cpu) {
      if (!CPU_ISSET(cpu, &before)) continue;
      // Moved there and not kept there: it is like being scheduled there, where it mostly stays for a while.
      cpu_set_t one, allowed;
      CPU_ZERO(&one);
      CPU_SET(cpu, &one);
      usleep(1000);  // the workers do not follow a caller that hops about
      ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
      ASSERT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
      some_work(context);
      if (sched_getcpu() != cpu) continue;
      const std::vector<pid_t> workers = threads_named("twintail-1");
      ASSERT_EQ(workers.size(), 1u);
      ASSERT_EQ(sched_getaffinity(workers[0], sizeof allowed, &allowed), 0);
      ASSERT_EQ(CPU_COUNT(&allowed), CPU_COUNT(&before) - 1) << "everywhere but there";
      done += CPU_ISSET(cpu, &allowed) ? 0 : 1;
    }
  }
  EXPECT_EQ(done, 2);
  EXPECT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

/// Does what `taskset -a -p` does.
void restrict_all_threads(const cpu_set_t& set) {
  DIR* tasks = opendir("/proc/self/task");
  for (const dirent* entry = readdir(tasks); entry != nullptr; entry = readdir(tasks)) {
    if (entry->d_name[0] != '.') sched_setaffinity(std::atoi(entry->d_name), sizeof set, &set);
  }
  closedir(tasks);
}

// Whoever takes processors from a process that runs already wants them free of all its threads.
TEST(Affinity, WorkersStayWhereTheyArePut) {
  cpu_set_t before;
  ASSERT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  if (CPU_COUNT(&before) < 2) GTEST_SKIP() << "needs two processors";
  const Context context(Target{TT_DEVICE_CPU, TT_ISA_PORTABLE, "Portable"}, 2);
  std::vector<cpu_set_t> single;
  for (int cpu = 0; cpu < CPU_SETSIZE && single.size() < 2; ++cpu) {
    if (!CPU_ISSET(cpu, &before)) continue;
    single.emplace_back();
    CPU_ZERO(&single.back());
    CPU_SET(cpu, &single.back());
  }
  ASSERT_EQ(sched_setaffinity(0, sizeof single[0], &single[0]), 0);
  some_work(context);
  restrict_all_threads(single[1]);
  const std::vector<pid_t> workers = threads_named("twintail-1");
  for (int i = 0; i < 3; ++i) {
    usleep(1000);
    some_work(context);
    for (const pid_t worker : workers) {
      cpu_set_t set;
      ASSERT_EQ(sched_getaffinity(worker, sizeof set, &set), 0);
      EXPECT_TRUE(CPU_EQUAL(&set, &single[1]));
    }
  }
  EXPECT_EQ(workers.size(), 1u);
  restrict_all_threads(before);
}

}  // namespace
}  // namespace tt_test
