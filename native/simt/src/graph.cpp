// Nodes, and the graphs that are made of them.
#include "graph.h"

#include "machine.h"

namespace simt {

namespace {

std::set<cudaGraph_t> graphs;
std::set<cudaGraphExec_t> execs;

cudaGraphExecUpdateResult compare(const std::vector<Node>& from, const std::vector<Node>& to,
                                  std::size_t& different) {
  if (from.size() != to.size()) return cudaGraphExecUpdateErrorTopologyChanged;
  for (different = 0; different < from.size(); different++) {
    const Node &a = from[different], &b = to[different];
    if (a.after != b.after) return cudaGraphExecUpdateErrorTopologyChanged;
    if (a.job.kind != b.job.kind) return cudaGraphExecUpdateErrorNodeTypeChanged;
    if (a.job.fixed != b.job.fixed) return cudaGraphExecUpdateErrorParametersChanged;
  }
  return cudaGraphExecUpdateSuccess;
}

std::shared_ptr<const std::vector<Node>> copy_of(const CUgraph_st& graph) {
  return std::shared_ptr<const std::vector<Node>>(new std::vector<Node>(graph.nodes));
}

cudaGraphNode_t handle_of(const Node& node) {
  return reinterpret_cast<cudaGraphNode_t>(const_cast<Node*>(&node));
}

}  // namespace

cudaError_t Capture::add(cudaStream_t stream, Job job, Work work) {
  if (spoilt) return cudaErrorStreamCaptureInvalidated;
  std::set<std::size_t>& end = ends[stream];
  nodes.push_back({job, end, std::move(work)});
  end = {nodes.size() - 1};
  return cudaSuccess;
}

bool Capture::joined() const {
  std::set<std::size_t> reached = ends.at(origin);
  for (std::size_t n = nodes.size(); n-- > 0;)
    if (reached.count(n) != 0) reached.insert(nodes[n].after.begin(), nodes[n].after.end());
  for (const auto& [stream, end] : ends)
    for (const std::size_t node : end)
      if (reached.count(node) == 0) return false;
  return true;
}

cudaError_t run_nodes(const std::vector<Node>& nodes) {
  for (const Node& node : nodes) {
    if (!machine.failure.empty()) return cudaErrorLaunchFailure;
    if (const cudaError_t status = node.work()) return status;
  }
  return cudaSuccess;
}

cudaGraph_t make_graph(std::vector<Node> nodes) {
  const cudaGraph_t graph = new CUgraph_st{std::move(nodes)};
  graphs.insert(graph);
  return graph;
}

}  // namespace simt

using simt::machine;
using simt::record;
using Lock = std::lock_guard<std::recursive_mutex>;

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* exec, cudaGraph_t graph, unsigned long long) {
  const Lock lock(machine.mutex);
  if (exec == nullptr || simt::graphs.count(graph) == 0) return record(cudaErrorInvalidValue);
  *exec = new CUgraphExec_st{simt::copy_of(*graph)};
  simt::execs.insert(*exec);
  return cudaSuccess;
}

cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph,
                                cudaGraphExecUpdateResultInfo* info) {
  const Lock lock(machine.mutex);
  if (info == nullptr || simt::execs.count(exec) == 0 || simt::graphs.count(graph) == 0)
    return record(cudaErrorInvalidValue);
  if (simt::options().graph_update_error != 0)
    return record(static_cast<cudaError_t>(simt::options().graph_update_error));
  std::size_t different = 0;
  *info = {simt::compare(*exec->nodes, graph->nodes, different), nullptr, nullptr};
  if (info->result == cudaGraphExecUpdateSuccess) {
    exec->nodes = simt::copy_of(*graph);
    return cudaSuccess;
  }
  if (different < graph->nodes.size()) info->errorNode = simt::handle_of(graph->nodes[different]);
  return record(cudaErrorGraphExecUpdateFailure);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  const Lock lock(machine.mutex);
  if (count == nullptr || simt::graphs.count(graph) == 0) return record(cudaErrorInvalidValue);
  for (std::size_t n = 0; nodes != nullptr && n < *count; n++)
    nodes[n] = n < graph->nodes.size() ? simt::handle_of(graph->nodes[n]) : nullptr;
  if (nodes == nullptr || *count > graph->nodes.size()) *count = graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
  const Lock lock(machine.mutex);
  if (simt::execs.count(exec) == 0) return record(cudaErrorInvalidValue);
  return record(simt::submit(stream, simt::Job::kGraph,
                             [nodes = exec->nodes] { return simt::run_nodes(*nodes); }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
  const Lock lock(machine.mutex);
  if (simt::execs.erase(exec) == 0) return record(cudaErrorInvalidValue);
  delete exec;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const Lock lock(machine.mutex);
  if (simt::graphs.erase(graph) == 0) return record(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}
