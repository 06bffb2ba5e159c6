// The process in which one model lives (`moescope-node worker`, started by the node only). A model file that brings its
// loader down ends this process and nothing else.
#pragma once

namespace moescope::node {

/// Serves requests from `input` until it ends; answers on `output`. Gives the exit status.
int worker_main(int input, int output);

}  // namespace moescope::node
