// GGUF models on a device of their own: a module that is opened as the part for GPUs is, with the processor behind
// memory that nobody but ggml can touch (ggml_module/module.cpp).
#include "kernels/devices.hpp"

#include <cstdlib>
#include <fmt/format.h>
#include <ggml-backend.h>
#include <gmock/gmock.h>
#include <optional>

#include "routed_models.hpp"
#include "tests/engine/error_of.hpp"
#include "tests/kernels/gpu/places.hpp"

namespace moescope::engine::test {
namespace {

using routing::Detail;
using routing::Interventions;
using testing::HasSubstr;

/// The module of this kind, while it lives.
class Kind {
 public:
    explicit Kind(const std::string& kind) { setenv("MOESCOPE_TEST_GGML", kind.c_str(), 1); }
    ~Kind() { unsetenv("MOESCOPE_TEST_GGML"); }
    Kind(const Kind&) = delete;
    Kind& operator=(const Kind&) = delete;
};

std::filesystem::path module_file() {
    return moescope::test::binary_folder() + "/test_ggml_module.so";
}

kernels::DevicePlaces places() {
    kernels::DevicePlaces places;
    places.plugin = moescope::test::gpu_plugin();
    places.gguf_module = module_file();
    places.driver = moescope::test::gpu_driver();
    places.driver_version = "/nowhere";
    return places;
}

/// Why GGUF models can't be computed on the first GPU, as the list says it.
std::string why_none(const kernels::DevicePlaces& of_test) {
    kernels::Devices devices(of_test);
    const std::vector<kernels::Device> list = devices.list();
    const std::string why = list.at(1).gguf_why_not.english();
    if (!why.empty() && list.at(1).why_not.empty()) {
        EXPECT_EQ(error_of([&] { devices.check_gguf("cuda:0"); }), "cuda:0 cannot compute GGUF models: " + why);
    }
    return why;
}

class GgufDevices : public testing::Test {
 protected:
    /// A small mixture of experts of this type, on both devices.
    void write(const SmallModel& small) {
        const Filled filled = fill(small.model, 41);
        export_gguf(file, small.model, filled.layout, filled.parameters.data(), nullptr);
    }
    std::unique_ptr<LanguageModel> open(const std::string& device) {
        return open_model(file, 1, ModelDevice{device, &devices});
    }
    static SmallModel small(const std::string& name) {
        for (const SmallModel& one : small_models()) {
            if (name.empty() || one.name == name) {
                return one;
            }
        }
        throw std::runtime_error("no such model");
    }

    TemporaryFolder folder;
    std::filesystem::path file = folder.path() / "m.gguf";
    kernels::Devices devices{places()};
};

void expect_same(const Seen& a, const Seen& b) {
    EXPECT_EQ(a.logits, b.logits);
    ASSERT_EQ(a.tokens.size(), b.tokens.size());
    for (std::size_t t = 0; t < a.tokens.size(); ++t) {
        ASSERT_EQ(a.tokens[t].layers.size(), b.tokens[t].layers.size());
        for (std::size_t i = 0; i < a.tokens[t].layers.size(); ++i) {
            const routing::LayerDecision &x = a.tokens[t].layers[i], &y = b.tokens[t].layers[i];
            EXPECT_EQ(x.ids, y.ids) << "position " << t << " layer " << x.layer;
            EXPECT_EQ(x.weights, y.weights);
            EXPECT_EQ(x.logits, y.logits);
            EXPECT_EQ(x.scores, y.scores);
            EXPECT_EQ(x.selection, y.selection);
            EXPECT_EQ(x.groups_kept, y.groups_kept);
        }
    }
}

TEST_F(GgufDevices, SayWhyTheyCannotBeUsed) {
    EXPECT_EQ(why_none(places()), "");
    const std::pair<const char*, const char*> kinds[] = {
        {"nothing", "is not this program's part for GGUF models on GPUs; ./run --cuda-models builds it"},
        {"without functions", "is not this program's part for GGUF models on GPUs; ./run --cuda-models builds it"},
        {"other version",
         "is version 2 of the part for GGUF models on GPUs, and this program needs version 1; ./run --cuda-models "
         "builds it"},
        {"other pin", "was built from another llama.cpp than this program; ./run --cuda-models builds it"},
        {"old driver", "the NVIDIA driver is too old: it knows CUDA 12.4, and this program was built with CUDA 13.5"},
        {"silent driver", "the NVIDIA driver does not answer, though "},
        {"for 8.0", "has code for GPUs of compute capability 8.0, and this one has 9.0; ./run --cuda-models=9.0"},
        {"for 10.0 12.0", "has code for GPUs of compute capability 10.0 12.0, and this one has 9.0"},
        {"for 9.", "has code for GPUs of compute capability 9., and this one has 9.0"}};
    for (const auto& [kind, why] : kinds) {
        const Kind now(kind);
        EXPECT_THAT(why_none(places()), HasSubstr(why)) << kind;
    }
    for (const char* kind : {"for 9.0", "for 8.0 9.0", "any GPU"}) {
        const Kind now(kind);
        EXPECT_EQ(why_none(places()), "") << kind;
    }
}

TEST_F(GgufDevices, AFileThatIsNoModuleIsNotHandedToTheLoader) {
    kernels::DevicePlaces of_test = places();
    of_test.gguf_module = folder.path() / "libmoescope-ggml-cuda.so";
    EXPECT_EQ(why_none(of_test), "this program was built without its part for GGUF models on GPUs, " +
                                     of_test.gguf_module.string() + "; ./run --cuda-models builds it");
    const std::uintmax_t whole = std::filesystem::file_size(module_file());
    for (const std::uintmax_t bytes : {whole / 2, whole / 10, whole - 1}) {
        std::filesystem::copy_file(module_file(), of_test.gguf_module,
                                   std::filesystem::copy_options::overwrite_existing);
        std::filesystem::resize_file(of_test.gguf_module, bytes);
        EXPECT_EQ(why_none(of_test), of_test.gguf_module.string() + " is cut off; ./run --cuda-models builds it");
    }
    std::filesystem::resize_file(of_test.gguf_module, 0);
    EXPECT_THAT(why_none(of_test), HasSubstr("this program's part for GGUF models on GPUs could not be loaded: "));
    of_test.gguf_module = moescope::test::gpu_driver();
    EXPECT_THAT(why_none(of_test), HasSubstr("is not this program's part for GGUF models on GPUs"));
    of_test.driver = "libcuda-that-is-nowhere.so.1";
    EXPECT_EQ(why_none(of_test), "no NVIDIA driver was found (libcuda-that-is-nowhere.so.1)");
}

TEST_F(GgufDevices, ComputeTheSameBytes) {
    for (const SmallModel& one : small_models()) {
        SCOPED_TRACE(one.name);
        write(one);
        const auto there = open("cuda:0"), here = open("cpu");
        EXPECT_EQ(there->info().device, "cuda:0");
        EXPECT_TRUE(there->info().why_processor.empty());
        EXPECT_EQ(here->info().device, "");
        const auto tokens = random_tokens(40, one.model.vocabulary);
        EXPECT_EQ(there->logits(tokens), here->logits(tokens));
        expect_same(look(*there, tokens), look(*here, tokens));
        expect_same(look(*there, tokens, {}, Detail::ids), look(*here, tokens, {}, Detail::ids));
    }
}

TEST_F(GgufDevices, ChangesOfTheRoutingActThere) {
    for (const SmallModel& one : small_models()) {
        SCOPED_TRACE(one.name);
        write(one);
        const auto there = open("cuda:0"), here = open("");
        const auto tokens = random_tokens(24, one.model.vocabulary);
        const int layer = here->router_spec().routed_layers.back();
        const Seen plain = look(*here, tokens);
        const std::string chosen =
            std::to_string(layer) + ":" + std::to_string(plain.tokens.back().layers.back().ids.front());
        Interventions knock_out, zero, limit, bias;
        knock_out.knocked_out = routing::parse_places(chosen);
        zero.zeroed = routing::parse_places(chosen);
        limit.limits = routing::parse_limits("1");
        bias.biases = routing::parse_biases(chosen + "=-50");
        std::vector<Interventions> changes = {knock_out, zero, limit};
        if (plain.tokens.back().layers.back().selection.size() > 1) {
            changes.push_back(bias);
        }
        for (const Interventions& change : changes) {
            const Seen changed = look(*here, tokens, change);
            EXPECT_NE(changed.logits, plain.logits) << "or there is nothing to see";
            expect_same(look(*there, tokens, change), changed);
        }
        expect_same(look(*there, tokens), plain);
    }
}

TEST_F(GgufDevices, AModelWithoutRoomIsComputedInPart) {
    const SmallModel one = small("");
    write(one);
    constexpr std::uint64_t kBeside = std::uint64_t{512} << 20;
    const auto tokens = random_tokens(24, one.model.vocabulary);
    const Seen plain = look(*open(""), tokens);
    std::string why;
    {
        const Kind none("free 1000");
        why = error_of([&] { open("cuda:0"); });
        EXPECT_THAT(why, HasSubstr("cuda:0 has no room for this model: all of it takes "));
        EXPECT_THAT(why, HasSubstr(", and 0.0 MB can be had; choose the processor (cpu) for it"));
    }
    // Room for less and less, down to none.
    int parts = 0;
    for (std::uint64_t room = std::uint64_t{64} << 20; room > 1000; room = room * 9 / 10) {
        const Kind some(fmt::format("free {}", kBeside + room));
        std::unique_ptr<LanguageModel> model;
        try {
            model = open("cuda:0");
        } catch (const Error&) {
            break;
        }
        if (!model->info().why_processor.empty()) {
            ++parts;
            EXPECT_THAT(model->info().why_processor.english(),
                        HasSubstr(fmt::format(" of the {} layers of this model are computed on cuda:0 and the others "
                                              "on the processor: all of it takes ",
                                              model->info().layers)));
            expect_same(look(*model, tokens), plain);
            break;
        }
    }
    EXPECT_EQ(parts, 1);
}

TEST_F(GgufDevices, WhatCannotBeOpenedIsRefused) {
    write(small(""));
    EXPECT_EQ(error_of([&] { open("cuda:1"); }), "cuda:1 cannot be used: compute capability 3.5 is too old");
    EXPECT_THAT(error_of([&] { open("cuda:5"); }), HasSubstr("there is no device cuda:5 here"));
    EXPECT_EQ(error_of([&] {
                  open_model(file, 1, ModelDevice{"cuda:0", nullptr});
              }),
              "cuda:0 cannot be used: this program computes on the processor alone");
    const Kind none("no devices");
    EXPECT_EQ(error_of([&] { open("cuda:0"); }), "cuda:0 cannot compute GGUF models: libllama found 0 GPUs here");
}

// The one that ./run --cuda-models has built, where it has: every symbol that it takes from this program is there, it
// is of the same llama.cpp, and ggml takes it up. Without a driver it says so, and has no devices.
TEST(GgmlCuda, TheBuiltModuleLoads) {
    kernels::DevicePlaces real = places();
    real.gguf_module = moescope::test::binary_folder() + "/libmoescope-ggml-cuda.so";
    if (!std::filesystem::exists(real.gguf_module)) {
        GTEST_SKIP() << "./run --cuda-models builds it";
    }
    const std::string why = why_none(real);
    ggml_backend_reg_t registered = ggml_backend_load(real.gguf_module.c_str());
    ASSERT_NE(registered, nullptr) << why;
    EXPECT_STREQ(ggml_backend_reg_name(registered), "CUDA");
    if (ggml_backend_reg_dev_count(registered) == 0) {
        EXPECT_THAT(why, HasSubstr("the NVIDIA driver does not answer, though "));
    } else {
        EXPECT_EQ(why, "");
    }
}

// ggml itself keeps modules of another interface out. It registers a module once and for all, so this is a process of
// its own.
TEST_F(GgufDevices, AModuleOfAnotherGgmlIsRefused) {
    write(small(""));
    EXPECT_EXIT(
        {
            const Kind other("other ggml");
            const std::string why = error_of([&] { open("cuda:0"); });
            std::exit(why.find("incompatible API version (backend: 1, current: 2)") != std::string::npos ? 0 : 1);
        },
        testing::ExitedWithCode(0), "");
}

// ggml ends the process; what it said of the reason is what is written last.
TEST_F(GgufDevices, ADeviceThatFailsSaysWhy) {
    write(small(""));
    const Kind failing("fails");
    EXPECT_DEATH(open("cuda:0")->logits(std::vector<std::int32_t>{1, 2, 3}),
                 "/somewhere/ggml-cuda.cu:107: CUDA error: out of memory");
}

}  // namespace
}  // namespace moescope::engine::test
