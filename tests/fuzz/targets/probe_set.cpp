// A set of probe questions.
#include "probes/probes.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    try {
        const probes::Set set = probes::parse_set(std::string(fuzz::text_of(data, size)), std::string("f"));
        for (const probes::Item& item : set.items) {
            fuzz::expect(!item.id.empty() && !item.prompt.at("en").empty() && !item.prompt.at("zh").empty() &&
                             set.topics.contains(item.topic),
                         "every question is whole");
        }
        fuzz::accepted();
    } catch (const base::Error&) {
    }
    return 0;
}
