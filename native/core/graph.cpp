// tt_graph_begin, tt_graph_end.
#include "handles.h"

tt_status tt_graph_begin(tt_context* context) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    if (session.in_graph) {
      tt::bad_argument("context", "a context whose graph has ended (tt_graph_end)",
                       std::string("one with a graph that was begun"));
    }
    session.call(session.backend().graph_begin);
    session.in_graph = true;
  });
}

tt_status tt_graph_end(tt_context* context) {
  return tt::guard([&] {
    tt::Session& session = tt::session_of(context);
    if (!session.in_graph) {
      tt::bad_argument("context", "a context with a graph that was begun (tt_graph_begin)",
                       std::string("one without"));
    }
    session.in_graph = false;
    session.call(session.backend().graph_end);
  });
}
