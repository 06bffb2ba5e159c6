// The matrix products of one training step of the 31.6 M twin (bench/twin.json) alone, with oneDNN: an upper bound for
// any trainer that uses it. Every product is taken in each way that oneDNN can be called (one call on all threads, or
// one call per expert or block inside a parallel loop) and the best time counts. Prints tokens per second.
// Usage: matmul_bound [threads] [rounds]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#include <random>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using dnnl::memory;

constexpr std::int64_t kTokens = 2048, kWidth = 256, kVocabulary = 8192, kLayers = 6, kExperts = 16, kChosen = 2,
                       kInner = 384, kQkv = 512, kHeads = 256;

/// C[m,n] = op(A) op(B), `count` of them (the experts). Transposed means stored the other way round.
struct Product {
    const char* name;
    std::int64_t m, n, k;
    bool transposed_a, transposed_b;
    std::int64_t count, times;
};

/// Forward, input gradient and weight gradient of y[T,O] = x[T,I] W[O,I]^T.
void add_linear(std::vector<Product>& list, const char* name, std::int64_t tokens, std::int64_t inputs,
                std::int64_t outputs, std::int64_t count, std::int64_t times) {
    list.push_back({name, tokens, outputs, inputs, false, true, count, times});
    list.push_back({name, tokens, inputs, outputs, false, false, count, times});
    list.push_back({name, outputs, inputs, tokens, true, false, count, times});
}

std::vector<Product> step_products() {
    std::vector<Product> list;
    add_linear(list, "queries, keys, values", kTokens, kWidth, kQkv, 1, kLayers);
    add_linear(list, "attention output", kTokens, kHeads, kWidth, 1, kLayers);
    add_linear(list, "router", kTokens, kWidth, kExperts, 1, kLayers);
    const std::int64_t rows = kTokens * kChosen / kExperts;
    add_linear(list, "expert gate and up", rows, kWidth, 2 * kInner, kExperts, kLayers);
    add_linear(list, "expert down", rows, kInner, kWidth, kExperts, kLayers);
    add_linear(list, "head", kTokens, kWidth, kVocabulary, 1, 1);
    return list;
}

class Runner {
 public:
    Runner(const Product& product, memory::data_type type)
        : product_(product), engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {
        const memory::desc a({product.m, product.k}, type, strides(product.m, product.k, product.transposed_a));
        const memory::desc b({product.k, product.n}, type, strides(product.k, product.n, product.transposed_b));
        const memory::desc c({product.m, product.n}, memory::data_type::f32, strides(product.m, product.n, false));
        description_ = dnnl::matmul::primitive_desc(dnnl::matmul::desc(a, b, c), engine_);
        matmul_ = dnnl::matmul(description_);
        for (std::int64_t i = 0; i < product.count; ++i) {
            arguments_.push_back({{DNNL_ARG_SRC, memory(a, engine_)},
                                  {DNNL_ARG_WEIGHTS, memory(b, engine_)},
                                  {DNNL_ARG_DST, memory(c, engine_)}});
        }
    }

    /// Seconds of the best of `rounds` ways and times.
    double best(int rounds, int threads) {
        double seconds = 1e9;
        for (int round = 0; round < rounds + 1; ++round) {
            const double once = timed([&] {
                for (auto& arguments : arguments_) {
                    matmul_.execute(stream_, arguments);
                }
            });
            const double side_by_side = product_.count > 1 ? timed([&] {
#pragma omp parallel num_threads(threads)
                {
                    // A primitive's scratch memory belongs to the thread that made it.
                    const dnnl::matmul own(description_);
                    dnnl::stream stream(engine_);
#pragma omp for schedule(dynamic, 1)
                    for (std::size_t i = 0; i < arguments_.size(); ++i)
                        own.execute(stream, arguments_[i]);
                }
            })
                                                           : 1e9;
            if (round > 0) {  // the first is a warm-up
                seconds = std::min({seconds, once, side_by_side});
            }
        }
        return seconds;
    }

 private:
    static memory::dims strides(std::int64_t rows, std::int64_t columns, bool transposed) {
        return transposed ? memory::dims{1, rows} : memory::dims{columns, 1};
    }
    template <class Work>
    static double timed(const Work& work) {
        const auto begin = Clock::now();
        work();
        return std::chrono::duration<double>(Clock::now() - begin).count();
    }

    Product product_;
    dnnl::engine engine_;
    dnnl::stream stream_;
    dnnl::matmul::primitive_desc description_;
    dnnl::matmul matmul_;
    std::vector<std::unordered_map<int, memory>> arguments_;
};

void measure(const char* name, memory::data_type type, int threads, int rounds, bool list) {
    double seconds = 0, flops = 0;
    for (const Product& product : step_products()) {
        const double each = Runner(product, type).best(rounds, threads);
        const double work = 2.0 * static_cast<double>(product.m * product.n * product.k * product.count);
        seconds += each * static_cast<double>(product.times);
        flops += work * static_cast<double>(product.times);
        if (list) {
            std::printf("  %s %-22s %5ld x %5ld x %5ld, %2ld of them: %6.0f GFLOP/s\n", name, product.name, product.m,
                        product.n, product.k, product.count, work / each / 1e9);
        }
    }
    std::printf(
        "{\"bound\":\"%s\",\"threads\":%d,\"gflop_per_step\":%.1f,\"gflops\":%.0f,\"tokens_per_second\":%.0f}\n", name,
        threads, flops / 1e9, flops / seconds / 1e9, static_cast<double>(kTokens) / seconds);
}

}  // namespace

int main(int argc, char** argv) {
    const int threads = argc > 1 ? std::atoi(argv[1]) : 2, rounds = argc > 2 ? std::atoi(argv[2]) : 5;
    if (threads < 1 || rounds < 1) {
        std::fprintf(stderr, "usage: matmul_bound [threads] [rounds] [--list]\n");
        return 2;
    }
    omp_set_num_threads(threads);
    try {
        measure("f32", memory::data_type::f32, threads, rounds, argc > 3);
        measure("bf16", memory::data_type::bf16, threads, rounds, argc > 3);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "%s\n", error.what());
        return 1;
    }
    return 0;
}
