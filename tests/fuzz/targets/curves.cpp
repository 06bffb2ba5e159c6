// Curves of other tools: TensorBoard's event files, and tables.
#include "nodes/curves/curve_table.hpp"
#include "nodes/curves/event_file.hpp"
#include "tests/fuzz/input.hpp"

using namespace moescope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto& file = fuzz::in_file(data, size);
    (void)curves::is_event_file(file);
    for (const auto reader : {&curves::read_event_file, &curves::read_curve_table}) {
        try {
            curves::Collector collector;
            std::vector<base::Sentence> notes;
            reader(file, collector, notes, [] {});
            fuzz::expect(collector.points() <= size, "no more points than the file has bytes");
            for (const curves::Series& one : collector.take(notes)) {
                fuzz::expect(one.steps.size() == one.values.size() && one.steps.size() == one.wall_times.size(),
                             "the lists of a curve have one length");
                for (std::size_t i = 1; i < one.steps.size(); ++i) {
                    fuzz::expect(one.steps[i - 1] < one.steps[i], "steps rise");
                }
                fuzz::accepted();
            }
        } catch (const base::Error&) {
        }
    }
    return 0;
}
