// The small node as a program: test_node serve --socket S --session DIR. Ends on SIGTERM.
#include <csignal>
#include <cstdio>
#include <string>
#include <unistd.h>

#include "tests/nodes/client/small_node.hpp"

int main(int argc, char** argv) {
    std::string socket, session;
    for (int i = 1; i + 1 < argc; ++i) {
        if (std::string(argv[i]) == "--socket") {
            socket = argv[i + 1];
        }
        if (std::string(argv[i]) == "--session") {
            session = argv[i + 1];
        }
        if (std::string(argv[i]) == "--fail") {
            std::fprintf(stderr, "first line\n%s\n", argv[i + 1]);
            return 3;
        }
    }
    sigset_t wanted;
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGTERM);
    sigprocmask(SIG_BLOCK, &wanted, nullptr);
    try {
        const moescope::test::SmallNode node(socket, session);
        int signal = 0;
        sigwait(&wanted, &signal);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
