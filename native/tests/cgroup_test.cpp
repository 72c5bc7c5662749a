// The limits of control groups, read from folders like the system's.
#include "cgroup.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "harness.h"

namespace tt_test {
namespace {

class CgroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = ::testing::TempDir() + "twintail-cgroup-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override {
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }

  void write(const std::string& path, const std::string& text) const {
    const std::filesystem::path file = root_ + path;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  /// What /proc tells of the process's groups.
  void in(const std::string& lines) const { write("/proc/self/cgroup", lines); }
  void group(const std::string& name, const std::string& file, const std::string& text) const {
    write("/sys/fs/cgroup/" + name + "/" + file, text);
  }
  int processors() const { return tt::cgroup_processors(root_); }
  int64_t memory() const { return tt::cgroup_memory(root_); }

 private:
  std::string root_;
};

TEST_F(CgroupTest, NoneLimitsNothing) {
  EXPECT_EQ(processors(), 0);
  EXPECT_EQ(memory(), -1);
  in("0::/\n");
  EXPECT_EQ(processors(), 0);
  EXPECT_EQ(memory(), -1);
}

TEST_F(CgroupTest, Version2AtTheMountsRoot) {
  in("0::/\n");
  group("", "cpu.max", "250000 100000\n");
  group("", "memory.max", "1000\n");
  group("", "memory.current", "700\n");
  EXPECT_EQ(processors(), 3) << "rounded up";
  EXPECT_EQ(memory(), 300);
  group("", "cpu.max", "max 100000\n");
  group("", "memory.max", "max\n");
  EXPECT_EQ(processors(), 0);
  EXPECT_EQ(memory(), -1);
}

// All that the kernel gives up before it kills: the pages of files, in use or not, and its own caches.
TEST_F(CgroupTest, CachesAreNoUse) {
  in("0::/a\n");
  group("a", "memory.max", "1000\n");
  group("a", "memory.current", "990\n");
  group("a", "memory.stat",
        "anon 90\nfile 800\nfile_mapped 7\ninactive_anon 3\ninactive_file 500\nactive_file 300\n"
        "unevictable 5\nslab_reclaimable 40\nslab_unreclaimable 60\nslab 100\n");
  EXPECT_EQ(memory(), 1000 - 990 + 500 + 300 + 40);
  group("a", "memory.current", "700\n");  // the two files are read one after the other
  EXPECT_EQ(memory(), 1000) << "never more than the limit";
  group("a", "memory.current", "5000\n");
  EXPECT_EQ(memory(), 0) << "the limit was lowered";
}

TEST_F(CgroupTest, TheTightestOfNestedGroupsCounts) {
  in("0::/pod/app/job\n");
  group("pod", "cpu.max", "200000 100000\n");
  group("pod/app", "cpu.max", "max 100000\n");
  group("pod/app/job", "cpu.max", "800000 100000\n");
  group("other", "cpu.max", "100000 100000\n");
  group("pod", "memory.max", "1000\n");
  group("pod", "memory.current", "900\n");
  group("pod/app/job", "memory.max", "500\n");
  group("pod/app/job", "memory.current", "100\n");
  EXPECT_EQ(processors(), 2);
  EXPECT_EQ(memory(), 100) << "what others of the pod have taken";
  group("pod/app/job", "cpu.max", "100 100000\n");
  group("pod/app/job", "memory.current", "499\n");
  EXPECT_EQ(processors(), 1);
  EXPECT_EQ(memory(), 1);
}

TEST_F(CgroupTest, Version1) {
  in("12:cpu,cpuacct:/slice/app\n8:memory:/app\n1:name=systemd:/other\n0::/\n");
  group("cpu,cpuacct/slice", "cpu.cfs_quota_us", "150000\n");
  group("cpu,cpuacct/slice", "cpu.cfs_period_us", "50000\n");
  group("cpu,cpuacct/slice/app", "cpu.cfs_quota_us", "-1\n");
  group("cpu,cpuacct/slice/app", "cpu.cfs_period_us", "100000\n");
  group("memory", "memory.limit_in_bytes", "9223372036854771712\n");
  group("memory", "memory.usage_in_bytes", "123456\n");
  EXPECT_EQ(processors(), 3);
  EXPECT_EQ(memory(), -1);
  group("memory/app", "memory.limit_in_bytes", "1000\n");
  group("memory/app", "memory.usage_in_bytes", "900\n");
  group(
      "memory/app", "memory.stat",
      "cache 1\ninactive_file 3\nactive_file 5\ntotal_inactive_file 200\ntotal_active_file 400\n");
  EXPECT_EQ(memory(), 700) << "with the groups below";
}

// A container sees its own group at the mount's root, and in /proc perhaps the host's path.
TEST_F(CgroupTest, PathsOfTheHostLeadToTheMountsRoot) {
  in("4:memory:/docker/0123\n3:cpu:/docker/0123\n0::/docker/0123\n");
  group("cpu", "cpu.cfs_quota_us", "400000\n");
  group("cpu", "cpu.cfs_period_us", "100000\n");
  group("memory", "memory.limit_in_bytes", "1000\n");
  group("memory", "memory.usage_in_bytes", "400\n");
  EXPECT_EQ(processors(), 4);
  EXPECT_EQ(memory(), 600);
  in("0::/../../elsewhere\n");
  group("", "cpu.max", "200000 100000\n");
  EXPECT_EQ(processors(), 2);
}

TEST_F(CgroupTest, Version2BesideVersion1) {
  in("1:name=systemd:/x\n0::/x\n");
  group("unified/x", "cpu.max", "500000 100000\n");
  group("unified/x", "memory.max", "1000\n");
  group("unified/x", "memory.current", "1\n");
  EXPECT_EQ(processors(), 5);
  EXPECT_EQ(memory(), 999);
}

TEST_F(CgroupTest, GarbageLimitsNothing) {
  for (const char* text : {"", "\n", "abc\n", "-5 -7\n", "0 0\n", "100000\n",
                           "\xff\xff:\n::\n:", "99999999999999999999999 1\n"}) {
    for (const char* groups : {"0::/a\n", "5:cpu,memory:/a\n", "garbage\n", "0:\n:::::\n0::a\n"}) {
      in(groups);
      for (const char* folder : {"", "a", "cpu/a", "memory/a"}) {
        group(folder, "cpu.max", text);
        group(folder, "cpu.cfs_quota_us", text);
        group(folder, "cpu.cfs_period_us", "0\n");
        group(folder, "memory.max", "1000\n");
        group(folder, "memory.current", "abc\n");
        group(folder, "memory.limit_in_bytes", "1000\n");
        group(folder, "memory.usage_in_bytes", "\n");
        group(folder, "memory.stat", text);
      }
      EXPECT_EQ(processors(), 0) << text << groups;
      EXPECT_EQ(memory(), -1) << text << groups;
    }
  }
}

// Whatever this machine has, a limit leaves something to count with.
TEST(Cgroup, OfThisProcess) {
  EXPECT_GE(tt::cgroup_processors(), 0);
  EXPECT_GE(tt::cgroup_memory(), -1);
}

}  // namespace
}  // namespace tt_test
