// twintail_bench [peak] [loss] [gather] [top_k] [--quick] [--threads=1,2] [--isa=avx512,avx2] [--seconds=2]
// Prints one JSON object a line. Without a name it runs everything.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>

#include "bench.h"

namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> parts;
  std::istringstream stream(list);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace

int main(int count, char** arguments) {
  bench::Options options;
  bool peak = false, loss = false, gather = false, top_k = false;
  for (int i = 1; i < count; ++i) {
    const std::string argument = arguments[i];
    const std::string value = argument.substr(argument.find('=') + 1);
    if (argument == "--quick") {
      options.quick = true;
    } else if (argument.rfind("--threads=", 0) == 0) {
      for (const std::string& t : split(value)) options.threads.push_back(std::atoi(t.c_str()));
    } else if (argument.rfind("--isa=", 0) == 0) {
      options.isas = split(value);
    } else if (argument.rfind("--seconds=", 0) == 0) {
      options.seconds = std::atof(value.c_str());
    } else if (argument == "peak") {
      peak = true;
    } else if (argument == "loss") {
      loss = true;
    } else if (argument == "gather") {
      gather = true;
    } else if (argument == "top_k") {
      top_k = true;
    } else {
      std::fprintf(stderr,
                   "usage: %s [peak] [loss] [gather] [top_k] [--quick] [--threads=1,2] "
                   "[--isa=avx512,avx2,portable] [--seconds=2]\n",
                   arguments[0]);
      return 2;
    }
  }
  if (!peak && !loss && !gather && !top_k) peak = loss = gather = top_k = true;
  if (peak) bench::run_peak(options);
  if (loss) bench::run_loss(options);
  if (gather) bench::run_gather(options);
  if (top_k) bench::run_top_k(options);
  return 0;
}
