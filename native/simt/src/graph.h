// Capture: what streams are asked to do becomes the nodes of a graph.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "stream.h"

namespace simt {

struct Node {
  Job job;
  std::set<std::size_t> after;  // the nodes that it waits for
  Work work;
};

// A capture that goes on. Streams that wait for an event of it join it.
struct Capture {
  cudaStream_t origin;
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  std::vector<Node> nodes;
  std::map<cudaStream_t, std::set<std::size_t>>
      ends;  // of each stream: what its next node waits for
  bool spoilt = false;

  cudaError_t add(cudaStream_t stream, Job job, Work work);
  // Whether the origin waits for everything that the other streams do.
  bool joined() const;
};

// In the order of the capture, which satisfies every dependency.
cudaError_t run_nodes(const std::vector<Node>& nodes);

cudaGraph_t make_graph(std::vector<Node> nodes);

}  // namespace simt

struct CUgraph_st {
  std::vector<simt::Node> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<simt::Node>> nodes;  // a launch under way keeps its own
};
